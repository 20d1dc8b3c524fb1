"""The vendor's data: records that depend on their number alone, and the pages of them that nginx serves.

pages/SIZE/pN.json           cursor pages: `results` and the token of the next page
pages/SIZE/COUNT/pN.json     the last page of a set of COUNT records, without a next one
numbered/SIZE/COUNT/N.json   page-number pages, with `total`
packed/SIZE/COUNT/pN.json.gz   cursor pages of large sets, kept packed only: a fifth of the disk
windows/SIZE/COUNT/DATE/pN.json   cursor pages of one window of a range of dates, by its first moment
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

FORMAT = "1"
"""Change it with any byte of the pages: kept ones are then made anew."""

RANGE = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 22, tzinfo=UTC))
"""80 days, in which the records of `make_windows` were changed."""

_UPDATED = re.compile(rb'"updatedAt":"[^"]*"')
_TOWNS = (("Aarhus", "DK"), ("Basel", "CH"), ("Cork", "IE"), ("Delft", "NL"), ("Essen", "DE"), ("Faro", "PT"))
_STAGES = ("subscriber", "lead", "opportunity", "customer", "evangelist")
_WORDS = ("freight", "invoice", "renewal", "pallet", "broker", "customs", "harbour", "ledger", "quota", "transit")


def _scramble(number: int) -> str:
    """32 digits that do not compress, so that pages pack about as well as a vendor's do."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).hexdigest()


def record(number: int) -> bytes:
    """18 fields, about 537 bytes, one line, compact; ids ascend from 1."""
    town, country = _TOWNS[number % len(_TOWNS)]
    word, other = _WORDS[number % 10], _WORDS[number // 7 % 10]
    return (
        f'{{"id":{number},"externalId":"{_scramble(number)}",'
        f'"firstName":"Given{number % 997}","lastName":"Family{number % 8191}",'
        f'"email":"person.{number}@{word}-{other}.example","phone":"+{number * 7919 % 100000000:08d}",'
        f'"company":"{word.capitalize()} & {other.capitalize()}","stage":"{_STAGES[number % 5]}",'
        f'"isActive":{"true" if number % 3 else "false"},"score":{number % 1000 / 10:.2f},'
        f'"balance":{number * 37 % 1000000}.10,"owner":{"null" if number % 11 == 0 else number % 50},'
        f'"createdAt":"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:00.000Z",'
        f'"updatedAt":"2025-{number // 3 % 12 + 1:02d}-{number // 5 % 28 + 1:02d}T08:{number % 60:02d}:30.000Z",'
        f'"address":{{"street":"{number % 300 + 1} {other.capitalize()} St","city":"{town}","country":"{country}"}},'
        f'"tags":["{word}","{other}","batch-{number // 1000}"],"notes":"Asked about the {word}'
        f' and wants an offer.","source":"import-{number % 4}"}}'
    ).encode()


class Pages:
    """Makes pages below `folder` once, as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"format-{FORMAT}"

    def make_cursor(self, count: int, size: int, *, is_packed: bool = False) -> None:
        """All pages of a set of `count` records; `is_packed` adds a gzip form of each."""
        if count % size:
            raise ValueError(f"{count} records do not fill pages of {size}")
        folder, last = self.folder / "pages" / str(size), count // size
        for number in range(1, last):
            _write(folder / f"p{number}.json", partial(_cursor_page, number, size, is_last=False), is_packed)
        _write(folder / str(count) / f"p{last}.json", partial(_cursor_page, last, size, is_last=True), is_packed)

    def make_packed(self, count: int, size: int) -> None:
        """Cursor pages of which only the gzip form is kept."""
        if count % size:
            raise ValueError(f"{count} records do not fill pages of {size}")
        folder, last = self.folder / "packed" / str(size) / str(count), count // size
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, last + 1):
            path = folder / f"p{number}.json.gz"
            if not path.exists():
                _place(path, _gzip(_cursor_page(number, size, is_last=number == last), level=1))

    def make_numbered(self, count: int, size: int) -> None:
        """Page-number pages, and the empty one behind the last."""
        folder = self.folder / "numbered" / str(size) / str(count)
        for number in range(1, count // size + 2):
            _write(folder / f"{number}.json", partial(_numbered_page, number, size, count), is_packed=False)

    def make_windows(self, count: int, size: int, window_count: int) -> None:
        """Cursor pages of a list that is cut into equal windows of `RANGE`; updatedAt rises evenly with the id."""
        pages = count // size // window_count
        for window in range(window_count):
            began = RANGE[0] + (RANGE[1] - RANGE[0]) * window / window_count
            folder = self.folder / "windows" / str(size) / str(count) / f"{began:%Y-%m-%dT%H:%M:%SZ}"
            for page in range(1, pages + 1):
                first = (window * pages + page - 1) * size + 1
                make = partial(_window_page, range(first, first + size), count, page, is_last=page == pages)
                _write(folder / f"p{page}.json", make, is_packed=False)


def _write(path: Path, make: Callable[[], bytes], is_packed: bool) -> None:
    wanted = [path, path.with_name(f"{path.name}.gz")] if is_packed else [path]
    if all(each.exists() for each in wanted):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = make()
    for each in wanted:
        _place(each, plain if each is path else _gzip(plain))


def _place(path: Path, content: bytes) -> None:
    """Whole or not at all: an interrupted run is gone on with."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _gzip(plain: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, wbits=31)
    return packer.compress(plain) + packer.flush()


def _records(page: int, size: int) -> Iterator[bytes]:
    return (record(number) for number in range((page - 1) * size + 1, page * size + 1))


def _cursor_page(page: int, size: int, *, is_last: bool) -> bytes:
    paging = b"{}" if is_last else b'{"next":{"after":"p%d"}}' % (page + 1)
    return b'{"results":[' + b",".join(_records(page, size)) + b'],"paging":' + paging + b"}"


def _window_page(numbers: range, count: int, page: int, *, is_last: bool) -> bytes:
    paging = b"{}" if is_last else b'{"next":{"after":"p%d"}}' % (page + 1)
    return b'{"results":[' + b",".join(_dated(each, count) for each in numbers) + b'],"paging":' + paging + b"}"


def _dated(number: int, count: int) -> bytes:
    """The record with its date moved to where its number stands in `RANGE`."""
    at = RANGE[0] + (RANGE[1] - RANGE[0]) * (number - 1) / count
    return _UPDATED.sub(f'"updatedAt":"{at:%Y-%m-%dT%H:%M:%S}.000Z"'.encode(), record(number))


def _numbered_page(page: int, size: int, count: int) -> bytes:
    found = _records(page, size) if (page - 1) * size < count else iter(())
    return b'{"data":[' + b",".join(found) + b'],"total":%d,"pages":%d}' % (count, count // size)
