"""gzip as exactly ONE member. Several clients read only the first of concatenated members, or fail on the second."""

from __future__ import annotations

import struct

from app.storage.packing import Compression, Stream

# RFC 1952: magic, deflate, no flags, no time (the same bytes each time), no extra flags, unknown system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class GzipMember:
    """The header and the trailer of a member (`app.storage.packing.Envelope`)."""

    coding: Compression = "gzip"
    identity = "gzip"

    def around(self, stream: Stream) -> tuple[bytes, bytes]:
        return _HEADER, _trailer(stream)

    def head(self, most_bytes: int) -> bytes:  # noqa: ARG002 - a header is always the same
        return _HEADER

    def tail(self, stream: Stream, most_bytes: int) -> bytes:  # noqa: ARG002
        return _trailer(stream)


def _trailer(stream: Stream) -> bytes:
    return struct.pack("<II", stream.crc32, stream.plain_bytes & 0xFFFFFFFF)
