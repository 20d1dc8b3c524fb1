import random
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.segments import Encoding, FlushPoint, Segment
from app.errors import ObjectMissingError, StorageError
from app.storage.reading import iter_plain, read_records
from app.storage.segments import BuiltSegment, SegmentBuilder
from tests.fakes.memory_store import MemoryStore

ENCODINGS: list[Encoding] = ["deflate", "plain"]
lines = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=60)


def build(
    records: Sequence[bytes], encoding: Encoding, *, block: int = 7, segment_bytes: int = 200, flush_bytes: int = 50
) -> tuple[MemoryStore, list[Segment]]:
    """Records in blocks of so many, in segments of about so many bytes."""
    store = MemoryStore()
    segments: list[Segment] = []
    builder = SegmentBuilder(encoding, flush_bytes=flush_bytes, max_plain_bytes=segment_bytes)
    for start in range(0, len(records), block):
        chunk = records[start : start + block]
        builder.add(b"".join(record + b"\n" for record in chunk), len(chunk))
        if builder.is_full:
            segments.append(stored(store, builder.finish(), len(segments)))
            builder = SegmentBuilder(encoding, flush_bytes=flush_bytes, max_plain_bytes=segment_bytes)
    segments.append(stored(store, builder.finish(), len(segments)))
    return store, segments


def stored(store: MemoryStore, built: BuiltSegment, number: int) -> Segment:
    segment = built.as_segment(f"jobs/1/{number}")
    store.put(segment.object_key, built.data)
    return segment


def joined(records: Sequence[bytes]) -> bytes:
    return b"".join(record + b"\n" for record in records)


@given(
    records=lines,
    encoding=st.sampled_from(ENCODINGS),
    block=st.integers(1, 70),
    flush_bytes=st.integers(1, 300),
    start=st.integers(0, 70),
)
def test_what_was_added_is_read_from_any_record_on(
    records: list[bytes], encoding: Encoding, block: int, flush_bytes: int, start: int
) -> None:
    store, segments = build(records, encoding, block=block, flush_bytes=flush_bytes)
    assert b"".join(iter_plain(store, segments, start)) == joined(records[start:])
    assert sum(segment.record_count for segment in segments) == len(records)


@given(records=lines, encoding=st.sampled_from(ENCODINGS), first=st.integers(0, 70), count=st.integers(0, 70))
def test_any_page_of_records_is_read(records: list[bytes], encoding: Encoding, first: int, count: int) -> None:
    store, segments = build(records, encoding)
    assert read_records(store, segments, first, count) == records[first : first + count]


@given(records=lines, encoding=st.sampled_from(ENCODINGS), block=st.integers(1, 70))
def test_row_describes_the_stored_object(records: list[bytes], encoding: Encoding, block: int) -> None:
    store, segments = build(records, encoding, block=block)
    for segment in segments:
        data = store.objects[segment.object_key]
        plain = data if encoding == "plain" else zlib.decompressobj(-15).decompress(data)
        assert segment.stored_bytes == len(data)
        assert segment.plain_bytes == len(plain)
        assert segment.crc32 == zlib.crc32(plain)
        assert segment.record_count == plain.count(b"\n")


@given(records=lines, encoding=st.sampled_from(ENCODINGS), block=st.integers(1, 70))
def test_decoding_may_start_at_every_flush_point(records: list[bytes], encoding: Encoding, block: int) -> None:
    store, segments = build(records, encoding, block=block)
    for segment in segments:
        data = store.objects[segment.object_key]
        whole = b"".join(iter_plain(store, [segment]))
        for point in segment.flush_points:
            rest = data[point.packed :]
            plain = rest if encoding == "plain" else zlib.decompressobj(-15).decompress(rest)
            assert plain == whole[point.plain :]
            assert point.record == whole[: point.plain].count(b"\n")


def test_flush_points_lie_about_a_mebibyte_apart_even_inside_one_large_block() -> None:
    record = b"x" * 999
    builder = SegmentBuilder("deflate")
    builder.add((record + b"\n") * 5000, 5000)
    points = (FlushPoint(0, 0, 0), *builder.finish().flush_points)
    gaps = [later.plain - earlier.plain for earlier, later in pairwise(points)]
    assert len(gaps) == 4
    assert all(2**20 <= gap < 2**20 + 1000 for gap in gaps)


def test_a_late_page_reads_no_more_than_an_early_one() -> None:
    noise = random.Random(1)
    records = [noise.randbytes(50).hex().encode() for _ in range(4000)]
    store, segments = build(records, "deflate", block=100, segment_bytes=100_000, flush_bytes=10_000)
    costs = []
    for first in (0, 3900):
        store.read_bytes = 0
        assert read_records(store, segments, first, 50) == records[first : first + 50]
        costs.append(store.read_bytes)
    assert max(costs) < 2 * min(costs)
    assert max(costs) < 20_000


def test_packed_data_that_expands_a_thousandfold_is_given_out_in_bounded_pieces() -> None:
    records = [b"0" * 8_000_000]
    store, segments = build(records, "deflate", segment_bytes=2**24, flush_bytes=2**20)
    assert segments[0].stored_bytes < 200_000
    pieces = list(iter_plain(store, segments))
    assert max(map(len, pieces)) <= 2**20
    assert b"".join(pieces) == joined(records)


def test_builder_has_room_for_one_block_of_any_size_and_then_keeps_its_bound() -> None:
    builder = SegmentBuilder("plain", max_plain_bytes=100)
    assert builder.has_room(1000)
    builder.add(b"x" * 59 + b"\n", 1)
    assert (builder.has_room(40), builder.has_room(41), builder.is_full) == (True, False, False)
    builder.add(b"x" * 39 + b"\n", 1)
    assert builder.is_full


@pytest.mark.parametrize(("block", "count"), [(b"{}", 1), (b"{}\n", 0), (b"", 1)])
def test_block_that_is_not_lines_is_refused(block: bytes, count: int) -> None:
    with pytest.raises(ValueError, match="each with its newline"):
        SegmentBuilder("plain").add(block, count)


def test_large_block_with_a_wrong_count_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 lines"):
        SegmentBuilder("plain", flush_bytes=1).add(b"1\n2\n3\n", 2)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_segment_without_records_is_empty(encoding: Encoding) -> None:
    built = SegmentBuilder(encoding).finish()
    assert (built.data, built.record_count, built.stored_bytes, built.flush_points) == ((), 0, 0, ())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_shortened_object_is_reported_by_name(encoding: Encoding) -> None:
    store, segments = build([b"%d" % number for number in range(50)], encoding, segment_bytes=100)
    store.objects["jobs/1/1"] = store.objects["jobs/1/1"][:-3]
    with pytest.raises(StorageError, match=r"jobs/1/1 .*fewer bytes"):
        list(iter_plain(store, segments))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lengthened_object_is_reported_by_name(encoding: Encoding) -> None:
    store, segments = build([b"%d" % number for number in range(50)], encoding, segment_bytes=100)
    store.objects["jobs/1/0"] += b"x"
    with pytest.raises(StorageError, match=r"jobs/1/0 .*more bytes"):
        list(iter_plain(store, segments))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_changed_content_is_reported_by_name(encoding: Encoding) -> None:
    store, segments = build([b"a" * 40] * 8, encoding)
    other, _ = build([b"b" * 40] * 8, encoding)
    store.objects["jobs/1/0"] = other.objects["jobs/1/0"]
    changed = replace(segments[0], stored_bytes=len(store.objects["jobs/1/0"]))
    with pytest.raises(StorageError, match=r"jobs/1/0 .*CRC-32"):
        list(iter_plain(store, [changed]))


def test_bytes_that_are_no_deflate_are_reported_by_name() -> None:
    store, segments = build([b"a" * 40] * 8, "deflate")
    store.objects["jobs/1/0"] = b"\xff" * segments[0].stored_bytes
    with pytest.raises(StorageError, match=r"jobs/1/0 .*damaged"):
        list(iter_plain(store, segments))
    with pytest.raises(StorageError, match=r"jobs/1/0 .*damaged"):
        read_records(store, segments, 0, 2)


def test_flush_points_that_lie_are_noticed_when_a_page_is_read() -> None:
    store, segments = build([b"%d" % number for number in range(50)], "plain")
    wrong = replace(segments[0], flush_points=(FlushPoint(3, 9, 9), *segments[0].flush_points[1:]))
    with pytest.raises(StorageError, match="flush points"):
        read_records(store, [wrong], 0, 1)


def test_missing_object_is_reported_as_missing() -> None:
    store, segments = build([b"1"], "plain")
    store.objects.clear()
    with pytest.raises(ObjectMissingError, match="jobs/1/0"):
        list(iter_plain(store, segments))


@pytest.mark.parametrize(("record_bytes", "is_far"), [(100, False), (600, False), (700, True), (8_000, True)])
def test_small_records_are_packed_from_near(record_bytes: int, is_far: bool) -> None:
    """The same records come again behind other ones, further off than a window of 4 KiB and within one of 32."""
    draw = random.Random(7)
    few = [draw.randbytes(record_bytes // 2).hex().encode()[: record_bytes - 1] for _ in range(16_000 // record_bytes)]
    block = b"".join(record + b"\n" for record in [*few, *few])
    builder = SegmentBuilder("deflate")
    builder.add(block, 2 * len(few))
    packed = b"".join(builder.finish().data)
    assert (len(packed) < 0.4 * len(block)) is is_far
    assert zlib.decompressobj(-15 if is_far else -12).decompress(packed) == block
