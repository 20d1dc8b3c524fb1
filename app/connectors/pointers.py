"""JSON Pointers (RFC 6901) into JSON text that stays text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from app.connectors.scanner import NotJsonError, decode_small, scan_items, scan_members


class Missing(Exception):  # noqa: N818 - an answer, not an error: the text is not JSON, so nothing is there
    """The text cannot be read."""


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


@lru_cache(maxsize=4096)
def split_pointer(pointer: str) -> tuple[str, ...]:
    """The unescaped keys of a pointer; none for the whole document. Raises ValueError."""
    if pointer == "":
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON Pointer: empty, or beginning with '/'")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def find_raw(text: bytes | msgspec.Raw, pointer: str) -> bytes | msgspec.Raw | None:
    """The JSON text at `pointer`, unchanged; None where there is nothing or null. Raises Missing, RecursionError."""
    found: bytes | msgspec.Raw | None = text
    try:
        for key in split_pointer(pointer):
            found = None if found is None else _child(found, key)
    except NotJsonError:
        raise Missing from None
    return None if found is None or bytes(found).strip() == b"null" else found


def find_small(record: bytes | msgspec.Raw, pointer: str) -> bytes | msgspec.Raw | None:
    """As `find_raw`, in less time where `pointer` is a member of an object: nothing beside it is kept."""
    decoder = _member_decoder(pointer)
    if decoder is None:
        return find_raw(record, pointer)
    try:
        found: msgspec.Raw = decoder.decode(record).found
    except msgspec.MsgspecError:
        return find_raw(record, pointer)
    return None if bytes(found) == b"null" else found


@lru_cache(maxsize=512)
def _member_decoder(pointer: str) -> Any:
    path = split_pointer(pointer)
    if len(path) != 1:
        return None
    found = [("found", msgspec.Raw, msgspec.Raw(b"null"))]
    try:
        return msgspec.json.Decoder(msgspec.defstruct("Found", found, rename={"found": path[0]}, gc=False))
    except ValueError:  # msgspec takes no name with a quote, a backslash or a control character
        return None


def find_value(text: bytes, pointer: str) -> Any:
    """The decoded value at `pointer`, None where there is nothing. Raises Missing."""
    raw = find_raw(text, pointer)
    if raw is None:
        return None
    try:
        return decode_small(bytes(raw))
    except NotJsonError:
        raise Missing from None


def _child(text: bytes | msgspec.Raw, key: str) -> bytes | msgspec.Raw | None:
    start = bytes(text).lstrip()[:1]
    if start == b"[":
        items = _items(text)
        return items[int(key)] if key.isdigit() and int(key) < len(items) else None
    return _members(text).get(key) if start == b"{" else None


def _members(text: bytes | msgspec.Raw) -> dict[str, Any]:
    try:
        return _MEMBERS.decode(text)
    except msgspec.MsgspecError:
        return scan_members(bytes(text))


def _items(text: bytes | msgspec.Raw) -> list[Any]:
    try:
        return [*_ITEMS.decode(text)]
    except msgspec.MsgspecError:
        return scan_items(bytes(text)) or []
