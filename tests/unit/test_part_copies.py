"""Which parts of an object S3 copies by itself: the limits of S3, and every byte once; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.part_copies import MOST_COPIED_BYTES, Part, Piece, plan_parts
from app.domain.parts import LEAST_PART_BYTES, MIB, MOST_OBJECT_BYTES, MOST_PARTS, part_bytes

TB = 10**12
GIB = 1024 * MIB
lengths = st.one_of(
    st.integers(0, 100),
    st.integers(LEAST_PART_BYTES - 2, LEAST_PART_BYTES + 2),
    st.integers(0, 20 * MIB),
    st.integers(0, 20 * GIB),
)
piece_lists = st.lists(st.builds(Piece, lengths, st.booleans()), max_size=60).map(
    lambda pieces: [*pieces, Piece(1, is_object=False)]
)


@st.composite
def huge(draw: st.DrawFn) -> list[Piece]:
    """Some 1 TB to 5 TiB in at most 40,000 pieces, about equally long."""
    total, count = draw(st.integers(TB, MOST_OBJECT_BYTES)), draw(st.integers(1, 40_000))
    odd = draw(st.lists(st.integers(0, 12 * MIB), max_size=5))
    rest = total - sum(odd)
    ends = [rest * each // count for each in range(count + 1)]
    return [Piece(size, is_object=True) for size in odd] + [
        Piece(end - start, is_object=True) for start, end in pairwise(ends)
    ]


def assert_sound(pieces: Sequence[Piece], parts: Sequence[Part]) -> None:
    """Every byte once and in order; all limits kept."""
    place = [0, 0]
    for part in parts:
        for span in part.spans:
            while place[1] == pieces[place[0]].size:
                place = [place[0] + 1, 0]
            assert [span.piece, span.start] == place
            assert 0 < span.size <= pieces[span.piece].size
            place[1] = span.end
    assert sum(part.size for part in parts) == sum(piece.size for piece in pieces)
    assert len(parts) <= MOST_PARTS
    assert all(part.size >= LEAST_PART_BYTES for part in parts[:-1])
    assert all(part.size <= 5 * GIB for part in parts)


def assert_possible(pieces: Sequence[Piece], parts: Sequence[Part]) -> None:
    """What is copied is of one object, and whole or of one longer than 5 MiB; what is sent fits into memory."""
    most_sent = part_bytes(sum(piece.size for piece in pieces))
    for part in parts:
        if not part.is_copied:
            assert part.size <= most_sent
            continue
        [span] = part.spans
        assert pieces[span.piece].is_object
        assert LEAST_PART_BYTES <= span.size <= MOST_COPIED_BYTES
        assert span.size == pieces[span.piece].size or pieces[span.piece].size > LEAST_PART_BYTES


@given(piece_lists)
def test_every_byte_is_in_one_part_and_all_limits_are_kept(pieces: list[Piece]) -> None:
    parts = plan_parts(pieces)
    assert_sound(pieces, parts)
    assert_possible(pieces, parts)


@settings(max_examples=25)
@given(huge())
def test_limits_are_kept_from_1_tb_to_5_tib(pieces: list[Piece]) -> None:
    parts = plan_parts(pieces)
    assert_sound(pieces, parts)
    assert_possible(pieces, parts)


@given(st.lists(st.integers(2 * LEAST_PART_BYTES, 10 * GIB), min_size=1, max_size=50))
def test_objects_that_are_long_enough_are_copied_whole(sizes: list[int]) -> None:
    parts = plan_parts([Piece(size, is_object=True) for size in sizes])
    assert all(part.is_copied for part in parts)
    assert len(parts) == sum(-(-size // MOST_COPIED_BYTES) for size in sizes)


@given(st.lists(st.integers(2 * LEAST_PART_BYTES, GIB), min_size=1, max_size=50), st.integers(1, 4 * MIB))
def test_of_a_long_object_behind_a_short_piece_little_is_sent(sizes: list[int], head: int) -> None:
    """It lends the piece what that lacks for a part; the rest is copied."""
    parts = plan_parts([Piece(head, is_object=False), *(Piece(size, is_object=True) for size in sizes)])
    assert [part.size for part in parts if not part.is_copied] == [LEAST_PART_BYTES]


@pytest.mark.parametrize(
    ("size", "count", "copied", "sent"),
    [
        (8 * MIB, 1, 1, 0),
        (8 * MIB, 10_000, 10_000, 0),  # 84 GB
        (8 * MIB, 10_001, 0, 8890),  # a part too many: in parts of 9 MiB
        (8 * MIB, 119_210, 0, 9935),  # 1 TB of segments as they are made now: in parts of 96 MiB
        (96 * MIB, 9935, 9935, 0),  # 1 TB of longer ones
        (GIB, 5120, 5120, 0),  # 5 TiB
        (1_600_000, 1000, 0, 191),  # packed segments are too short
    ],
)
def test_numbers_that_were_reckoned_by_hand(size: int, count: int, copied: int, sent: int) -> None:
    parts = plan_parts([Piece(size, is_object=True)] * count)
    assert (sum(part.is_copied for part in parts), sum(not part.is_copied for part in parts)) == (copied, sent)


def test_where_all_would_be_too_many_parts_the_longer_ones_are_copied() -> None:
    pieces = [Piece(6 * MIB, is_object=True)] * 6000 + [Piece(200 * MIB, is_object=True)] * 6000
    parts = plan_parts(pieces)
    assert_sound(pieces, parts)
    assert sum(part.size for part in parts if part.is_copied) > 5999 * 200 * MIB
