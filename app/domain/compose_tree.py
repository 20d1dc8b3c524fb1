"""Many objects of Google Cloud Storage put together into one, at most 32 a call.

Limits (cloud.google.com/storage/docs/composite-objects): 32 sources a call, of any length, in the bucket of the target;
5 TiB an object. A call may take what another one made, so that there is no limit on the number of sources.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

MOST_SOURCES = 32


@dataclass(frozen=True, slots=True)
class Temporary:
    """What a call made for another one to take. It is overwritten when that one has taken it."""

    level: int
    slot: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call. Sources are pieces, by their numbers, or what steps before made; `first` to `end`: the pieces in it."""

    target: Temporary
    sources: tuple[int | Temporary, ...]
    first: int
    end: int


def levels(count: int) -> int:
    """Of the tree over so many pieces (1 or more); what the last step makes is at slot 0 of the highest one."""
    level = 1
    while MOST_SOURCES**level < count:
        level += 1
    return level


def steps(count: int) -> Iterator[Step]:
    """The calls that put so many pieces together, each behind those whose work it takes.

    Depth first: never more than 31 objects of each level wait to be taken, and 32 names for each level are enough.
    """
    yield from _made(levels(count), 0, 0, count)


def temporaries(level_count: int) -> Iterator[Temporary]:
    """Whatever the steps of a tree of so many levels may make, but its result."""
    for level in range(1, level_count):
        for slot in range(MOST_SOURCES):
            yield Temporary(level, slot)


def _made(level: int, slot: int, first: int, end: int) -> Generator[Step, None, Temporary]:
    """The steps that make one object of these pieces; returns which it is."""
    width = MOST_SOURCES ** (level - 1)
    sources: list[int | Temporary] = []
    for place, start in enumerate(range(first, end, width)):
        behind = min(start + width, end)
        if behind - start == 1:
            sources.append(start)
        else:
            sources.append((yield from _made(levels(behind - start), place, start, behind)))
    target = Temporary(level, slot)
    yield Step(target, tuple(sources), first, end)
    return target
