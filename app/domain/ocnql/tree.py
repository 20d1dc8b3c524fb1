"""What a query says, as frozen values. Equal trees mean the same; positions do not take part."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Operator(StrEnum):
    """The comparisons of one field with one value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True)
class Text:
    """A quoted or back-ticked value. It also meets numbers, dates and booleans that it spells (see `evaluate`)."""

    text: str


@dataclass(frozen=True)
class Number:
    """A bare number, exact."""

    number: Decimal


@dataclass(frozen=True)
class Date:
    """A bare ISO 8601 date or time, as it was written; `parse_instant` reads it."""

    text: str


@dataclass(frozen=True)
class Boolean:
    """A bare `true` or `false`."""

    is_true: bool


Value = Text | Number | Date | Boolean


@dataclass(frozen=True)
class Comparison:
    """`field operator value`. `position`: where the field stands in the text, from 1; 0 for a tree made by hand."""

    field: str
    operator: Operator
    value: Value
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Like:
    """`field LIKE 'pattern'`: `%` stands for any text, every other character for itself."""

    field: str
    pattern: str
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class In:
    """`field IN (value, ...)`: equal to one of at least one value."""

    field: str
    values: tuple[Value, ...]
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Between:
    """`field BETWEEN low AND high`, both ends included."""

    field: str
    low: Value
    high: Value
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class IsNull:
    """`field IS NULL`: there is no value, or null."""

    field: str
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Not:
    """The opposite; `NOT IN`, `NOT LIKE`, `NOT BETWEEN` and `IS NOT NULL` are this around the plain condition."""

    condition: Condition


@dataclass(frozen=True)
class And:
    """All of two or more."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    """Any of two or more."""

    conditions: tuple[Condition, ...]


Leaf = Comparison | Like | In | Between | IsNull
Condition = Leaf | Not | And | Or


@dataclass(frozen=True)
class Query:
    """A whole `SELECT`. Field names are dotted; `fields` is empty for `*`."""

    fields: tuple[str, ...]
    object_name: str
    condition: Condition | None = None
    order_by: tuple[tuple[str, bool], ...] = ()
    """(field, whether descending)"""
    limit: int | None = None


def fields_of(condition: Condition) -> frozenset[str]:
    """Every field that the condition looks at."""
    if isinstance(condition, Not):
        return fields_of(condition.condition)
    if isinstance(condition, And | Or):
        return frozenset[str]().union(*map(fields_of, condition.conditions))
    return frozenset({condition.field})
