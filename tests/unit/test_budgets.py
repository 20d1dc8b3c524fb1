"""How many calls are reserved ahead."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.budgets import LARGEST_BLOCK, block_size

COUNTS = st.integers(-5, 10**9)
RATES = st.floats(0, 1e6)


@given(COUNTS, RATES)
def test_a_block_never_passes_what_is_left(remaining: int, rate: float) -> None:
    size = block_size(remaining, rate)
    assert 0 <= size <= max(0, remaining)
    assert (size == 0) == (remaining <= 0)


@given(st.integers(1, 10**9), RATES)
def test_a_crash_loses_little(remaining: int, rate: float) -> None:
    assert block_size(remaining, rate) <= max(1, min(LARGEST_BLOCK, remaining // 8, int(rate)))


@given(st.integers(1, 2000), RATES)
def test_blocks_add_up_to_exactly_the_limit(limit: int, rate: float) -> None:
    reserved = 0
    while size := block_size(limit - reserved, rate):
        reserved += size
    assert reserved == limit
