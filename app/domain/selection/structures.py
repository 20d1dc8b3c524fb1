"""Structures that have the chosen fields and nothing else: a record that is decoded into one and written is cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from app.domain.selection.fields import Fields, label_of

_MOST_FIELDS = 100
"""Of one object. msgspec compares a name with one field after the other: among more of them a dict is faster."""


@dataclass(frozen=True)
class Structure:
    """Made for the chosen fields of one object.

    `ways`: the attributes that only lead to chosen fields, with the structure of what is there.
    """

    type: Any
    ways: tuple[tuple[str, Structure], ...]

    def clear(self, decoded: Any) -> None:
        """Take out the strings, numbers and booleans that are on the way to chosen fields."""
        for attribute, inner in self.ways:
            found = getattr(decoded, attribute)
            if isinstance(found, Struct):
                inner.clear(found)
            elif isinstance(found, list):
                for each in found:
                    inner.clear(each)
            elif found is not None:
                setattr(decoded, attribute, None)


class _UnfitError(Exception):
    """There are too many fields for a structure, or names that no structure can have."""


@lru_cache(maxsize=64)
def structure_of(names: tuple[str, ...], *, is_loose: bool = False) -> Structure | None:
    """For these dotted names; None where there is none for them. Kept, as each leg of a job needs the same one.

    On the way to a chosen field there may be an object, an array of such, null and, if it is loose, a string, number
    or boolean.
    """
    try:
        return _structure(Fields(names), {}, str | int | float | bool | None if is_loose else None)
    except _UnfitError:
        return None


def _structure(fields: Fields, known: dict[tuple[str, ...], Structure], others: Any) -> Structure:
    """With these fields as attributes f0, f1 and so on; where a way may also lead to `others`.

    `known`: what was made for inner objects, by the names chosen there: `a.b.c.d` leads to d in four ways.
    """
    if fields.names in known:
        return known[fields.names]
    if len(fields.chosen) > _MOST_FIELDS or any(map(_is_unfit, fields.chosen)):
        raise _UnfitError
    members: list[tuple[str, Any, Any]] = []
    ways = []
    for field in fields.chosen.values():
        attribute = f"f{field.place}"
        if field.inner is None:
            members.append((attribute, Raw | UnsetType, UNSET))
        else:
            way = _structure(field.inner, known, others)
            inner: Any = way.type
            members.append((attribute, inner | list[inner] | others, None))
            ways.append((attribute, way))
    names = {f"f{field.place}": name for name, field in fields.chosen.items()}
    made = msgspec.defstruct("Chosen", members, rename=names, omit_defaults=True, gc=False)
    known[fields.names] = Structure(made, tuple(ways))
    return known[fields.names]


def _is_unfit(name: str) -> bool:
    """Whether it is written with an escape, which msgspec does not let a field have."""
    return b"\\" in label_of(name)
