"""Where the values in a JSON text begin and end. Iterative: no nesting is too deep, no text is decoded.

Strings and brackets are looked at, nothing else: what lies between is the reader's business who let the record in.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_SPACE = re.compile(rb"[ \t\r\n]*")
_BARE = re.compile(rb'[^ \t\r\n,:\[\]{}"]+')
_BRACKETS_AND_QUOTES = re.compile(rb'["\[\]{}]')
_QUOTE, _BACKSLASH = b'"', ord("\\")
_OPENING = frozenset(b"[{")
_CONTAINER_OR_STRING = frozenset(b'[{"')


class UnreadableError(ValueError):
    """The text is no JSON."""


class Member(NamedTuple):
    """One field of an object, as places in its text."""

    name: str
    start: int
    value_start: int
    end: int


def skip_space(text: bytes, at: int) -> int:
    """Where the next token begins."""
    if text[at : at + 1] > b" ":
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at


def string_end(text: bytes, at: int) -> int:
    """Behind the string that begins at `at`. Raises UnreadableError."""
    quote = text.find(_QUOTE, at + 1)
    while quote > 0 and text[quote - 1] == _BACKSLASH and _is_escaped(text, at, quote):
        quote = text.find(_QUOTE, quote + 1)
    if quote < 0:
        raise UnreadableError(f"the string at {at} has no end")
    return quote + 1


def _is_escaped(text: bytes, start: int, quote: int) -> bool:
    """Whether so many backslashes are before it that the last one is not itself escaped."""
    before = quote
    while before - 1 > start and text[before - 1] == _BACKSLASH:
        before -= 1
    return (quote - before) % 2 == 1


def value_end(text: bytes, at: int) -> int:
    """Behind the value that begins at `at`. Raises UnreadableError."""
    first = text[at] if at < len(text) else 0
    if first not in _CONTAINER_OR_STRING:
        found = _BARE.match(text, at)
        if found is None:
            raise UnreadableError(f"no value at {at}")
        return found.end()
    return _container_end(text, at) if first in _OPENING else string_end(text, at)


def _container_end(text: bytes, at: int) -> int:
    depth, next_at = 0, at
    while found := _BRACKETS_AND_QUOTES.search(text, next_at):
        mark = text[found.start()]
        if mark == _QUOTE[0]:
            next_at = string_end(text, found.start())
            continue
        depth += 1 if mark in _OPENING else -1
        next_at = found.end()
        if not depth:
            return next_at
    raise UnreadableError(f"what opens at {at} does not close")


def name_of(text: bytes, at: int, end: int) -> str:
    """The name that the string there spells; two spellings of one name are one name. Raises UnreadableError."""
    if b"\\" not in text[at:end]:
        return text[at + 1 : end - 1].decode("utf-8", "surrogateescape")
    try:
        name = json.loads(text[at:end].decode("utf-8", "surrogateescape"), strict=False)
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    return str(name)


def value_behind_name(text: bytes, at: int) -> int:
    """Where the value begins whose name ends at `at`. Raises UnreadableError."""
    colon = skip_space(text, at)
    if text[colon : colon + 1] != b":":
        raise UnreadableError(f"no ':' at {colon}")
    return skip_space(text, colon + 1)


def members_of(text: bytes) -> list[Member] | None:
    """The fields of an object in order, equal names too; None where it is none. Raises UnreadableError."""
    at = skip_space(text, 0)
    if text[at : at + 1] != b"{":
        return None
    found: list[Member] = []
    at = skip_space(text, at + 1)
    while text[at : at + 1] != b"}":
        if found:
            if text[at : at + 1] != b",":
                raise UnreadableError(f"no ',' at {at}")
            at = skip_space(text, at + 1)
        if text[at : at + 1] != b'"':
            raise UnreadableError(f"no name at {at}")
        name_end = string_end(text, at)
        value_at = value_behind_name(text, name_end)
        end = value_end(text, value_at)
        found.append(Member(name_of(text, at, name_end), at, value_at, end))
        at = skip_space(text, end)
    return found
