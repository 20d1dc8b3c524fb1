"""Is an output what the vendor holds: every record once, in order, with its id?"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_ID = re.compile(rb'"id":\s?(\d+)')


class WrongOutputError(AssertionError):
    """An output that does not count."""


def check_ids(ids: Iterable[int], count: int, what: str) -> None:
    """Raises WrongOutputError unless the ids are 1..count, in this order. Holds none of them."""
    found = 0
    for got in ids:
        found += 1
        if got != found:
            raise WrongOutputError(f"{what}: id {got} stands where that of record {found} belongs")
    if found != count:
        raise WrongOutputError(f"{what}: {found} records instead of {count}")


def ids_of_lines(lines: Iterable[bytes]) -> Iterator[int]:
    """The first `id` of each JSON line that has one (messages without a record have none)."""
    for line in lines:
        if found := _ID.search(line):
            yield int(found[1])


def check_files(files: Iterable[Path], count: int, what: str) -> None:
    """JSON Lines, in the order of the files given."""

    def lines() -> Iterator[bytes]:
        for path in files:
            with path.open("rb") as opened:
                yield from opened

    check_ids(ids_of_lines(lines()), count, what)
