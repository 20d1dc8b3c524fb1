"""Which fields are chosen, and in which order they are written: dotted names against the names in a record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import msgspec


class Field(NamedTuple):
    """A field that is chosen: its place among those of its object, its name as it is written, with the colon.

    `inner`: what is chosen within it; None where it is taken with all that is in it.
    """

    place: int
    label: bytes
    inner: Fields | None


class Fields:
    """Chosen fields of one object, named from there.

    A dotted name is a path as well as, literally, a name: `a.b` is field b of a and the field "a.b"; `a.b.c` is also
    field c of "a.b". The order is that of the names, each field where it is first named; where one name stands for
    several fields, the path comes before the literal name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))

    @cached_property
    def chosen(self) -> dict[str, Field]:
        """By their names, in order."""
        rests: dict[str, list[str] | None] = {}
        for name in self.names:
            for head, rest in _readings(name):
                inner = rests.setdefault(head, [])
                if rest is None:
                    rests[head] = None
                elif inner is not None:
                    inner.append(rest)
        return {
            name: Field(place, label_of(name), None if inner is None else Fields(inner))
            for place, (name, inner) in enumerate(rests.items())
        }

    def places_of(self, path: Iterable[str]) -> tuple[int, ...]:
        """Sorts fields within a record, named by what leads to them: the chosen ones in order, others behind."""
        places: list[int] = []
        within: Fields | None = self
        for name in path:
            if within is None:
                break
            field = within.chosen.get(name)
            places.append(len(within.chosen) if field is None else field.place)
            within = None if field is None else field.inner
        return tuple(places)


def _readings(name: str) -> Iterator[tuple[str, str | None]]:
    """The fields that a dotted name may begin with, shortest first, each with the name from there on."""
    dot = name.find(".")
    while dot >= 0:
        yield name[:dot], name[dot + 1 :]
        dot = name.find(".", dot + 1)
    yield name, None


def label_of(name: str) -> bytes:
    """The name as JSON, with what must be escaped in it and nothing else, and a colon."""
    try:
        return msgspec.json.encode(name) + b":"
    except UnicodeEncodeError:  # half of a character, which can only be written as an escape
        return json.dumps(name).encode() + b":"
