"""The chosen fields of one record: the exact way, for any record. One pass, without recursion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.domain.selection.fields import Fields
from app.domain.selection.scanning import UnreadableError, name_of, skip_space, string_end, value_behind_name, value_end

_OBJECT, _ARRAY, _COMMA = ord("{"), ord("["), ord(",")
_OPENING = frozenset((b"{", b"["))
_CLOSING = {_OBJECT: ord("}"), _ARRAY: ord("]")}

_Part = bytes | list["_Part"]
"""Text in parts: joined once, at the end, as joining at every level would copy what is deep over and over."""


@dataclass
class _Level:
    """An object or array that is open. `place` and `label` are its own, in the one around it."""

    fields: Fields
    kind: int
    place: int
    label: bytes
    kept: dict[int, list[_Part]] = field(default_factory=dict)
    is_begun: bool = False


def chosen(text: bytes, fields: Fields) -> bytes:
    """The record with these fields only, in their order, no space around them; values as they are written.

    Of an array in the place of an object each element is treated alike. Objects and arrays on the way to a chosen field
    stay even if it is not in them; other values there have no fields and go. Of equal names the last one counts. What
    is no object comes back as it is. Raises UnreadableError.
    """
    start = skip_space(text, 0)
    return _Choosing(text).run(start, fields) if text[start : start + 1] == b"{" else text


def chosen_value(text: bytes, fields: Fields) -> bytes | None:
    """The same for a value inside a record; None if it has no fields. Raises UnreadableError."""
    return _Choosing(text).run(0, fields) if text[:1] in _OPENING else None


class _Choosing:
    """The pass over one text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._levels: list[_Level] = []

    def run(self, start: int, fields: Fields) -> bytes:
        root = _Level(fields, _ARRAY, 0, b"")
        self._levels.append(root)
        at = self._open(start, 0, b"", fields)
        while len(self._levels) > 1:
            at = self._step(at)
        if at != len(self._text):
            raise UnreadableError(f"something follows at {at}")
        return b"".join(_flat(root.kept[0]))

    def _open(self, at: int, place: int, label: bytes, fields: Fields) -> int:
        """Go into the object or array there. Returns where its first value or its end is."""
        self._levels.append(_Level(fields, self._text[at], place, label))
        return skip_space(self._text, at + 1)

    def _step(self, at: int) -> int:
        """Take the next value of the innermost level, or its end. Returns where it goes on."""
        level = self._levels[-1]
        found = self._text[at] if at < len(self._text) else 0
        if found == _CLOSING[level.kind]:
            self._levels.pop()
            self._levels[-1].kept[level.place] = [level.label, _closed(level)]
            return skip_space(self._text, at + 1)
        if level.is_begun:
            if found != _COMMA:
                raise UnreadableError(f"no ',' at {at}")
            at = skip_space(self._text, at + 1)
        level.is_begun = True
        if level.kind == _ARRAY:
            return self._value(level, at, len(level.kept), b"", level.fields)
        return self._member(level, at)

    def _member(self, level: _Level, at: int) -> int:
        if self._text[at : at + 1] != b'"':
            raise UnreadableError(f"no name at {at}")
        name_end = string_end(self._text, at)
        value_at = value_behind_name(self._text, name_end)
        field = level.fields.chosen.get(name_of(self._text, at, name_end))
        if field is None:
            return skip_space(self._text, value_end(self._text, value_at))
        level.kept.pop(field.place, None)
        return self._value(level, value_at, field.place, field.label, field.inner)

    def _value(self, level: _Level, at: int, place: int, label: bytes, inner: Fields | None) -> int:
        """Take or leave a value of which these fields are chosen. Returns where the next token is."""
        if inner is not None and self._text[at : at + 1] in _OPENING:
            return self._open(at, place, label, inner)
        end = value_end(self._text, at)
        if inner is None:
            level.kept[place] = [label, self._text[at:end]]
        return skip_space(self._text, end)


def _closed(level: _Level) -> list[_Part]:
    """All that is kept of an object or array, in the order of the places."""
    parts: list[_Part] = [bytes([level.kind])]
    for place in sorted(level.kept):
        if len(parts) > 1:
            parts.append(b",")
        parts += level.kept[place]
    return [*parts, bytes([_CLOSING[level.kind]])]


def _flat(parts: list[_Part]) -> Iterator[bytes]:
    under_way = [iter(parts)]
    while under_way:
        for part in under_way[-1]:
            if isinstance(part, bytes):
                yield part
            else:
                under_way.append(iter(part))
                break
        else:
            under_way.pop()
