"""One JSON value as one CSV cell (RFC 4180)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from app.storage.json_text import is_hollow

Cell = Callable[[Raw | bytes], bytes]

_STRING = msgspec.json.Decoder(str)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_SPECIAL = (b",", b'"', b"\r", b"\n")


def cell(value: Raw | bytes) -> bytes:
    """The cell of a JSON value: null is empty, a string is quoted, an array or object is its JSON text, quoted.

    Numbers and booleans stay as they were written. An object without any value in it is empty: it has no columns.
    """
    text = bytes(value)
    first = text[:1]
    if first == b'"':
        return escaped_cell(text) if b"\\" in text else text
    if first == b"[":
        return _quoted(text)
    if first == b"{":
        return b"" if is_hollow(Raw(text)) else _quoted(text)
    return b"" if text == b"null" else text


def escaped_cell(text: bytes) -> bytes:
    """The cell of a JSON string with escapes."""
    return _quoted(_unescaped(text))


def guarded_cell(value: Raw | bytes) -> bytes:
    """The same, but a string that a spreadsheet would run as a formula gets an apostrophe in front (OWASP)."""
    text = bytes(value)
    if text[:1] == b'"':
        plain = _unescaped(text)
        return _quoted(guarded(plain.decode(errors="replace")).encode())
    return cell(text)


def guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def header_row(names: list[str]) -> bytes:
    """The names as a row; quoted only where needed, since people look at them with simple tools."""
    cells = [name.encode(errors="replace") for name in names]
    quoted = [_quoted(name) if any(sign in name for sign in _SPECIAL) else name for name in cells]
    return (b'""' if quoted == [b""] else b",".join(quoted)) + b"\r\n"


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"'


def _unescaped(text: bytes) -> bytes:
    try:
        return _STRING.decode(text).encode()
    except UnicodeDecodeError:
        return _STRING.decode(text.decode(errors="replace").encode()).encode()
