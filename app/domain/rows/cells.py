"""The cells of a row as one JSON object: named, nested, and of the types that its fields are declared to have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from app.domain.masking import MASK, is_secret_name
from app.domain.rows.json_values import RefusedJsonError, one_line
from app.domain.rows.model import shown

MOST_NAME_PARTS = 100
"""Levels of nesting that a header may ask for."""

_ENCODE = msgspec.json.Encoder().encode
_NUL = "\0"
_ESCAPED_NUL = b"\\u0000"
_HALVES = re.compile("[\ud800-\udfff]")
# Spreadsheets and people leave out digits that JSON wants, and write some that it does not take.
_INTEGER = re.compile(r"([+-]?)(?=[0-9])0*+([0-9]*+)")
_NUMBER = re.compile(r"([+-]?)(?=\.?[0-9])0*+([0-9]*+)(?:\.([0-9]*+))?([eE][+-]?[0-9]++)?")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class CellsError(ValueError):
    """The cells do not make a record."""


class _MisfitError(ValueError):
    """The text is not of the type; the message says what would be."""


def _integer(text: str) -> Raw:
    found = _INTEGER.fullmatch(text.strip())
    if found is None:
        raise _MisfitError("digits, with or without a sign")
    return Raw(f"{found[1].replace('+', '')}{found[2] or 0}".encode())


def _number(text: str) -> Raw:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise _MisfitError("digits with a decimal point, no thousands separators")
    fraction = f".{found[3]}" if found[3] else ""
    return Raw(f"{found[1].replace('+', '')}{found[2] or 0}{fraction}{found[4] or ''}".encode())


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise _MisfitError("true, false, 1 or 0") from None


def _json(text: str) -> Raw:
    try:
        return Raw(one_line(text.encode()).strip())
    except RefusedJsonError as error:
        raise _MisfitError(f"one JSON value; {error}") from None


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}


class RecordMaker:
    """Makes the records of a file with these columns. `types`: dotted name -> type; what has none is text.

    Where a column is named like a password, no error quotes a cell: with a delimiter too many or too few in the row the
    value stands in another column.
    """

    def __init__(self, header: Sequence[str], types: Mapping[str, str], encoding: str) -> None:
        self._header = header
        self._types = types
        self._encoding = encoding
        self._converters = [_CONVERTERS.get(types.get(name, "")) for name in header]
        self._paths = [name.split(".") for name in header]
        self.is_secret = any(is_secret_name(name) for name in header)
        """A column is named like a password."""
        is_nested = any(len(path) > 1 for path in self._paths)
        self._make = self._nested if is_nested else self._typed if any(self._converters) else self._flat

    def record(self, cells: Sequence[str]) -> bytes:
        """One JSON object in UTF-8. An empty cell leaves its field out. Raises CellsError."""
        if len(cells) > len(self._header) and any(cells[len(self._header) :]):
            raise CellsError(f"the row has {len(cells)} cells, and the header names {len(self._header)}")
        try:
            record = _ENCODE(self._make(cells))
        except (UnicodeEncodeError, CellsError):
            self._check_text(cells)
            raise
        if record == b"{}":
            raise CellsError("no cell of the row has a value")
        if _ESCAPED_NUL in record:
            self._check_text(cells)
        return record

    def _flat(self, cells: Sequence[str]) -> dict[str, Any]:
        return {name: cell for name, cell in zip(self._header, cells, strict=False) if cell}

    def _typed(self, cells: Sequence[str]) -> dict[str, Any]:
        return {
            name: self._value(convert, cell, name) if convert else cell
            for name, convert, cell in zip(self._header, self._converters, cells, strict=False)
            if cell
        }

    def _nested(self, cells: Sequence[str]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for path, convert, cell in zip(self._paths, self._converters, cells, strict=False):
            if not cell:
                continue
            place = record
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = self._value(convert, cell, ".".join(path)) if convert else cell
        return record

    def _value(self, convert: Callable[[str], Any], cell: str, name: str) -> Any:
        try:
            return convert(cell)
        except (_MisfitError, UnicodeEncodeError) as error:
            what = MASK if self.is_secret else shown(cell)
            message = f"field {shown(name)}: {what} is not of type {self._types[name]}; accepted: {error}"
            raise CellsError(message) from None

    def _check_text(self, cells: Sequence[str]) -> None:
        """Say what is wrong with the characters, if it is they: then nothing else that was found means much."""
        for name, cell in zip(self._header, cells, strict=False):
            what = MASK if self.is_secret else shown(cell)
            if _HALVES.search(cell):
                raise CellsError(
                    f"field {shown(name)}: {what} holds bytes that are not {self._encoding}; "
                    "where the file is in another character set, state metaData.encoding"
                )
            if _NUL in cell:
                raise CellsError(f"field {shown(name)}: {what} holds a NUL character, which no CSV may")


def name_parts(name: str) -> list[str]:
    """The parts of a dotted name. Raises CellsError."""
    parts = name.split(".")
    if not all(parts):
        raise CellsError("has an empty part between its dots; accepted: names joined with single dots")
    if len(parts) > MOST_NAME_PARTS:
        raise CellsError(f"has {len(parts)} parts; accepted: at most {MOST_NAME_PARTS}")
    return parts
