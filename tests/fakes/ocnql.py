"""Trees and records for OCNQL tests, and an evaluator that shares nothing with the product's but the tree.

Verdicts here are numbers (0 false, 1/2 unknown, 1 true): AND is min, OR is max, NOT is 1 - x. Numbers are Fractions,
dates are datetimes, LIKE is a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from app.domain.ocnql import (
    And,
    Between,
    Boolean,
    Comparison,
    Condition,
    Date,
    In,
    IsNull,
    Like,
    Not,
    Number,
    Operator,
    Or,
    Text,
    Value,
)

UNKNOWN = Fraction(1, 2)
FIELDS = ("a", "b", "a.b", "a.b.c", "b.c")
_WORDS = ("", "x", "X", "xy", "x_y", "x%y", "it's", "é", "10", "9", "9.0", "1E+1", "true", "False", "`", "\n")
_DATES = (
    "2021-03-16",
    "2021-03-16T00:00:00Z",
    "2021-03-16T01:00:00+01:00",
    "2021-03-15T23:30:00.5-00:30",
    "2021-03-17T10:20:30.123456Z",
)
_NUMBERS = ("9", "10", "10.0", "9.1", "-3", "1615852800", "1615852800000", "123456789012345678901234567890")


def _numbers() -> st.SearchStrategy[Any]:
    texts = st.sampled_from(_NUMBERS)
    return texts.map(Decimal) | texts.map(lambda text: int(text) if text.lstrip("-").isdigit() else float(text))


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), _numbers(), st.sampled_from(_WORDS), st.sampled_from(_DATES)
)
CELLS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("b", "c", "b.c")), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(FIELDS), CELLS, max_size=4)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(_WORDS).map(Text),
    st.sampled_from(_DATES).map(Text),
    st.sampled_from(_DATES).map(Date),
    st.sampled_from(_NUMBERS).map(lambda text: Number(Decimal(text))),
    st.booleans().map(Boolean),
)
NAMES = st.sampled_from(FIELDS)
PATTERNS = st.lists(st.sampled_from(("%", "x", "y", "_", "1", "a")), max_size=5).map("".join)
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Comparison, NAMES, st.sampled_from(list(Operator)), VALUES),
    st.builds(Like, NAMES, PATTERNS),
    st.builds(In, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(Between, NAMES, VALUES, VALUES),
    st.builds(IsNull, NAMES),
)


def conditions(leaves: st.SearchStrategy[Condition] = LEAVES) -> st.SearchStrategy[Condition]:
    """Trees over the given leaves."""

    def grown(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(inner.map(Not), several.map(And), several.map(Or))

    return st.recursive(leaves, grown, max_leaves=6)


def is_true(condition: Condition, record: Any) -> bool:
    """Whether the record is taken."""
    return verdict(condition, record) == 1


def verdict(condition: Condition, record: Any) -> Fraction:
    match condition:
        case Not(inner):
            return 1 - verdict(inner, record)
        case And(parts):
            return min(verdict(each, record) for each in parts)
        case Or(parts):
            return max(verdict(each, record) for each in parts)
        case IsNull(name):
            return Fraction(not list(_leaves(record, name)))
    if isinstance(condition, Comparison) and condition.operator is Operator.UNEQUAL:
        return 1 - verdict(Comparison(condition.field, Operator.EQUAL, condition.value), record)
    return max((_of_one(condition, value) for value in _leaves(record, condition.field)), default=UNKNOWN)


def _of_one(leaf: Condition, value: Any) -> Fraction:
    match leaf:
        case Comparison(_, operator, other):
            return _compare(value, operator, other)
        case In(_, values):
            return max(_compare(value, Operator.EQUAL, each) for each in values)
        case Between(_, low, high):
            low_end, high_end = Operator.GREATER_OR_EQUAL, Operator.LESS_OR_EQUAL
            return min(_compare(value, low_end, low), _compare(value, high_end, high))
        case Like(_, pattern):
            if isinstance(value, dict):
                return Fraction(0)
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            regex = ".*".join(map(re.escape, pattern.split("%")))
            return Fraction(re.fullmatch(regex, text, re.DOTALL) is not None)
    raise AssertionError(leaf)


def _compare(value: Any, operator: Operator, other: Value) -> Fraction:
    pair = _as_the_same(value, other)
    if pair is None:
        return Fraction(0) if operator is Operator.EQUAL else UNKNOWN
    one, two = pair
    if operator is Operator.EQUAL:
        return Fraction(one == two)
    if isinstance(one, bool) or (isinstance(other, Text) and isinstance(one, str) and _instant(other.text)):
        return UNKNOWN
    return Fraction(
        {
            Operator.LESS: one < two,
            Operator.LESS_OR_EQUAL: one <= two,
            Operator.GREATER: one > two,
            Operator.GREATER_OR_EQUAL: one >= two,
        }[operator]
    )


def _as_the_same(value: Any, other: Value) -> tuple[Any, Any] | None:
    """Both sides as the kind they are compared as; None where they have none in common."""
    if isinstance(value, str):
        return _text_as_the_same(value, other)
    if isinstance(value, dict | bool):
        return None if isinstance(value, dict) else _both(value, _flag(other))
    number = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    if isinstance(other, Number):
        return number, Fraction(other.number)
    if isinstance(other, Text) and _number(other.text) is not None:
        return number, _number(other.text)
    return None if isinstance(other, Boolean) else _dates(number, other)


def _text_as_the_same(value: str, other: Value) -> tuple[Any, Any] | None:
    if isinstance(other, Text):
        return _both(_instant(value), _instant(other.text)) or (value, other.text)
    if isinstance(other, Number):
        return _both(_number(value), Fraction(other.number))
    return _both(_flag(Text(value)), other.is_true) if isinstance(other, Boolean) else _dates(value, other)


def _both(one: Any, two: Any) -> tuple[Any, Any] | None:
    return None if one is None or two is None else (one, two)


def _dates(value: Any, other: Text | Date) -> tuple[Any, Any] | None:
    return _both(_instant(value), _instant(other.text))


def _flag(value: Value) -> bool | None:
    if isinstance(value, Boolean):
        return value.is_true
    return {"true": True, "false": False}.get(value.text.lower()) if isinstance(value, Text) else None


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(Decimal(text))
    except ArithmeticError:
        return None


def _instant(value: Any) -> datetime | None:
    """Only what this module generates: ISO texts, and numbers that are seconds or milliseconds."""
    if isinstance(value, str):
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            number = _number(value)
            return _instant(number) if number is not None and len(value) > 8 else None
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    seconds = value if abs(value) < 10**11 else value / 1000
    if abs(seconds) > 10**11:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds), microseconds=int(seconds % 1 * 10**6))


def _leaves(value: Any, name: str) -> Iterator[Any]:
    """What the name stands for, without nulls."""
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each, name)
    elif name == "":
        if value is not None:
            yield value
    elif isinstance(value, dict):
        fits = [key for key in value if name == key or name.startswith(f"{key}.")]
        for key in sorted(fits, key=len)[-1:]:
            yield from _leaves(value[key], name[len(key) + 1 :])
