"""Sizes of parts, up to what S3 takes; nothing is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.parts import (
    LEAST_PART_BYTES,
    MIB,
    MOST_AT_ONCE,
    MOST_OBJECT_BYTES,
    MOST_PARTS,
    USUAL_PART_BYTES,
    part_bytes,
    parts_at_once,
)

TB = 10**12
sizes = st.one_of(
    st.integers(0, MOST_OBJECT_BYTES), st.integers(0, TB), st.integers(MOST_OBJECT_BYTES - MIB, MOST_OBJECT_BYTES)
)


@given(sizes)
def test_every_object_fits_into_the_parts_that_s3_takes(most_bytes: int) -> None:
    size = part_bytes(most_bytes)
    assert LEAST_PART_BYTES <= size <= 5 * 1024 * MIB
    assert -(-most_bytes // size) <= MOST_PARTS
    assert size % MIB == 0


@given(sizes)
def test_parts_are_no_larger_than_they_must_be(most_bytes: int) -> None:
    size = part_bytes(most_bytes)
    assert size == USUAL_PART_BYTES or most_bytes > (size - MIB) * MOST_PARTS


@given(sizes, sizes)
def test_a_larger_object_never_has_smaller_parts(one: int, other: int) -> None:
    assert part_bytes(min(one, other)) <= part_bytes(max(one, other))


@given(sizes)
def test_memory_is_bounded_by_the_part_or_by_a_budget(most_bytes: int) -> None:
    size = part_bytes(most_bytes)
    assert 1 <= parts_at_once(size) <= MOST_AT_ONCE
    assert (parts_at_once(size) + 1) * size <= max(64 * MIB, 2 * size)


@pytest.mark.parametrize(
    ("most_bytes", "expected", "at_once"),
    [
        (0, 8 * MIB, 4),
        (83_886_080_000, 8 * MIB, 4),
        (83_886_080_001, 9 * MIB, 4),
        (TB, 96 * MIB, 1),
        (MOST_OBJECT_BYTES, 525 * MIB, 1),
    ],
)
def test_sizes_that_were_reckoned_by_hand(most_bytes: int, expected: int, at_once: int) -> None:
    assert (part_bytes(most_bytes), parts_at_once(expected)) == (expected, at_once)
