"""gzip as exactly ONE member. Several clients read only the first of concatenated members, or fail on the second."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from app.domain.segments import Segment, combined_crc32, total_plain_bytes
from app.storage.chunks import headed
from app.storage.deflate import EMPTY_FINAL_BLOCK, crc32, full_flush, packer
from app.storage.objects import ObjectStore
from app.storage.reading import iter_segment, iter_stored

# RFC 1952: magic, deflate, no flags, no time (the same bytes each time), no extra flags, unknown system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_TRAILER_BYTES = 8
_SMALLEST_PIECE = 16 * 1024


def one_member(store: ObjectStore, segments: Sequence[Segment]) -> Iterator[bytes]:
    """JSON Lines as one gzip member: the deflate runs as they lie, an empty final block, the combined checksum.

    Segments that lie plain are packed on the way. Only lengths are checked here; the checksum is for the client.
    """
    return headed(_HEADER, _packed_segments(store, segments))


def _packed_segments(store: ObjectStore, segments: Sequence[Segment]) -> Iterator[bytes]:
    for segment in segments:
        if segment.encoding == "deflate":
            yield from iter_stored(store, segment)
        else:
            yield from _run(iter_segment(store, segment))
    yield EMPTY_FINAL_BLOCK + _trailer(combined_crc32(segments), total_plain_bytes(segments))


def byte_copy_length(segments: Sequence[Segment]) -> int | None:
    """Length of `one_member`, known where nothing has to be packed on the way."""
    if any(segment.encoding != "deflate" for segment in segments):
        return None
    stored_bytes = sum(segment.stored_bytes for segment in segments)
    return len(_HEADER) + stored_bytes + len(EMPTY_FINAL_BLOCK) + _TRAILER_BYTES


def packed_on_the_fly(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Any bytes as one gzip member."""
    checksum = plain_bytes = 0

    def counted() -> Iterator[bytes]:
        nonlocal checksum, plain_bytes
        for chunk in chunks:
            checksum = crc32(chunk, checksum)
            plain_bytes += len(chunk)
            yield chunk

    yield from headed(_HEADER, _run(counted()))
    yield EMPTY_FINAL_BLOCK + _trailer(checksum, plain_bytes)


def _run(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = packer()
    packed = bytearray()
    for chunk in chunks:
        packed += compressor.compress(chunk)
        if len(packed) >= _SMALLEST_PIECE:
            yield bytes(packed)
            packed.clear()
    yield bytes(packed) + full_flush(compressor)


def _trailer(checksum: int, plain_bytes: int) -> bytes:
    return struct.pack("<II", checksum, plain_bytes & 0xFFFFFFFF)
