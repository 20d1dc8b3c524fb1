"""Writing a segment: JSON Lines go in block by block, stored bytes and the fields of its row come out."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.segments import Encoding, FlushPoint, Segment
from app.storage.columns import ColumnScanner
from app.storage.deflate import crc32, full_flush, packer
from app.storage.lines import pieces_of_lines
from app.storage.reading import iter_plain, read_records

__all__ = ["BuiltSegment", "SegmentBuilder", "iter_plain", "read_records"]

MAX_PLAIN_BYTES = 8 * 1024 * 1024
FLUSH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BuiltSegment:
    """`data` for ObjectStore.put, and all that its row needs but the key."""

    data: tuple[bytes, ...]
    encoding: Encoding
    record_count: int
    plain_bytes: int
    stored_bytes: int
    crc32: int
    flush_points: tuple[FlushPoint, ...]
    columns: tuple[str, ...]

    def as_segment(self, object_key: str) -> Segment:
        return Segment(
            object_key=object_key,
            encoding=self.encoding,
            record_count=self.record_count,
            plain_bytes=self.plain_bytes,
            stored_bytes=self.stored_bytes,
            crc32=self.crc32,
            flush_points=self.flush_points,
            columns=self.columns,
        )


class SegmentBuilder:
    """Collects blocks of whole JSON lines until the segment is finished. For one thread at a time.

    The segment records the CSV columns that `scanner`, which outlives it, finds new in its records: for CSV jobs only,
    since it costs as much as packing. One block larger than `max_plain_bytes` still makes a segment.
    """

    def __init__(
        self,
        encoding: Encoding,
        max_plain_bytes: int = MAX_PLAIN_BYTES,
        *,
        scanner: ColumnScanner | None = None,
        flush_bytes: int = FLUSH_BYTES,
    ) -> None:
        self.record_count = 0
        self.plain_bytes = 0
        self._encoding: Encoding = encoding
        self._sink = _PlainSink()
        self._scanner = scanner
        self._max_plain_bytes = max_plain_bytes
        self._flush_bytes = flush_bytes
        self._flushed_bytes = 0
        self._crc32 = 0
        self._flush_points: list[FlushPoint] = []

    @property
    def is_full(self) -> bool:
        return self.plain_bytes >= self._max_plain_bytes

    def has_room(self, block_bytes: int) -> bool:
        """Whether a block of this size may be added and the segment stays within its bound (an empty one has room)."""
        return self.plain_bytes == 0 or self.plain_bytes + block_bytes <= self._max_plain_bytes

    def add(self, block: bytes, record_count: int) -> None:
        """Append `record_count` records, one a line, each with its newline; ValueError if it is no such block."""
        if not block and record_count == 0:
            return
        if not block.endswith(b"\n") or record_count < 1:
            raise ValueError(
                f"a block of {record_count} records must consist of that many lines, each with its newline"
            )
        if self._scanner:
            self._scanner.scan(block)
        if len(block) <= 2 * self._flush_bytes:
            self._append(block, record_count)
            return
        line_count = block.count(b"\n")
        if line_count != record_count:
            raise ValueError(f"a block of {record_count} records has {line_count} lines")
        for piece in pieces_of_lines(block, self._flush_bytes):
            self._append(piece, piece.count(b"\n"))

    def finish(self) -> BuiltSegment:
        """Close the last run. The builder must not be used afterwards."""
        if self.plain_bytes > self._flushed_bytes:
            self._sink.flush()
        elif self._flush_points:
            self._flush_points.pop()  # the end is no flush point of the list
        return BuiltSegment(
            data=tuple(self._sink.pieces),
            encoding=self._encoding,
            record_count=self.record_count,
            plain_bytes=self.plain_bytes,
            stored_bytes=self._sink.stored_bytes,
            crc32=self._crc32,
            flush_points=tuple(self._flush_points),
            columns=self._scanner.take_new() if self._scanner else (),
        )

    def _append(self, block: bytes, record_count: int) -> None:
        if not self.record_count and self._encoding == "deflate":
            self._sink = _DeflateSink(len(block) // record_count)  # the first block tells what the records are like
        self._crc32 = crc32(block, self._crc32)
        self._sink.write(block)
        self.record_count += record_count
        self.plain_bytes += len(block)
        if self.plain_bytes - self._flushed_bytes >= self._flush_bytes:
            self._sink.flush()
            self._flushed_bytes = self.plain_bytes
            self._flush_points.append(FlushPoint(self.record_count, self.plain_bytes, self._sink.stored_bytes))


class _PlainSink:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.stored_bytes = 0

    def write(self, block: bytes) -> None:
        if block:
            self.pieces.append(block)
            self.stored_bytes += len(block)

    def flush(self) -> None:
        pass


class _DeflateSink(_PlainSink):
    def __init__(self, record_bytes: int) -> None:
        super().__init__()
        self._packer = packer(record_bytes)

    def write(self, block: bytes) -> None:
        super().write(self._packer.compress(block))

    def flush(self) -> None:
        super().write(full_flush(self._packer))
