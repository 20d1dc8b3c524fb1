"""One record with fewer fields: the exact way, for any record. One pass, without recursion.

The output is pieces of the text. With a field go the bytes between it and the field before it (the comma and the space
around); what opens and closes an object or array stays as it is written. A record of which nothing is left out comes
back byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.selection.fields import Fields
from app.domain.selection.scanning import UnreadableError, name_of, skip_space, string_end, value_behind_name, value_end

_OBJECT, _ARRAY, _COMMA = ord("{"), ord("["), ord(",")
_OPENING = frozenset((b"{", b"["))
_CLOSING = {_OBJECT: ord("}"), _ARRAY: ord("]")}


@dataclass
class _Level:
    """An object or array that is open. `gap_at`: behind the value before, where the gap to the next one begins."""

    fields: Fields
    kind: int
    gap_at: int
    is_begun: bool = False
    is_any_kept: bool = False


def rewritten(text: bytes, fields: Fields, *, drops_nulls: bool) -> bytes:
    """The record with these fields only, without null ones if that is asked. Raises UnreadableError.

    Of an array in the place of an object each element is treated alike. Objects and arrays on the way to a chosen field
    stay even if it is not in them; other values there have no fields and go. Null elements of arrays that are chosen
    stay, since positions have a meaning. What is no object comes back as it is.
    """
    start = skip_space(text, 0)
    if text[start : start + 1] != b"{":
        return text
    return _Rewriting(text, drops_nulls=drops_nulls).run(start, fields)


def rewritten_value(text: bytes, fields: Fields, *, drops_nulls: bool) -> bytes | None:
    """The same for a value inside a record; None if it has no fields. Raises UnreadableError."""
    if text[:1] not in _OPENING:
        return None
    return _Rewriting(text, drops_nulls=drops_nulls).run(0, fields)


class _Rewriting:
    """The pass over one text."""

    def __init__(self, text: bytes, *, drops_nulls: bool) -> None:
        self._text = text
        self._drops_nulls = drops_nulls
        self._pieces: list[bytes] = []
        self._levels: list[_Level] = []

    def run(self, start: int, fields: Fields) -> bytes:
        self._pieces.append(self._text[:start])
        at = self._open(start, fields)
        while self._levels:
            at = self._step(at)
        if at != len(self._text):
            raise UnreadableError(f"something follows at {at}")
        return b"".join(self._pieces)

    def _open(self, at: int, fields: Fields) -> int:
        """Go into the object or array there. Returns where its first value or its end is."""
        inside = skip_space(self._text, at + 1)
        self._pieces.append(self._text[at:inside])
        self._levels.append(_Level(fields, self._text[at], inside))
        return inside

    def _step(self, at: int) -> int:
        """Take the next value of the innermost level, or its end. Returns where it goes on."""
        level = self._levels[-1]
        found = self._text[at] if at < len(self._text) else 0
        if found == _CLOSING[level.kind]:
            self._levels.pop()
            self._pieces.append(self._text[level.gap_at : at + 1])
            return self._behind(at + 1)
        if level.is_begun:
            if found != _COMMA:
                raise UnreadableError(f"no ',' at {at}")
            at = skip_space(self._text, at + 1)
        level.is_begun = True
        return self._member(level, at) if level.kind == _OBJECT else self._element(level, at)

    def _member(self, level: _Level, at: int) -> int:
        if self._text[at : at + 1] != b'"':
            raise UnreadableError(f"no name at {at}")
        name_end = string_end(self._text, at)
        value_at = value_behind_name(self._text, name_end)
        fields = level.fields.within(name_of(self._text, at, name_end))
        if fields is None or (self._drops_nulls and self._text.startswith(b"null", value_at)):
            return self._behind(value_end(self._text, value_at))
        return self._value(level, at, value_at, fields)

    def _element(self, level: _Level, at: int) -> int:
        return self._value(level, at, at, level.fields)

    def _value(self, level: _Level, at: int, value_at: int, fields: Fields) -> int:
        """Take or leave a value of which these fields are chosen. What begins at `at` goes with it."""
        is_open = self._text[value_at : value_at + 1] in _OPENING
        if is_open and (self._drops_nulls or not fields.whole):
            self._keep(level, at, value_at)
            return self._open(value_at, fields)
        end = value_end(self._text, value_at)
        if fields.whole:
            self._keep(level, at, end)
        return self._behind(end)

    def _keep(self, level: _Level, at: int, end: int) -> None:
        self._pieces.append(self._text[level.gap_at if level.is_any_kept else at : end])
        level.is_any_kept = True

    def _behind(self, end: int) -> int:
        """Note that a value ended there. Returns where the next token is."""
        if self._levels:
            self._levels[-1].gap_at = end
        return skip_space(self._text, end)
