"""A result as one deflate stream with something around it: a gzip member or an archive (`Envelope`).

Where every segment lies packed, the stream is a byte copy of known length; else it is made on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.domain.segments import Segment, combined_crc32, total_plain_bytes
from app.storage.byte_copy import copied
from app.storage.chunks import headed, in_blocks
from app.storage.deflate import EMPTY_FINAL_BLOCK, crc32, full_flush, packer
from app.storage.objects import ObjectStore
from app.storage.reading import iter_segment, iter_stored

Compression = Literal["gzip", "zip"]

_BLOCK_BYTES = 64 * 1024
"""isal's output depends on how its input was cut, and that on how the store gave it out. Always cut alike, the same
content has the same bytes, as a strong ETag and an answer that is taken up again in the middle promise."""

_SMALLEST_PIECE = 16 * 1024
_FLUSHED_BYTES = 1024  # more than the end of one run costs


@dataclass(frozen=True, slots=True)
class Stream:
    """A deflate stream from its first block to its final one: CRC-32 of its plain bytes, and both lengths."""

    crc32: int
    plain_bytes: int
    packed_bytes: int


class Envelope(Protocol):
    """What stands before and behind a deflate stream."""

    @property
    def coding(self) -> Compression:
        """The value for Content-Encoding."""

    @property
    def identity(self) -> str:
        """What an ETag must tell apart besides the content."""

    def around(self, stream: Stream) -> tuple[bytes, bytes]:
        """Head and tail of a stream that is known beforehand."""

    def head(self, most_bytes: int) -> bytes:
        """The head of a stream that is yet to be made; neither of its lengths will be above `most_bytes`."""

    def tail(self, stream: Stream, most_bytes: int) -> bytes:
        """The tail behind such a head."""


def stored_stream(segments: Sequence[Segment]) -> Stream | None:
    """The stream that the segments are as they lie; None where one of them lies plain."""
    if any(segment.encoding != "deflate" for segment in segments):
        return None
    packed_bytes = sum(segment.stored_bytes for segment in segments) + len(EMPTY_FINAL_BLOCK)
    return Stream(combined_crc32(segments), total_plain_bytes(segments), packed_bytes)


def byte_copy(
    store: ObjectStore, segments: Sequence[Segment], stream: Stream, envelope: Envelope, start: int = 0
) -> Iterator[bytes]:
    """JSON Lines as they lie in their envelope, from that byte on; `stream` is that of `stored_stream`."""
    head, tail = envelope.around(stream)
    return copied(store, head, segments, EMPTY_FINAL_BLOCK + tail, start)


def pieces_of_byte_copy(segments: Sequence[Segment], stream: Stream, envelope: Envelope) -> list[bytes | Segment]:
    """What `byte_copy` gives: stored segments as they lie, and what stands around them."""
    head, tail = envelope.around(stream)
    return [head, *segments, EMPTY_FINAL_BLOCK + tail]


def byte_copy_length(stream: Stream, envelope: Envelope) -> int:
    """How many bytes `byte_copy` gives from 0 on."""
    return stream.packed_bytes + sum(map(len, envelope.around(stream)))


def packed_segments(store: ObjectStore, segments: Sequence[Segment], envelope: Envelope) -> Iterator[bytes]:
    """JSON Lines of which some lie plain: those are packed on the way, the others copied."""
    plain_bytes = total_plain_bytes(segments)
    most_bytes = _most_deflated(plain_bytes) + _FLUSHED_BYTES * len(segments)
    packed_bytes = len(EMPTY_FINAL_BLOCK)

    def runs() -> Iterator[bytes]:
        nonlocal packed_bytes
        for segment in segments:
            is_packed = segment.encoding == "deflate"
            for piece in iter_stored(store, segment) if is_packed else _run(iter_segment(store, segment)):
                packed_bytes += len(piece)
                yield piece

    yield from headed(envelope.head(most_bytes), runs())
    stream = Stream(combined_crc32(segments), plain_bytes, packed_bytes)
    yield EMPTY_FINAL_BLOCK + envelope.tail(stream, most_bytes)


def packed_on_the_fly(chunks: Iterable[bytes], envelope: Envelope, most_plain_bytes: int) -> Iterator[bytes]:
    """Any bytes, at most so many, packed on the way."""
    most_bytes = _most_deflated(most_plain_bytes)
    checksum = plain_bytes = 0
    packed_bytes = len(EMPTY_FINAL_BLOCK)

    def counted() -> Iterator[bytes]:
        nonlocal checksum, plain_bytes
        for chunk in chunks:
            checksum = crc32(chunk, checksum)
            plain_bytes += len(chunk)
            yield chunk

    def runs() -> Iterator[bytes]:
        nonlocal packed_bytes
        for piece in _run(counted()):
            packed_bytes += len(piece)
            yield piece

    yield from headed(envelope.head(most_bytes), runs())
    yield EMPTY_FINAL_BLOCK + envelope.tail(Stream(checksum, plain_bytes, packed_bytes), most_bytes)


def most_packed(plain_bytes: int, runs: int = 1) -> int:
    """What so many bytes are at most, packed in so many runs, with whatever stands around them."""
    return _most_deflated(plain_bytes) + _FLUSHED_BYTES * (runs + 1)


def _most_deflated(plain_bytes: int) -> int:
    """What cannot be packed is stored in blocks, with a few bytes for each."""
    return plain_bytes + plain_bytes // 100 + _FLUSHED_BYTES


def _run(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = packer()
    packed = bytearray()
    for block in in_blocks(chunks, _BLOCK_BYTES):
        packed += compressor.compress(block)
        if len(packed) >= _SMALLEST_PIECE:
            yield bytes(packed)
            packed.clear()
    yield bytes(packed) + full_flush(compressor)
