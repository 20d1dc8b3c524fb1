"""One record without its null fields, a member at a time: for compact records, a fifth of what the exact way costs."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from app.domain.selection.rewriting import rewritten, rewritten_value

_LEVEL = msgspec.json.Decoder(dict[str, Raw])
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BRACES = 2
_QUOTES_AND_COLON = 3


def cut_by_member(record: bytes) -> bytes:
    """What `rewritten` makes of the record. Raises UnreadableError."""
    members = _compact_members(record)
    if members is None:
        return rewritten(record)
    kept = []
    for name, raw in members.items():
        value = bytes(raw)
        if value == b"null":
            continue
        if value[0] in b"[{" and b"null" in value:
            value = rewritten_value(value)
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
