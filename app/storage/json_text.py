"""Handling JSON as the vendor wrote it, one level at a time, without decoding numbers."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from app.errors import StorageError

_HAS_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Escapes in order, so that the `u` of an escaped backslash is not taken for one: pairs, halves, all others.
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
# What msgspec raises: for bad JSON or another type; for bad UTF-8 in a name; for a nesting of a thousand levels.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# What stands before a number, true or false (strings as a whole), then that. Possessive: nothing is tried twice.
_BARE_VALUE = re.compile(rb"""((?:[^"0-9tf-]++|"(?:[^"\\]++|\\.)*+")*+)(-?[0-9][0-9.eE+-]*+|true|false)""", re.DOTALL)
_SENTINEL = b"0"  # with it every match succeeds, so none begins inside a string

_BRACE = ord("{")
_ANY_LINES = msgspec.json.Decoder(Raw)
_LEVEL = msgspec.json.Decoder(dict[str, Raw])


def mended(text: bytes) -> tuple[bytes, int]:
    """JSON texts, one a line, with the escape of U+FFFD for each unpaired surrogate's, and how many there were."""
    if b"\\" not in text or _is_read(text) or not _HAS_SURROGATE.search(text):
        return text, 0
    count = 0

    def replaced(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[1] is None:
            return match[0]
        count += 1
        return rb"\ufffd"

    return _ESCAPES.sub(replaced, text), count


def _is_read(text: bytes) -> bool:
    """Whether msgspec takes it, which it does not if a surrogate is unpaired. Looking for surrogates takes longer."""
    try:
        _ANY_LINES.decode_lines(text)
    except UNDECODABLE:
        return False
    return True


def with_values_as_strings(text: bytes) -> bytes:
    """JSON texts with each number, true and false, however deep, as a string of the same characters."""
    return _BARE_VALUE.sub(rb'\1"\2"', text + _SENTINEL)[: -len(_SENTINEL) - 2]


def is_object(value: Raw) -> bool:
    return memoryview(value)[0] == _BRACE


def decoded(value: Raw) -> dict[str, Raw]:
    """The members of an object, values as they were written; a name given twice counts once, the last value wins.

    Invalid UTF-8 in it is replaced. StorageError if it is no JSON object even so.
    """
    try:
        return _LEVEL.decode(value)
    except UnicodeDecodeError:
        return decoded(Raw(bytes(value).decode(errors="replace").encode()))
    except UNDECODABLE as error:
        raise StorageError(f"a stored record is no JSON that can be taken apart: {error}") from error


def is_hollow(value: Raw) -> bool:
    """Whether it is an object that holds nothing but such objects."""
    values = [value]
    while values:
        inner = values.pop()
        if not is_object(inner):
            return False
        values += decoded(inner).values()
    return True
