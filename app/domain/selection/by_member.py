"""One record with fewer fields, a member at a time: for compact records, a fifth of what the exact way costs."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from app.domain.selection.fields import Fields
from app.domain.selection.rewriting import rewritten, rewritten_value

_LEVEL = msgspec.json.Decoder(dict[str, Raw])
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BRACES = 2
_QUOTES_AND_COLON = 3


def cut_by_member(record: bytes, fields: Fields, *, drops_nulls: bool) -> bytes:
    """What `rewritten` makes of the record. Raises UnreadableError."""
    members = _compact_members(record)
    if members is None:
        return rewritten(record, fields, drops_nulls=drops_nulls)
    within = fields.within
    kept = []
    for name, raw in members.items():
        inner = within(name)
        if inner is None:
            continue
        value: bytes | Raw | None = raw
        if drops_nulls or not inner.whole:
            value = _cut(bytes(raw), inner, drops_nulls=drops_nulls)
        if value is not None:
            kept.append(b'"%b":%b' % (name.encode(), value))
    return b"{" + b",".join(kept) + b"}"


def _compact_members(record: bytes) -> dict[str, Raw] | None:
    """The members of an object that is written without spaces, escapes in names and names that come twice.

    Each of those makes the text longer than its members are.
    """
    try:
        members = _LEVEL.decode(record)
    except _UNDECODABLE:
        return None
    names_bytes = len("".join(members).encode())
    values_bytes = len(b",".join(members.values()))
    is_compact = len(record) == _BRACES + names_bytes + values_bytes + _QUOTES_AND_COLON * len(members)
    return members if is_compact else None


def _cut(value: bytes, fields: Fields, *, drops_nulls: bool) -> bytes | None:
    """What is kept of a member's value, None if nothing is."""
    if drops_nulls and value == b"null":
        return None
    if fields.whole and (value[0] not in b"[{" or b"null" not in value):
        return value
    return rewritten_value(value, fields, drops_nulls=drops_nulls)
