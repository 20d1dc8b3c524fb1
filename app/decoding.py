"""Reading a response body within a limit, packed or not."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from isal import igzip_lib, isal_zlib

_GZIP_WBITS = 31
_PLAIN = frozenset({"", "identity"})
_DAMAGE: Any = (zlib.error, igzip_lib.IsalError)
_GZIP = frozenset({"gzip", "x-gzip"})


class BodyOverflowError(Exception):
    """The body, inflated, is larger than the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the answer is larger than {limit_bytes} bytes")


class BodyDamagedError(Exception):
    """The body cannot be inflated: damaged, truncated, or in an encoding that nobody asked for."""


def decode_body(chunks: Sequence[bytes], content_encoding: str, limit_bytes: int) -> bytes:
    """The body that came in `chunks`. Raises BodyOverflowError, BodyDamagedError."""
    encoding = content_encoding.strip().lower()
    if encoding in _GZIP:
        return _inflate(b"".join(chunks), limit_bytes)
    if encoding not in _PLAIN:
        raise BodyDamagedError(f"the answer came in Content-Encoding {encoding[:40]!r}; only gzip was offered")
    if sum(map(len, chunks)) > limit_bytes:
        raise BodyOverflowError(limit_bytes)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _inflate(data: bytes, limit_bytes: int) -> bytes:
    """Inflate one or many members (some servers send one a flush) with isal: several times zlib's speed.

    Never makes more than one byte over the limit, so a bomb ends there.
    """
    pieces: list[bytes] = []
    room_bytes = limit_bytes + 1
    try:
        while data:
            member: Any = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
            piece = member.decompress(data, room_bytes)
            room_bytes -= len(piece)
            pieces.append(piece)
            if room_bytes <= 0:
                raise BodyOverflowError(limit_bytes)
            if not member.eof:
                raise BodyDamagedError("the compressed answer was cut short")
            data = member.unused_data.lstrip(b"\0")  # padding after a member
    except _DAMAGE as error:
        raise BodyDamagedError(f"the compressed answer is damaged ({error})") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
