"""Whether a JSON text is one that every reader understands alike (RFC 8259, and I-JSON's rule on names: RFC 7493 2.3).

Numbers keep their digits: a record is judged here, and goes on as its own text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from app.domain.rows.model import shown

MOST_LEVELS = 200
"""Of nesting; many readers end far below."""

_QUICK_BYTES = 256 * 1024
"""Above it no values are made of the text: sixteen MiB of empty lists would be hundreds."""

_VALUE: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
# What msgspec raises: for bad JSON; for bad UTF-8; for a nesting of a thousand levels.
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_COLONS = re.compile(rb'"[ \t\r\n]*:')
_LINE_ENDS = b"\r\n"
_TOO_DEEP = -(1 << 60)
# Possessive: nothing is tried twice, and a long string leaves no trail.
_TOKEN = re.compile(
    rb"""
    [ \t\r\n]*+(?:
      ("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      | (-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)
      | ([\[\]{},:])
      | (-?(?:NaN|Infinity))
    )
    """,
    re.VERBOSE,
)
_BLANK = re.compile(rb"[ \t\r\n]*+")
# Pairs first, so that what is left is half of one.
_SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


_Step = Callable[[], Any]


class RefusedJsonError(ValueError):
    """The text is not taken. `at` is the byte where it stops being JSON; None: it is JSON, but nobody's record."""

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at


def one_line_object(text: bytes) -> bytes:
    """The text of an object, on one line. Raises RefusedJsonError."""
    one = one_line(text)
    if not one.lstrip()[:1] == b"{":
        raise RefusedJsonError(f"a row is a JSON object, and this is {shown(one.strip().decode())}")
    return one


def one_line(text: bytes) -> bytes:
    """The text of any value, on one line: line ends between its tokens go. Raises RefusedJsonError."""
    if len(text) > _QUICK_BYTES or not _is_surely_good(text):
        _Walk(text).run()
    return text.translate(None, _LINE_ENDS) if b"\n" in text or b"\r" in text else text


def _is_surely_good(text: bytes) -> bool:
    """Read by msgspec, not too deep, and with as many members made of it as there are names in it."""
    try:
        value = _VALUE.decode(text)
    except _REFUSED:
        return False
    members = _member_count(value, MOST_LEVELS)
    return members == text.count(b":") or members == len(_COLONS.findall(text))


def _member_count(value: Any, levels: int) -> int:
    """Of all objects in the value; far below zero if it has more levels."""
    if type(value) is not dict and type(value) is not list:
        return 0
    if not levels:
        return _TOO_DEEP
    count, values = (len(value), value.values()) if type(value) is dict else (0, value)
    for each in values:
        if type(each) is dict or type(each) is list:
            count += _member_count(each, levels - 1)
    return count


class _Walk:
    """One pass over the tokens with a stack of open containers: for an object the names it has, None for an array.

    Each step reads one token or two and gives the next step.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._open: list[set[str] | None] = []
        self._at = 0
        self._refusal: RefusedJsonError | None = None
        """What no record may have, though it might be JSON: told if nothing behind it is broken."""

    def run(self) -> None:
        """Raises RefusedJsonError."""
        self._check_utf8()
        step: _Step = self._value
        while step != self._end:
            step = step()
        self._end()

    def _check_utf8(self) -> None:
        try:
            self._text.decode()
        except UnicodeDecodeError as error:
            raise RefusedJsonError(f"byte {error.start + 1} is not valid UTF-8 ({error.reason})") from None

    def _value(self) -> _Step:
        return self._any_value(may_close=False)

    def _first_value(self) -> _Step:
        return self._any_value(may_close=True)

    def _any_value(self, *, may_close: bool) -> _Step:
        found = self._token("a value")
        if found[4]:
            self._refuse(RefusedJsonError(f"{found[4].decode()} is not JSON; accepted: a number, or null"))
        if found[1]:
            self._check_string(found[1])
        mark = found[3]
        if mark in {b"[", b"{"}:
            return self._begin(mark)
        if mark == b"]" and may_close:
            self._open.pop()
        elif mark:
            raise self._syntax("a value is missing", found)
        return self._behind_value if self._open else self._end

    def _begin(self, mark: bytes) -> _Step:
        if len(self._open) == MOST_LEVELS:
            raise RefusedJsonError(f"the nesting is deeper than {MOST_LEVELS} levels")
        self._open.append(None if mark == b"[" else set())
        return self._first_value if mark == b"[" else self._first_member

    def _first_member(self) -> _Step:
        return self._any_member(may_close=True)

    def _any_member(self, *, may_close: bool) -> _Step:
        found = self._token("a name")
        if may_close and found[3] == b"}":
            self._open.pop()
            return self._behind_value if self._open else self._end
        if not found[1]:
            raise self._syntax("a name in double quotes is missing", found)
        self._note(found[1])
        colon = self._token("':'")
        if colon[3] != b":":
            raise self._syntax("':' is missing", colon)
        return self._value

    def _refuse(self, error: RefusedJsonError) -> None:
        self._refusal = self._refusal or error

    def _check_string(self, string: bytes) -> None:
        try:
            _check_surrogates(string)
        except RefusedJsonError as error:
            self._refuse(error)

    def _note(self, string: bytes) -> None:
        self._check_string(string)
        name: str = json.loads(string)
        names = self._open[-1]
        assert names is not None
        if name in names:
            self._refuse(RefusedJsonError(f"the name {shown(name)} is there twice"))
        names.add(name)

    def _behind_value(self) -> _Step:
        is_array = self._open[-1] is None
        close = b"]" if is_array else b"}"
        found = self._token(f"',' or '{close.decode()}'")
        if found[3] == close:
            self._open.pop()
            return self._behind_value if self._open else self._end
        if found[3] != b",":
            raise self._syntax(f"',' or '{close.decode()}' is missing", found)
        return self._value if is_array else self._any_member(may_close=False)

    def _end(self) -> Any:
        self._at = _end_of_blanks(self._text, self._at)
        if self._at < len(self._text):
            raise self._syntax("something follows the value")
        if self._refusal is not None:
            raise self._refusal

    def _token(self, wanted: str) -> re.Match[bytes]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self._at = _end_of_blanks(self._text, self._at)
            is_end = self._at == len(self._text)
            raise self._syntax(f"it ends where {wanted} is expected" if is_end else f"{wanted} is expected")
        self._at = found.end()
        return found

    def _syntax(self, message: str, found: re.Match[bytes] | None = None) -> RefusedJsonError:
        at = self._at if found is None or found.lastindex is None else found.start(found.lastindex)
        return RefusedJsonError(f"not JSON: {message}", at)


def _end_of_blanks(text: bytes, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _check_surrogates(string: bytes) -> None:
    if b"\\u" not in string:
        return
    for found in _SURROGATES.finditer(string):
        if found[1]:
            raise RefusedJsonError(f"the escape {found[1].decode()} is half of a surrogate pair")
