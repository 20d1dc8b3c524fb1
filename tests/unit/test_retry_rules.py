"""When a failed call is tried again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from app.domain.retry import LONGEST_RETRY_AFTER_S, PATIENCE_S, GiveUp, RetryPolicy, TryAgain, decide

SEEDS = st.integers(0, 2**32)
FAILURES = st.integers(1, 14)


@given(FAILURES, SEEDS, st.floats(0.1, 10), st.floats(1, 10_000))
def test_the_wait_is_up_to_the_doubled_base_and_the_cap(n: int, seed: int, base_s: float, cap_s: float) -> None:
    decision = decide(RetryPolicy(15, base_s, cap_s), n, None, random.Random(seed))
    assert isinstance(decision, TryAgain)
    assert 0 <= decision.wait_s <= min(cap_s, base_s * 2 ** (n - 1))


def test_the_whole_range_is_used() -> None:
    decisions = [decide(RetryPolicy(), 5, None, random.Random(seed)) for seed in range(500)]
    waits_s = [each.wait_s for each in decisions if isinstance(each, TryAgain)]
    assert min(waits_s) < 1
    assert max(waits_s) > 31


@given(st.integers(1, 10_000), SEEDS)
def test_a_policy_with_many_tries_never_overflows(n: int, seed: int) -> None:
    decision = decide(RetryPolicy(tries=100_000), n, None, random.Random(seed))
    assert isinstance(decision, TryAgain)
    assert decision.wait_s <= 3600


@given(st.integers(1, 40), st.integers(1, 20), st.none() | st.floats(0, 100))
def test_the_last_try_is_the_last(n: int, tries: int, retry_after_s: float | None) -> None:
    decision = decide(RetryPolicy(tries=tries), n, retry_after_s, random.Random(1))
    assert isinstance(decision, GiveUp) == (n >= tries)
    if isinstance(decision, GiveUp):
        assert decision.tries == n


@given(FAILURES, SEEDS, st.floats(-100, 10 * LONGEST_RETRY_AFTER_S))
def test_what_the_other_side_asks_for_is_honoured_in_full_up_to_a_day(n: int, seed: int, asked_s: float) -> None:
    decision = decide(RetryPolicy(), n, asked_s, random.Random(seed))
    assert isinstance(decision, TryAgain)
    honoured_s = min(max(asked_s, 0.0), LONGEST_RETRY_AFTER_S)
    assert honoured_s <= decision.wait_s <= honoured_s + 1


@given(st.floats(0, 100))
def test_only_short_waits_are_waited_by_the_task_itself(wait_s: float) -> None:
    assert TryAgain(wait_s).is_short == (wait_s <= PATIENCE_S)
