"""Which records belong to a window and fulfil a condition. Only the fields that are asked about are decoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from math import inf
from typing import Any, TypedDict

import msgspec

from app.domain.instants import parse_instant
from app.domain.selection.scanning import UnreadableError, members_of
from app.domain.selection.window import Window

Predicate = Callable[[Mapping[str, Any]], bool]
Record = bytes | msgspec.Raw
Values = dict[str, Any]

_MOST_LEVELS = 100
_SURROGATES = "surrogateescape"


class NeededFields:
    """Decodes from records the top-level fields that some dotted names lead through, and nothing else.

    Numbers are int, or exact as Decimal. A name that comes twice counts with its last value. A record that is no object
    or no JSON has no fields, and a value that Python cannot hold is as absent.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._tops = frozenset(top for name in names for top in _tops(name))
        shape = TypedDict("Needed", dict.fromkeys(self._tops, Any), total=False)  # type: ignore[misc]
        self._decoder = msgspec.json.Decoder(shape, float_hook=Decimal)

    def of_all(self, records: Sequence[Record]) -> list[Values]:
        """Those of each record."""
        try:
            decoded: list[Any] = self._decoder.decode_lines(b"\n".join(records))
        except _UNDECODABLE:
            return [self.of(record) for record in records]
        return decoded if len(decoded) == len(records) else [self.of(record) for record in records]

    def of(self, record: Record) -> Values:
        """Those of one record. Never raises."""
        try:
            decoded: Any = self._decoder.decode(record)
        except _UNDECODABLE:
            return self._scanned(bytes(record))
        return dict(decoded)

    def _scanned(self, text: bytes) -> Values:
        try:
            return {name: _decoded(raw) for name, raw in _members(text) if name in self._tops}
        except UnreadableError:
            return {}
        except _OUT_OF_REACH:
            return self._scanned_singly(text)

    def _scanned_singly(self, text: bytes) -> Values:
        values: Values = {}
        for name, raw in _members(text):
            if name in self._tops:
                values.pop(name, None)
                try:
                    values[name] = _decoded(raw)
                except _OUT_OF_REACH:
                    continue
        return values


@lru_cache(maxsize=1024)
def _tops(name: str) -> tuple[str, ...]:
    """The names at which a dotted name may begin, longest first: `a.b` is found as "a.b" and within "a"."""
    parts = name.split(".")
    return (name, *(".".join(parts[:count]) for count in range(min(len(parts) - 1, _MOST_LEVELS), 0, -1)))


def _members(text: bytes) -> list[tuple[str, bytes]]:
    """Names and values of an object, in order; none of anything else. Raises UnreadableError."""
    return [(each.name, text[each.value_start : each.end]) for each in members_of(text) or ()]


def _number(text: str) -> Any:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds: nothing, or more than anything else
        nearest = float(text)
        return Decimal(f"{nearest}".replace("inf", "1e999999"))


def _integer(text: str) -> Any:
    return int(text) if len(text) <= _MOST_DIGITS else Decimal(text)


_MOST_DIGITS = 4000  # Python refuses a little more, as it would take long
_SLOW = json.JSONDecoder(parse_float=_number, parse_int=_integer, strict=False)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidOperation)
_OUT_OF_REACH = (ValueError, RecursionError)


def _decoded(raw: bytes) -> Any:
    return _SLOW.decode(raw.decode("utf-8", _SURROGATES))


def found(values: Values, name: str) -> Any:
    """The value that a dotted name leads to, None if there is none. As in conditions the longest key wins each time."""
    value: Any = values
    while isinstance(value, dict):
        key = next((key for key in _tops(name) if key in value), None)
        if key is None or key == name:
            return value.get(name)
        value, name = value[key], name[len(key) + 1 :]
    return None


class Judge:
    """Says of records which ones are kept, and counts why the others are not."""

    def __init__(self, window: Window | None, condition: Predicate | None, condition_fields: Iterable[str]) -> None:
        self._window = window
        self._condition = condition
        self._start, self._end = (-inf, inf) if window is None else window.ends
        names = [*condition_fields] if condition else []
        self._needed = NeededFields([*names, window.field] if window else names)

    def kept(self, records: Sequence[Record], room: int) -> tuple[list[Record], int, int]:
        """(at most `room` of the records, how many were looked at until then, how many of those have no date)."""
        chosen: list[Record] = []
        undated = consumed = 0
        judge = self._verdict
        for record, values in zip(records, self._needed.of_all(records), strict=True):
            if len(chosen) >= room:
                break
            consumed += 1
            verdict = judge(values)
            if verdict:
                chosen.append(record)
            elif verdict is None:
                undated += 1
        return chosen, consumed, undated

    def _verdict(self, values: Values) -> bool | None:
        """Whether the record stays; None if it has no date."""
        window = self._window
        if window is not None:
            instant_ns = parse_instant(values.get(window.field) or found(values, window.field))
            if instant_ns is None:
                return None
            if not self._start <= instant_ns <= self._end:
                return False
        return self._condition is None or self._condition(values)
