"""From rows to the body of a write. A row's JSON text goes out byte for byte, unless a member has to be left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from app.connectors.pointers import Missing, find_raw, split_pointer
from app.connectors.scanner import NotJsonError, decode_small, scan_members
from app.connectors.write_model import BatchSpec, WriteSpec

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_UNREADABLE = "the record is no JSON that can be read"


class UnsendableError(ValueError):
    """The row cannot be put into such a call; the message says why."""


def single_body(spec: WriteSpec, record: bytes, identifier: str) -> bytes | None:
    """The body of the call that writes `record`; None where it has none. Raises UnsendableError."""
    if spec.body == "none":
        return None if spec.method == "DELETE" else b""  # a POST without a length is refused by some servers
    sent = without(record, identifier) if spec.is_id_omitted else record
    if spec.body == "json":
        return _wrapped(sent, spec.wrap, spec.beside)
    value: Any = _decoded(sent)
    for key in reversed(split_pointer(spec.wrap)):
        value = {key: value}
    beside = {name: decode_small(text.encode()) for name, text in spec.beside}
    try:
        return "&".join(_pairs({**value, **beside})).encode()
    except RecursionError:
        raise UnsendableError(_UNREADABLE) from None


def batch_body(spec: BatchSpec, records: Sequence[bytes], identifier: str) -> bytes:
    """The body of the call that writes `records`. Raises UnsendableError for any of them."""
    items = b",".join(batch_item(spec, each, identifier) for each in records)
    return _wrapped(b"[" + items + b"]", spec.wrap, spec.beside)


def batch_item(spec: BatchSpec, record: bytes, identifier: str) -> bytes:
    """What stands for `record` in the array of a batch. Raises UnsendableError."""
    if spec.is_only_id:
        return _identifier(record, identifier)
    sent = without(record, identifier) if spec.is_id_omitted else record
    item = _wrapped(sent, spec.item, ())
    if spec.item_id is None:
        return item
    return _with(item, split_pointer(spec.item_id), _identifier(record, identifier))


def key_of(record: bytes, identifier: str) -> str | None:
    """What the record has in the field `identifier` (dotted), as text; None where there is no text or number.

    Numbers keep their spelling. A name with dots may also be that of one member. Raises UnsendableError.
    """
    found = _find(record, identifier) if identifier else None
    if found is None or found[:1] in {b"{", b"["}:
        return None
    text = str(decode_small(found)) if found.startswith(b'"') else found.decode()
    if _HALF_CHARACTER.search(text):
        raise UnsendableError(f"the value in {identifier!r}, its identifier, holds half a character")
    return text


def without(record: bytes, name: str) -> bytes:
    """The record without the field of this dotted name; other members keep their bytes. Raises UnsendableError."""
    members = _members(record)
    head, _, rest = name.partition(".")
    if name in members:
        del members[name]
    elif rest and members.get(head, b"").startswith(b"{"):
        members[head] = without(members[head], rest)
    else:
        return record
    return _object(members)


def have_same_fields(one: bytes, other: bytes) -> bool:
    """Whether two records have the same members, in any order."""
    try:
        return scan_members(one).keys() == scan_members(other).keys()
    except (NotJsonError, RecursionError):
        return False


def _find(record: bytes, name: str) -> bytes | None:
    try:
        for pointer in dict.fromkeys((_pointer(name.split(".")), _pointer([name]))):
            if (found := find_raw(record, pointer)) is not None:
                return bytes(found).strip()
    except (Missing, RecursionError):
        raise UnsendableError(_UNREADABLE) from None
    return None


def _identifier(record: bytes, name: str) -> bytes:
    found = _find(record, name)
    if found is None:
        raise UnsendableError(f"the row has no value in {name!r}, its identifier")
    return found


def _wrapped(text: bytes, pointer: str, beside: Sequence[tuple[str, str]]) -> bytes:
    """`text` at `pointer` of an object that has the members `beside`, too."""
    for depth, key in enumerate(reversed(split_pointer(pointer)), 1):
        is_outermost = depth == len(split_pointer(pointer))
        others = [(name, value.encode()) for name, value in beside] if is_outermost else []
        text = _object({key: text, **dict(others)})
    return text


def _with(item: bytes, path: Sequence[str], value: bytes) -> bytes:
    members = _members(item)
    key, *rest = path
    members[key] = _with(members.get(key, b"{}"), rest, value) if rest else value
    return _object(members)


def _members(text: bytes) -> dict[str, bytes]:
    try:
        return scan_members(text)
    except (NotJsonError, RecursionError):
        raise UnsendableError(_UNREADABLE) from None


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(json.dumps(name).encode() + b":" + value for name, value in members.items()) + b"}"


def _decoded(record: bytes) -> dict[str, Any]:
    """With numbers as they are spelled."""
    try:
        decoded: dict[str, Any] = json.loads(record, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise UnsendableError(_UNREADABLE) from None
    return decoded


def _pairs(value: Any, name: str = "") -> Iterator[str]:
    """`address[city]=...`, `tags[]=...`, as web forms have it; null is the empty text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _pairs(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner, f"{name}[]")
    else:
        yield f"{_encoded(name)}={_encoded(_spelled(value))}"


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _encoded(text: str) -> str:
    return quote(_HALF_CHARACTER.sub("\ufffd", text), safe="")


def _pointer(parts: Sequence[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
