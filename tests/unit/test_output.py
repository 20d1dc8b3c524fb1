"""A leg's output: pages of any size in, segments that hold exactly these records out."""

from collections.abc import Iterable
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from app.db.slices import Claim, Position
from app.domain.jobs import JobStatus
from app.domain.segments import Encoding, Segment, total_plain_bytes
from app.errors import StorageFullError
from app.services.output import Output
from app.storage.segments import FLUSH_BYTES, MAX_PLAIN_BYTES, SegmentBuilder, iter_plain
from tests.fakes.memory_store import MemoryStore

CLAIM = Claim(1, 1, 1, 1, 1, Position(None, 100, 0, exhausted=False), 0, 0, 0, 0, JobStatus.STARTED)
KIB = 1024


class Slow(MemoryStore):
    """A store that lets a test decide how long an object takes."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = Event(), Event()

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        self.begun.set()
        assert self.may_end.wait(30)
        super().put(key, chunks)


class Full(MemoryStore):
    """A store without room."""

    def put(self, key: str, chunks: Iterable[bytes]) -> None:  # noqa: ARG002
        raise StorageFullError("no room")


def page(count: int, record_bytes: int) -> list[Raw | bytes]:
    return [Raw(f'"{number:0{max(1, record_bytes - 2)}d}"'.encode()) for number in range(count)]


def size(records: list[Raw | bytes]) -> int:
    return sum(len(bytes(record)) + 1 for record in records)


def make(store: MemoryStore, encoding: Encoding = "deflate") -> Output:
    return Output(store, CLAIM, encoding=encoding, columns=None)


PAGES = st.lists(st.tuples(st.sampled_from([0, 1, 2, 7, 300]), st.sampled_from([3, 900, 70 * KIB])), max_size=8)


@given(PAGES, st.sampled_from(["deflate", "plain"]), st.integers(0, 8), st.sampled_from([0, 1, 10]), st.booleans())
def test_sealed_segments_hold_every_record_once_in_order(
    shapes: list[tuple[int, int]], encoding: Encoding, sealed_after: int, wrong_size: int, came_packed: bool
) -> None:
    """Also where the size that is said beforehand is wrong: it only tells how to cut."""
    store = MemoryStore()
    output = make(store, encoding)
    given_in: list[bytes] = []
    segments: list[Segment] = []
    for number, (count, record_bytes) in enumerate(shapes):
        records = page(count, record_bytes)
        output.add(records, size(records) * wrong_size, came_packed=came_packed)
        given_in += map(bytes, records)
        if number == sealed_after:
            segments += output.seal().segments()
    sealed = output.seal()
    segments += sealed.segments()
    output.close()
    assert b"".join(iter_plain(store, segments)) == b"".join(record + b"\n" for record in given_in)
    assert sum(segment.record_count for segment in segments) == len(given_in)
    assert sealed.is_stored


def test_a_seal_counts_what_came_since_the_last_one() -> None:
    output = make(MemoryStore())
    for count in (3, 0, 500):
        output.add(page(count, 100), 101 * count)
        assert output.record_count == count
        sealed = output.seal()
        assert (sealed.record_count, sealed.plain_bytes) == (count, 101 * count)
        assert sealed.plain_bytes == total_plain_bytes(sealed.segments())
        assert output.record_count == 0
    output.close()


def test_a_large_page_is_packed_in_slices() -> None:
    """Never a copy of the whole page: the largest run between two flush points is one of the builder's."""
    output = make(MemoryStore())
    records = page(20_000, 500)
    output.add(records, size(records))
    segments = output.seal().segments()
    output.close()
    assert [segment.plain_bytes <= MAX_PLAIN_BYTES + 160 * KIB for segment in segments] == [True, True]
    points = [point.plain for point in segments[0].flush_points]
    assert max(b - a for a, b in zip([0, *points], points, strict=False)) <= FLUSH_BYTES + 160 * KIB


def test_pages_that_came_packed_are_packed_while_a_segment_is_being_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = Event()
    add = SegmentBuilder.add

    def noted(self: SegmentBuilder, block: bytes, record_count: int) -> None:
        add(self, block, record_count)
        if store.begun.is_set():
            packed.set()

    monkeypatch.setattr(SegmentBuilder, "add", noted)
    store = Slow()
    output = make(store)
    records = page(300, 70 * KIB)
    output.add(records, size(records), came_packed=True)
    assert store.begun.wait(30)
    output.add(page(9, 70 * KIB), 9 * 70 * KIB, came_packed=True)
    assert packed.wait(30)
    sealed = output.seal()
    assert not sealed.is_stored
    store.may_end.set()
    assert sum(segment.record_count for segment in sealed.segments()) == 309
    output.close()


@pytest.mark.parametrize("came_packed", [False, True])
def test_a_store_that_refuses_is_heard_of(*, came_packed: bool) -> None:
    output = make(Full())
    output.add(page(10, 100), 1010, came_packed=came_packed)
    with pytest.raises(StorageFullError):
        output.seal().segments()
    several = page(60_000, 1000)
    with pytest.raises(StorageFullError):
        output.add(several, size(several), came_packed=came_packed)  # the next segment meets the error
    assert output.discard() == []


def test_what_is_not_committed_is_named_to_be_deleted() -> None:
    store = MemoryStore()
    output = make(store)
    output.add(page(10, 100), 1010)
    output.seal().segments()
    output.committed(1)
    output.add(page(10, 100), 1010)
    output.seal().segments()
    assert output.discard() == sorted(store.objects)[1:]
