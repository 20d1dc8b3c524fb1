"""The slow, tolerant way to cut JSON text: what the fast one refuses although it is JSON, such as lone surrogates.

The standard library's C scanner finds where each value ends; the text between is kept as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")


class NotJsonError(ValueError):
    """The text is not JSON."""


def _refuse(constant: str) -> Any:
    raise NotJsonError(f"{constant} is not JSON")


# Numbers stay text: faster, and no limit on the length of an integer.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)
_VALUES = json.JSONDecoder(parse_constant=_refuse)


def scan_items(text: bytes) -> list[bytes] | None:
    """The items of an array, each as its own text; None when it is no array. Raises NotJsonError, RecursionError."""
    source = _text(text)
    start = _skip(source, 0)
    if not source.startswith("[", start):
        _whole(source)
        return None
    spans = list(_spans(source, start, "]", is_object=False))
    return [source[begin:end].encode("utf-8", "surrogatepass") for _, begin, end in spans]


def scan_members(text: bytes) -> dict[str, bytes]:
    """The members of an object, each value as its own text. Raises NotJsonError, RecursionError."""
    source = _text(text)
    start = _skip(source, 0)
    if not source.startswith("{", start):
        raise NotJsonError("no object")
    spans = _spans(source, start, "}", is_object=True)
    return {key: source[begin:end].encode("utf-8", "surrogatepass") for key, begin, end in spans}


def decode_small(text: bytes) -> Any:
    """The value that `text` spells. Raises NotJsonError."""
    source = _text(text)
    try:
        value, end = _VALUES.raw_decode(source, _skip(source, 0))
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    _check_end(source, end)
    return value


def _whole(source: str) -> None:
    _check_end(source, _value_end(source, _skip(source, 0)))


def _spans(source: str, start: int, close: str, *, is_object: bool) -> Iterator[tuple[str, int, int]]:
    """(key or "", begin, end) of each value inside the container that opens at `start`."""
    position = _skip(source, start + 1)
    if source.startswith(close, position):
        _check_end(source, position + 1)
        return
    while True:
        key, begin = _key(source, position) if is_object else ("", position)
        end = _value_end(source, begin)
        yield key, begin, end
        position = _skip(source, end)
        if source.startswith(close, position):
            _check_end(source, position + 1)
            return
        if not source.startswith(",", position):
            raise NotJsonError(f"no ',' at {position}")
        position = _skip(source, position + 1)


def _key(source: str, position: int) -> tuple[str, int]:
    if not source.startswith('"', position):
        raise NotJsonError(f"no key at {position}")
    try:
        key, end = _VALUES.raw_decode(source, position)
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    colon = _skip(source, end)
    if not source.startswith(":", colon):
        raise NotJsonError(f"no ':' at {colon}")
    return key, _skip(source, colon + 1)


def _value_end(source: str, position: int) -> int:
    try:
        return _DECODER.raw_decode(source, position)[1]
    except ValueError as error:
        raise NotJsonError(str(error)) from None


def _skip(source: str, position: int) -> int:
    match = _SPACE.match(source, position)
    return position if match is None else match.end()


def _check_end(source: str, position: int) -> None:
    if _skip(source, position) != len(source):
        raise NotJsonError(f"something follows at {position}")


def _text(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJsonError(str(error)) from None
