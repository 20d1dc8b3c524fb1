"""Is an output what the vendor holds: every record once, in order, with its id?"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.benchmarks.records import digest, digest_of_ids

_ID = re.compile(rb'"id":\s?(\d+)')


class WrongOutputError(AssertionError):
    """An output that does not count."""


def check_ids(ids: list[int], count: int, what: str) -> None:
    """Raises WrongOutputError unless the ids are 1..count, in this order."""
    if len(ids) != count:
        raise WrongOutputError(f"{what}: {len(ids)} records instead of {count}")
    if digest(sorted(ids)) != digest_of_ids(count):
        raise WrongOutputError(f"{what}: other ids than the vendor's")
    if ids != sorted(ids):
        raise WrongOutputError(f"{what}: out of order")


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

    check_ids(list(ids_of_lines(lines())), count, what)
