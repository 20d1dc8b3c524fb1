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
from enum import Enum

import msgspec
from msgspec import Raw

MOST_MEMBERS = 200  # a pattern that does not fit is tried in up to the square of that many steps
_MOST_LEVELS = 6

_UNFIT_NAME = re.compile(r'^$|^[\s,:\]}]|["\\\x00-\x1f\ud800-\udfff]')
_SPACED = re.compile(rb'\{"[^"]*": ')

_BRACE = ord("{")
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LEVEL = msgspec.json.Decoder(dict[str, Raw])


def _array(string: bytes, levels: int = 3, *, unlike: bytes = b"") -> bytes:
    """An array, in it arrays down to so many levels. What else is in it matters only where it is a string.

    `unlike`: characters that must not be in it but in strings.
    """
    rest = rb'[^\[\]"%b]*+' % unlike
    inner = string + b"|" + _array(string, levels - 1, unlike=unlike) if levels > 1 else string
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


WITHOUT_TEXT = frozenset({Kind.NULL, Kind.HOLLOW})
ARRAYS = frozenset({Kind.ARRAY, Kind.ARRAY_WITH_ESCAPES})
ARRAY_WITHOUT_NULL = _array(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"', unlike=b"n")
_WIDER = {Kind.STRING: Kind.STRING_WITH_QUOTES, Kind.ARRAY: Kind.ARRAY_WITH_ESCAPES}
_ORDER = list(Kind)


class Layout:
    """What was learned of the records: their members in the order of the text, and the kinds of the values."""

    def __init__(self) -> None:
        self.root: Seen | None = None
        self.gap = b""
        """The space behind a comma or colon."""

    @property
    def width(self) -> int:
        """How many members are known, inner ones included."""
        return self.root.width - 1 if self.root else 0

    def learn(self, line: bytes) -> None:
        """Take in a record, unless no pattern should fit it: too wide, too deep, odd names, no object."""
        if line[:1] != b"{":
            return
        try:
            seen = Seen.of(Raw(line), _MOST_LEVELS)
        except (UnfitError, *_UNDECODABLE):
            return
        if self.root is None:
            self.root = seen
            self.gap = b" " if _SPACED.match(line) else b""
        else:
            self.root.merge(seen)


class UnfitError(Exception):
    """A record is not worth a pattern."""


class Seen:
    """What a member may hold. `members` are those of the objects seen there, None without any."""

    def __init__(self) -> None:
        self.kinds: set[Kind] = set()
        self.members: dict[str, Seen] | None = None
        self.is_optional = False

    @classmethod
    def of(cls, raw: Raw, levels: int) -> Seen:
        value = cls()
        if memoryview(raw)[0] == _BRACE:
            value._take_members(_LEVEL.decode(raw), levels)
        else:
            value.kinds.add(Kind.of(bytes(raw)))
        return value

    def _take_members(self, inner: dict[str, Raw], levels: int) -> None:
        if not levels or len(inner) > MOST_MEMBERS or any(_UNFIT_NAME.search(name) for name in inner):
            raise UnfitError
        if inner:
            self.members = {name: Seen.of(raw, levels - 1) for name, raw in inner.items()}
        else:
            self.kinds.add(Kind.HOLLOW)

    @property
    def widest_kinds(self) -> list[Kind]:
        """Those that take in all others, in the order in which they are tried: the ones with text first."""
        return sorted((kind for kind in self.kinds if _WIDER.get(kind) not in self.kinds), key=_ORDER.index)

    @property
    def width(self) -> int:
        return 1 + sum(member.width for member in (self.members or {}).values())

    def merge(self, seen: Seen) -> None:
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

    def _insert(self, own: dict[str, Seen], others: dict[str, Seen]) -> None:
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
