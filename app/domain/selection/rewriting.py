"""One record without its null fields: the exact way, for any record. One pass, without recursion.

The output is pieces of the text. With a field go the bytes between it and the field before it (the comma and the space
around); what opens and closes an object or array stays as it is written. A record of which nothing is left out comes
back byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.selection.scanning import UnreadableError, name_of, skip_space, string_end, value_behind_name, value_end

_OBJECT, _ARRAY, _COMMA = ord("{"), ord("["), ord(",")
_OPENING = frozenset((b"{", b"["))
_CLOSING = {_OBJECT: ord("}"), _ARRAY: ord("]")}


@dataclass
class _Level:
    """An object or array that is open. `gap_at`: behind the value before, where the gap to the next one begins."""

    kind: int
    gap_at: int
    is_begun: bool = False
    is_any_kept: bool = False


def rewritten(text: bytes) -> bytes:
    """The record without null fields, at every depth. Raises UnreadableError.

    Null elements of arrays stay, since positions have a meaning. What is no object comes back as it is.
    """
    start = skip_space(text, 0)
    return _Rewriting(text).run(start) if text[start : start + 1] == b"{" else text


def rewritten_value(text: bytes) -> bytes:
    """The same for an object or array inside a record. Raises UnreadableError."""
    return _Rewriting(text).run(0)


class _Rewriting:
    """The pass over one text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._pieces: list[bytes] = []
        self._levels: list[_Level] = []

    def run(self, start: int) -> bytes:
        self._pieces.append(self._text[:start])
        at = self._open(start)
        while self._levels:
            at = self._step(at)
        if at != len(self._text):
            raise UnreadableError(f"something follows at {at}")
        return b"".join(self._pieces)

    def _open(self, at: int) -> int:
        """Go into the object or array there. Returns where its first value or its end is."""
        inside = skip_space(self._text, at + 1)
        self._pieces.append(self._text[at:inside])
        self._levels.append(_Level(self._text[at], inside))
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
        return self._member(level, at) if level.kind == _OBJECT else self._value(level, at, at)

    def _member(self, level: _Level, at: int) -> int:
        if self._text[at : at + 1] != b'"':
            raise UnreadableError(f"no name at {at}")
        name_end = string_end(self._text, at)
        name_of(self._text, at, name_end)  # refuses what spells none
        value_at = value_behind_name(self._text, name_end)
        if self._text.startswith(b"null", value_at):
            return self._behind(value_end(self._text, value_at))
        return self._value(level, at, value_at)

    def _value(self, level: _Level, at: int, value_at: int) -> int:
        """Take a value. What begins at `at` goes with it."""
        if self._text[value_at : value_at + 1] in _OPENING:
            self._keep(level, at, value_at)
            return self._open(value_at)
        end = value_end(self._text, value_at)
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
