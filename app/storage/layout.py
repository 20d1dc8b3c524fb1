"""Where the members of records lie in their text: learned from a few records, said as a regular expression.

Most vendors write the records of an object alike, member after member. A pattern that knows their names finds all
values of such a record in half the time that decoding takes. It must fit from end to end; whatever it does not fit is
taken apart the slow way. So only the speed rests on what was learned, never the result.

Patterns are for sound JSON. For speed they may take a quote with a backslash before it for the end of a string, or a
real end for one that is none; but then they cannot go on: behind the value comes `,"NAME":`, whose quote is an end at
last, and no end is followed by what a name begins with (`_UNFIT_NAME` sees to that); or the newline, which no string
holds. Inside arrays there are no names to hold on to, so strings there are taken exactly.

Only single characters are repeated possessively (`*+`): Python 3.11 has releases in which that goes wrong for groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from msgspec import Raw

from app.errors import StorageError
from app.storage.json_text import decoded, is_object
from app.storage.shape import Tree

MOST_MEMBERS = 200  # a pattern that does not fit is tried in up to the square of that many steps
_MOST_LEVELS = 6

_UNFIT_NAME = re.compile(r'^$|^[\s,:\]}]|["\\\x00-\x1f\ud800-\udfff]')
_SPACED = re.compile(rb'\{"[^"]*": ')


def _array(string: bytes, levels: int = 3) -> bytes:
    """An array, in it arrays down to so many levels. What else is in it matters only where it is a string."""
    rest = rb'[^\[\]"]*+'
    inner = string + b"|" + _array(string, levels - 1) if levels > 1 else string
    return rb"\[" + rest + b"(?:(?:" + inner + b")" + rest + rb")*\]"


class Kind(Enum):
    """What a value may be, as a pattern. Objects with members are no kind: they have a pattern of their own."""

    STRING = rb'"[^"]*+"'
    STRING_WITH_QUOTES = rb'"[^"]*+(?:(?<=\\)"[^"]*+)*"'
    BARE = rb"[-+.0-9A-Za-mo-z]++"  # numbers, true, false
    ARRAY = _array(rb'"[^"\\]*+"')
    ARRAY_WITH_ESCAPES = _array(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"')
    NULL = rb"null"
    HOLLOW = rb"\{\}"

    @classmethod
    def of(cls, raw: bytes) -> Kind:
        """That of anything but an object with members."""
        match raw[:1]:
            case b'"':
                return cls.STRING_WITH_QUOTES if b'\\"' in raw else cls.STRING
            case b"[":
                return cls.ARRAY_WITH_ESCAPES if b"\\" in raw else cls.ARRAY
            case b"{":
                return cls.HOLLOW
            case b"n":
                return cls.NULL
            case _:
                return cls.BARE


_ARRAYS = {Kind.ARRAY, Kind.ARRAY_WITH_ESCAPES}
_WITH_TEXT = [Kind.STRING_WITH_QUOTES, Kind.STRING, Kind.BARE, Kind.ARRAY_WITH_ESCAPES, Kind.ARRAY]
_WITHOUT_TEXT = [Kind.NULL, Kind.HOLLOW]
_WIDER = {Kind.STRING: Kind.STRING_WITH_QUOTES, Kind.ARRAY: Kind.ARRAY_WITH_ESCAPES}


class Layout:
    """What was learned of the records: their members in the order of the text, and the kinds of the values."""

    def __init__(self) -> None:
        self._root: _Value | None = None
        self._gap = b""

    @property
    def width(self) -> int:
        """How many members are known, inner ones included."""
        return self._root.width - 1 if self._root else 0

    def learn(self, line: bytes) -> None:
        """Take in a record, unless no pattern should fit it: too wide, too deep, odd names, no object."""
        record = Raw(line)
        if not is_object(record):
            return
        try:
            seen = _Value.of(record, _MOST_LEVELS)
        except (StorageError, _UnfitError):
            return
        if self._root is None:
            self._root = seen
            self._gap = b" " if _SPACED.match(line) else b""
        else:
            self._root.merge(seen)

    def pattern(self, columns: Tree | None = None) -> bytes | None:
        """What a line with its newline looks like; None where nothing is known, or too much.

        Without columns there is one group: a line that is laid out in another way. With columns there is a group for
        each that may have text, `cN` for column N or `aN` if that may be an array; and all groups of such a line are
        empty.
        """
        if self._root is None or self.width > MOST_MEMBERS:
            return None
        return self._object(self._root, columns) + (rb"\n|.*\n" if columns else rb"\n|(.*\n)")

    def _object(self, value: _Value, columns: Tree | None) -> bytes:
        members = list((value.members or {}).items())
        needed = [place for place, (_, inner) in enumerate(members) if not inner.is_optional]
        text = b""
        for place, (name, inner) in enumerate(members):
            comma = b"," + self._gap
            if place == len(members) - 1:
                comma = b""
            elif not needed or place >= needed[-1]:
                comma = b"(?:" + comma + b"|)"
            text += self._member(name, inner, columns, comma)
        return rb"\{" + text + rb"\}"

    def _member(self, name: str, value: _Value, columns: Tree | None, comma: bytes) -> bytes:
        column = columns.fields.get(name) if columns else None
        inner = b"|".join(self._alternatives(value, column))
        text = b'"' + re.escape(name.encode()) + b'":' + self._gap + b"(?:" + inner + b")" + comma
        return b"(?:" + text + b"|)" if value.is_optional else text

    def _alternatives(self, value: _Value, column: Tree | None) -> Iterator[bytes]:
        kinds = {kind for kind in value.kinds if _WIDER.get(kind) not in value.kinds}
        if with_text := b"|".join(kind.value for kind in _WITH_TEXT if kind in kinds):
            if column is None or column.column is None:
                yield with_text
            else:
                letter = b"a" if kinds & _ARRAYS else b"c"
                yield b"(?P<%b%d>%b)" % (letter, column.column, with_text)
        yield from (kind.value for kind in _WITHOUT_TEXT if kind in kinds)
        is_shown_as_text = column is not None and not column.fields
        if value.members and not is_shown_as_text:
            yield self._object(value, column)


class _UnfitError(Exception):
    """A record is not worth a pattern."""


class _Value:
    """What a member may hold. `members` are those of the objects seen there, None without any."""

    def __init__(self) -> None:
        self.kinds: set[Kind] = set()
        self.members: dict[str, _Value] | None = None
        self.is_optional = False

    @classmethod
    def of(cls, raw: Raw, levels: int) -> _Value:
        value = cls()
        if is_object(raw):
            value._take_members(decoded(raw), levels)
        else:
            value.kinds.add(Kind.of(bytes(raw)))
        return value

    def _take_members(self, inner: dict[str, Raw], levels: int) -> None:
        if not levels or len(inner) > MOST_MEMBERS or any(_UNFIT_NAME.search(name) for name in inner):
            raise _UnfitError
        if inner:
            self.members = {name: _Value.of(raw, levels - 1) for name, raw in inner.items()}
        else:
            self.kinds.add(Kind.HOLLOW)

    @property
    def width(self) -> int:
        return 1 + sum(member.width for member in (self.members or {}).values())

    def merge(self, seen: _Value) -> None:
        """Hold what the other one holds too."""
        self.kinds |= seen.kinds
        if seen.members is None:
            return
        if self.members is None:
            self.members = seen.members
            return
        for name in self.members.keys() - seen.members.keys():
            self.members[name].is_optional = True
        if seen.members.keys() - self.members.keys():
            self._insert(self.members, seen.members)
        for name in self.members.keys() & seen.members.keys():
            self.members[name].merge(seen.members[name])

    def _insert(self, own: dict[str, _Value], others: dict[str, _Value]) -> None:
        """New members come behind the one that was before them in the record."""
        names = list(own)
        place = 0
        for name, member in others.items():
            if name in own:
                place = names.index(name) + 1
            else:
                member.is_optional = True
                names.insert(place, name)
                place += 1
        self.members = {name: own.get(name) or others[name] for name in names}
