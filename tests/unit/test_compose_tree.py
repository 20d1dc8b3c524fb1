"""The calls that put objects of Google's together: at most 32 sources each, every piece once and in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.compose_tree import MOST_SOURCES, Step, Temporary, levels, steps, temporaries

TB = 10**12
TIB = 1024**4
SEGMENT_BYTES = 8 * 1024 * 1024
PACKED_BYTES = 1_600_000
counts = st.one_of(
    st.integers(1, 200),
    st.integers(1, 5000),
    st.integers(1, 150_000),
    st.sampled_from([32**n + d for n in (1, 2, 3) for d in (-1, 0, 1)]),
)


def played(count: int) -> list[Step]:
    """All steps, carried out at a bucket of names that are written again and again."""
    held: dict[Temporary, tuple[int, int]] = {}
    done = list(steps(count))
    for step in done:
        at = step.first
        assert 1 <= len(step.sources) <= MOST_SOURCES
        for source in step.sources:
            first, end = (source, source + 1) if isinstance(source, int) else held.pop(source)
            assert first == at
            at = end
        assert at == step.end
        assert step.target not in held, "what waits to be taken is overwritten"
        held[step.target] = (step.first, step.end)
    assert held == {Temporary(levels(count), 0): (0, count)}
    return done


@settings(max_examples=50)
@given(counts)
def test_every_piece_is_taken_once_and_in_order(count: int) -> None:
    done = played(count)
    assert sorted(source for step in done for source in step.sources if isinstance(source, int)) == list(range(count))


@settings(max_examples=50)
@given(counts)
def test_no_call_too_many(count: int) -> None:
    """Each call makes at most 31 objects fewer of those that are left; a level may end with a call that is not full."""
    calls = sum(1 for _ in steps(count))
    least = max(1, -(-(count - 1) // (MOST_SOURCES - 1)))
    assert least <= calls <= least + levels(count)
    assert count == 1 or all(len(step.sources) > 1 for step in steps(count))


@settings(max_examples=50)
@given(counts)
def test_all_that_is_made_can_be_named_from_the_number_of_levels(count: int) -> None:
    top = levels(count)
    made = {step.target for step in steps(count)}
    assert made - {Temporary(top, 0)} <= set(temporaries(top))


@pytest.mark.parametrize(
    ("count", "calls", "names"),
    [
        (1, 1, 0),
        (32, 1, 0),
        (33, 2, 32),
        (1024, 33, 32),
        (1025, 34, 64),
        (-(-TB // SEGMENT_BYTES), 3848, 96),  # 119,210 segments
        (-(-TB // PACKED_BYTES), 20_164, 96),  # 625,000 packed ones
        (-(-5 * TIB // PACKED_BYTES), 110_841, 128),  # as much as an object may have
    ],
)
def test_numbers_that_were_reckoned_by_hand(count: int, calls: int, names: int) -> None:
    assert (sum(1 for _ in steps(count)), len(list(temporaries(levels(count))))) == (calls, names)
