"""One value of a record against the values of a condition: what is equal, and which is larger.

What is compared as what depends on both sides:

| in the record | in the query | compared as |
|---|---|---|
| number | number, or text that spells one | numbers, exactly: `7267.30` is `7267.3`, 30 digits stay 30 digits |
| text that spells a number | bare number | numbers: vendors send counts and decimals as text |
| text | text | texts, by code point and case: the zip `'01234'` is not `'1234'` |
| text or number that is a date | date, or text that is one | instants, whatever the offsets and forms |
| boolean | `true`, `false`, or text that spells one | booleans; text against a bare one, too |

Two values of other kinds are not equal, and neither is larger: `size > 5` says nothing about `"XL"`.
A float stands for the shortest decimal that reads back as it, which is what the vendor wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from app.domain.instants import parse_instant
from app.domain.ocnql.lexer import NUMBER
from app.domain.ocnql.tree import Boolean, Date, Number, Text, Value

_LONGEST_NUMBER = 400
_FLAGS = {"true": True, "false": False}


def read_number(text: str) -> Decimal | None:
    """The number that a text spells, without blanks around it."""
    return Decimal(text) if len(text) <= _LONGEST_NUMBER and NUMBER.fullmatch(text) else None


def number_of(value: Any) -> Decimal | int | None:
    """A number of a record, exact. None for a boolean and for what JSON does not know (NaN, infinities)."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float):
        value = Decimal(repr(value))
    return value if isinstance(value, int) or value.is_finite() else None


def instant_of(value: Value) -> int | None:
    """Nanoseconds since 1970 of a bare date, or of a text that is a date and no number; else None."""
    if isinstance(value, Date):
        return parse_instant(value.text)
    if isinstance(value, Text) and read_number(value.text) is None:
        return parse_instant(value.text)
    return None


def decimal_of(value: Value) -> Decimal | None:
    """The number that a value is or spells."""
    if isinstance(value, Number):
        return value.number
    return read_number(value.text) if isinstance(value, Text) else None


def flag_of(value: Value) -> bool | None:
    """The boolean that a value is or spells, in any case."""
    if isinstance(value, Boolean):
        return value.is_true
    return _FLAGS.get(value.text.lower()) if isinstance(value, Text) else None


class Members:
    """A set of values of a query. One look-up tells whether a value of a record equals one, however many there are."""

    def __init__(self, values: Iterable[Value]) -> None:
        given = tuple(values)
        self._texts = {each.text for each in given if isinstance(each, Text)}
        self._bare_numbers = {each.number for each in given if isinstance(each, Number)}
        self._bare_flags = {each.is_true for each in given if isinstance(each, Boolean)}
        self._numbers = {decimal_of(each) for each in given} - {None}
        self._instants = {instant_of(each) for each in given} - {None}
        self._flags = {flag_of(each) for each in given} - {None}

    def __contains__(self, value: object) -> bool:
        if isinstance(value, str):
            return value in self._texts or self._has_spelled(value)
        if isinstance(value, bool):
            return value in self._flags
        number = number_of(value)
        if number is None:
            return False
        return number in self._numbers or bool(self._instants and parse_instant(number) in self._instants)

    def _has_spelled(self, text: str) -> bool:
        if self._bare_numbers and read_number(text) in self._bare_numbers:
            return True
        if self._bare_flags and _FLAGS.get(text.lower()) in self._bare_flags:
            return True
        return bool(self._instants and parse_instant(text) in self._instants)


class Bound:
    """A value of a query that others are smaller or larger than."""

    def __init__(self, value: Value) -> None:
        self._text = value.text if isinstance(value, Text) else None
        self._number = decimal_of(value)
        self._is_number = isinstance(value, Number)
        self._instant = instant_of(value)

    def order(self, value: object) -> int | None:
        """Below 0 where the record's value is the smaller one, 0, or above 0; None where neither can be said."""
        if isinstance(value, str):
            return self._order_of_text(value)
        number = number_of(value)
        if number is None:
            return None
        if self._number is not None:
            return _order(number, self._number)
        return self._order_of_instant(number)

    def _order_of_text(self, text: str) -> int | None:
        if self._is_number:
            return _order(read_number(text), self._number)
        if self._instant is not None:
            return self._order_of_instant(text)
        return _order(text, self._text)

    def _order_of_instant(self, value: object) -> int | None:
        return None if self._instant is None else _order(parse_instant(value), self._instant)


def _order(one: Any, two: Any) -> int | None:
    if one is None or two is None:
        return None
    return int(one > two) - int(one < two)
