"""Reading segments back: in order from any record, in flat memory, checked against their rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import accumulate, islice

from app.domain.segments import FlushPoint, Segment
from app.errors import StorageError
from app.storage.chunks import without_first
from app.storage.deflate import DamagedError, Unpacker, crc32
from app.storage.objects import ObjectStore

_READ_BYTES = 256 * 1024
_START = FlushPoint(0, 0, 0)


def iter_plain(store: ObjectStore, segments: Iterable[Segment], start_record: int = 0) -> Iterator[bytes]:
    """The JSON Lines from that record (0 is the first) to the end, in pieces of at most 1 MiB cut anywhere.

    Raises StorageError that names the object whose length or checksum is not that of its row; what was given out
    before belongs to a damaged result then.
    """
    to_skip = start_record
    for segment in segments:
        if to_skip >= segment.record_count:
            to_skip -= segment.record_count
            continue
        point = _point_before(segment, to_skip)
        yield from _without_lines(iter_segment(store, segment, point), to_skip - point.record)
        to_skip = 0


def iter_plain_from(store: ObjectStore, segments: Iterable[Segment], start_byte: int) -> Iterator[bytes]:
    """The same from that byte of the JSON Lines on. Nothing before the flush point at or before it is read."""
    to_skip = start_byte
    for segment in segments:
        if to_skip >= segment.plain_bytes:
            to_skip -= segment.plain_bytes
            continue
        index = bisect_right(segment.flush_points, to_skip, key=lambda point: point.plain)
        point = segment.flush_points[index - 1] if index else _START
        yield from without_first(iter_segment(store, segment, point), to_skip - point.plain)
        to_skip = 0


def read_records(store: ObjectStore, segments: Sequence[Segment], first: int, count: int) -> list[bytes]:
    """Records [first, first + count) without their newlines, fewer at the end.

    Only the runs between the flush points around them are read, wherever in the result they lie.
    """
    ends = list(accumulate(segment.record_count for segment in segments))
    records: list[bytes] = []
    for index in range(bisect_right(ends, first), len(segments)):
        wanted = count - len(records)
        if wanted <= 0:
            break
        offset = first + len(records) - (ends[index] - segments[index].record_count)
        records += _records_within(store, segments[index], offset, wanted)
    return records


def iter_stored(store: ObjectStore, segment: Segment, offset: int = 0) -> Iterator[bytes]:
    """The stored bytes as they lie, from `offset`; StorageError if they are not as many as the row says."""
    expected = segment.stored_bytes - offset
    if expected == 0:
        return
    with store.open(segment.object_key, offset) as source:
        seen = 0
        while chunk := source.read(_READ_BYTES):
            seen += len(chunk)
            if seen > expected:
                break
            yield chunk
    if seen != expected:
        raise _damaged(store, segment, f"it has {'more' if seen > expected else 'fewer'} bytes than were stored")


def iter_segment(store: ObjectStore, segment: Segment, point: FlushPoint = _START) -> Iterator[bytes]:
    """The plain bytes of one segment from a flush point on. Read from its start, the checksum is compared too."""
    seen = checksum = 0
    with closing(_plain(store, segment, iter_stored(store, segment, point.packed))) as pieces:
        for piece in pieces:
            seen += len(piece)
            checksum = crc32(piece, checksum)
            yield piece
    if seen != segment.plain_bytes - point.plain:
        raise _damaged(store, segment, f"{seen} plain bytes instead of {segment.plain_bytes - point.plain}")
    if point == _START and checksum != segment.crc32:
        raise _damaged(store, segment, f"CRC-32 is {checksum:08x} instead of {segment.crc32:08x}")


def _plain(store: ObjectStore, segment: Segment, stored: Iterator[bytes]) -> Generator[bytes]:
    if segment.encoding == "plain":
        yield from stored
        return
    unpacker = Unpacker()
    try:
        for chunk in stored:
            yield from unpacker.feed(chunk)
    except DamagedError as error:
        raise _damaged(store, segment, str(error)) from error


def _without_lines(pieces: Iterator[bytes], line_count: int) -> Iterator[bytes]:
    """The bytes behind the first `line_count` lines."""
    for piece in pieces:
        if not line_count:
            yield piece
            continue
        lines_here = piece.count(b"\n")
        if lines_here < line_count:
            line_count -= lines_here
            continue
        rest = piece.split(b"\n", line_count)[line_count]
        line_count = 0
        if rest:
            yield rest


def _point_before(segment: Segment, record: int) -> FlushPoint:
    index = bisect_right(segment.flush_points, record, key=lambda point: point.record)
    return segment.flush_points[index - 1] if index else _START


def _records_within(store: ObjectStore, segment: Segment, first: int, count: int) -> list[bytes]:
    """Up to `count` records of one segment, from the runs that hold them."""
    last = min(first + count, segment.record_count)
    end_point = FlushPoint(segment.record_count, segment.plain_bytes, segment.stored_bytes)
    points = [_START, *segment.flush_points, end_point]
    records: list[bytes] = []
    for start, end in zip(points, islice(points, 1, None), strict=False):
        if end.record > first and start.record < last:
            lines = _run(store, segment, start, end)
            records += lines[max(first - start.record, 0) : last - start.record]
    return records


def _run(store: ObjectStore, segment: Segment, start: FlushPoint, end: FlushPoint) -> list[bytes]:
    """The lines between two neighbouring flush points, about 1 MiB."""
    stored = store.read(segment.object_key, start.packed, end.packed)
    plain = b"".join(_plain(store, segment, iter((stored,))))
    lines = plain.split(b"\n")
    if len(plain) != end.plain - start.plain or len(lines) - 1 != end.record - start.record:
        raise _damaged(store, segment, f"the run from record {start.record} does not hold what its flush points say")
    return lines[:-1]


def _damaged(store: ObjectStore, segment: Segment, how: str) -> StorageError:
    return StorageError(f"object {segment.object_key} in {store.url} is damaged: {how}")
