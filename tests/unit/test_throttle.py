"""The shared budget of an instance: windows, quota, slots and what vendors say, on a stand-in for Redis."""

from collections.abc import Iterator
from typing import Any, cast

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from app.connectors.allowances import Allowance
from app.connectors.throttle import (
    QUOTA,
    SLOT_S,
    SLOTS,
    VENDOR,
    BudgetUnavailableError,
    Grant,
    Refusal,
    Throttle,
)
from tests.fakes.shared_budget import BEGAN_S, Budget, ask_at_random, most_in_any_window, window


def fresh() -> Redis:
    return fakeredis.FakeRedis()


@pytest.fixture
def redis() -> Iterator[Redis]:
    with fresh() as client:
        yield client


def budget(redis: Redis, *windows: tuple[int, float], **more: Any) -> Budget:
    return Budget(redis, Allowance(tuple(window(*each) for each in windows), **more))


# Windows --------------------------------------------------------------------------------------------------------------

WINDOWS = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from([0.05, 0.3, 1.0, 2.5, 10.0, 60.0])),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[1],
)


@settings(max_examples=40, deadline=None)
@given(WINDOWS, st.integers(0, 10**6), st.none() | st.integers(1, 199))
def test_no_window_ever_holds_more_wherever_it_begins(
    windows: list[tuple[int, float]], seed: int, flush_at: int | None
) -> None:
    asked = budget(fresh(), *windows)
    asked.made_s = BEGAN_S - 1  # so that a server without memory must fear that it was in use
    ask_at_random(asked, seed, flush_at=flush_at)
    for calls, per_s in windows:
        assert most_in_any_window(asked.granted_at, 1.05 * per_s) <= calls


@pytest.mark.parametrize(("calls", "per_s"), [(1, 1.0), (10, 1.0), (100, 10.0), (7, 2.0), (1000, 60.0), (5, 3600.0)])
def test_who_waits_as_told_uses_most_of_the_limit(redis: Redis, calls: int, per_s: float) -> None:
    asked = budget(redis, (calls, per_s))
    while len(asked.granted_at) < 12 * calls:
        answer = asked.ask()
        asked.now_s += answer.wait_s if isinstance(answer, Refusal) else 0.0
    lasted_s = asked.granted_at[-1] - asked.granted_at[0] + per_s
    assert len(asked.granted_at) >= 0.85 * calls * lasted_s / per_s


@pytest.mark.parametrize("offset_s", [number * 0.0171 for number in range(12)])
def test_a_call_counts_to_the_last_moment_of_its_window(redis: Redis, offset_s: float) -> None:
    asked = budget(redis, (1, 10.0))
    asked.now_s += offset_s
    asked.burst(1)
    asked.now_s += 10.499
    assert asked.burst(1) == 0
    asked.now_s += 0.2
    assert asked.burst(1) == 1


def test_a_whole_window_may_be_used_at_once(redis: Redis) -> None:
    assert budget(redis, (100, 10.0)).burst(150) == 100


def test_the_strictest_of_several_windows_decides(redis: Redis) -> None:
    asked = budget(redis, (3, 1.0), (5, 60.0))
    assert asked.burst(10) == 3
    asked.now_s += asked.refusal().wait_s
    assert asked.burst(10) == 2
    refused = asked.refusal()
    assert refused.by == window(5, 60.0)
    assert refused.wait_s == pytest.approx(62, abs=1.5)


def test_who_comes_at_the_told_time_is_served(redis: Redis) -> None:
    asked = budget(redis, (4, 7.0))
    for _ in range(20):
        assert asked.burst(5) == 4
        asked.now_s += asked.refusal().wait_s


def test_those_who_wait_are_told_different_times(redis: Redis) -> None:
    asked = budget(redis, (10, 1.0))
    asked.burst(10)
    waits = [asked.refusal(is_waiting=True).wait_s for _ in range(50)]
    assert waits == sorted(waits)
    assert waits[-1] - waits[0] == pytest.approx(49 * 0.11, rel=0.01)
    assert all(asked.refusal(is_waiting=True).wait_s < 32 for _ in range(1000)), "a queue of the dead ends"


def test_who_only_looks_ahead_takes_nobodys_turn(redis: Redis) -> None:
    asked = budget(redis, (10, 1.0))
    asked.burst(10)
    assert asked.refusal().wait_s == asked.refusal().wait_s == asked.refusal(is_waiting=True).wait_s


def test_instances_do_not_share(redis: Redis) -> None:
    mine, theirs = budget(redis, (3, 10.0)), budget(redis, (3, 10.0))
    theirs.instance_id = 2
    assert (mine.burst(9), theirs.burst(9)) == (3, 3)


def test_an_objects_own_window_counts_its_calls_alone(redis: Redis) -> None:
    search = Budget(redis, Allowance((window(10, 10.0), window(2, 1.0, "object search"))))
    others = Budget(redis, Allowance((window(10, 10.0),)))
    assert others.burst(4) == 4
    assert search.burst(9) == 2
    assert others.burst(9) == 4, "the connector's window counts both"


def test_a_lower_limit_of_a_later_revision_counts_earlier_calls(redis: Redis) -> None:
    assert budget(redis, (10, 10.0)).burst(6) == 6
    assert budget(redis, (7, 10.0)).burst(6) == 1


def test_a_window_that_was_not_counted_so_far_counts_as_used_up(redis: Redis) -> None:
    budget(redis, (10, 10.0)).burst(6)
    changed = budget(redis, (10, 20.0))
    assert changed.refusal().wait_s == 21.0


@pytest.mark.parametrize("calls", [10, 100_000])
def test_memory_does_not_grow_with_the_calls(redis: Redis, calls: int) -> None:
    asked = budget(redis, (calls, 10.0))
    for _ in range(1000):
        asked.ask()
        asked.now_s += 0.013
    ring = cast("bytes", redis.hget("haulage:budget:1", "all:10"))
    assert len(ring.split()) <= 66
    assert redis.hlen("haulage:budget:1") < 12


def test_every_key_of_an_instance_expires_by_itself(redis: Redis) -> None:
    asked = budget(redis, (100, 10.0), concurrency=1)
    for ask in (
        lambda: asked.burst(5),
        lambda: asked.refusal(is_waiting=True),
        lambda: asked.throttle.settle(asked.subject, Grant(1, ""), block_s=5),
    ):
        redis.delete("haulage:budget:1")
        ask()
        assert 0 < redis.pttl("haulage:budget:1") <= 26 * 3600 * 1000
    assert 0 < redis.pttl("haulage:slots:1") <= 2 * 1000 * SLOT_S
    assert len(redis.keys("haulage:*")) == 3


# What is lost ---------------------------------------------------------------------------------------------------------


def test_after_a_flush_every_window_counts_as_used_up(redis: Redis) -> None:
    asked = budget(redis, (5, 10.0))
    asked.made_s = BEGAN_S - 1
    asked.now_s += 60
    redis.flushdb()
    assert asked.refusal() == Refusal(10.5, window(5, 10.0))
    asked.now_s += 10.4
    assert asked.burst(9) == 0
    asked.now_s += 0.1
    assert asked.burst(9) == 5


def test_after_a_flush_every_slot_counts_as_taken(redis: Redis) -> None:
    """The calls that held them are still under way; there must be no more beside them."""
    asked = budget(redis, concurrency=2)
    asked.made_s = BEGAN_S - 1
    asked.now_s += SLOT_S
    redis.flushdb()
    assert asked.refusal() == Refusal(SLOT_S, SLOTS)
    asked.now_s += SLOT_S - 0.1
    assert asked.burst(9) == 0
    asked.now_s += 0.1
    assert asked.burst(9) == 2


def test_an_answer_to_a_call_from_before_a_flush_silences_none_after_it(redis: Redis) -> None:
    """Grants are numbered anew then; the old number must not make every new answer look overtaken."""
    asked = budget(redis, (100, 1.0))
    for _ in range(50):
        before = asked.grant()
    redis.flushdb()
    asked.now_s += 2
    asked.grant()
    asked.throttle.settle(asked.subject, before, remaining=4, reset_s=1)
    assert asked.burst(9) == 3, "the call since is not in the vendor's figure"
    asked.now_s += 2
    asked.throttle.settle(asked.subject, asked.grant(), remaining=2, reset_s=40)
    assert asked.burst(9) == 2


def test_a_server_that_came_back_with_an_old_memory_counts_as_flushed(redis: Redis) -> None:
    asked = budget(redis, (5, 10.0))
    asked.made_s = BEGAN_S - 1
    asked.burst(1)
    asked.now_s += 60
    assert asked.burst(1) == 1
    redis.hset("haulage:budget:server", "run", "the server before")
    assert asked.refusal().wait_s == 10.5


def test_an_instance_that_is_younger_than_the_servers_memory_need_not_wait(redis: Redis) -> None:
    Throttle("", clock=lambda: BEGAN_S, redis=redis).begin()
    asked = budget(redis, (5, 10.0))
    asked.made_s = BEGAN_S + 1
    asked.now_s += 2
    assert asked.burst(9) == 5


def test_a_clock_that_is_set_back_stops_nobody_for_long_and_lets_nothing_through(redis: Redis) -> None:
    asked = budget(redis, (5, 10.0))
    asked.burst(5)
    asked.now_s -= 3600
    assert asked.refusal().wait_s == 10.5
    asked.now_s += 10.5
    assert asked.burst(9) == 5


def test_a_clock_that_trembles_changes_nothing(redis: Redis) -> None:
    asked = budget(redis, (5, 10.0))
    asked.burst(3)
    asked.now_s -= 0.5
    assert asked.burst(9) == 2


class Broken:
    """In the place of a client: fails as told, then answers as `behind` does."""

    def __init__(self, behind: Redis, *failures: Exception) -> None:
        self._behind, self._failures = behind, list(failures)

    def register_script(self, source: str) -> Any:
        run = self._behind.register_script(source)

        def script(**arguments: Any) -> Any:
            if self._failures:
                raise self._failures.pop(0)
            return run(**arguments)

        return script

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


def test_a_connection_that_broke_is_made_anew_at_once(redis: Redis) -> None:
    asked = budget(cast("Redis", Broken(redis, BrokenError())), (5, 10.0))
    assert isinstance(asked.ask(), Grant)


@pytest.mark.parametrize("failures", [[SilentError()], [BrokenError(), BrokenError()], [OSError()]])
def test_nothing_is_granted_while_redis_is_away(redis: Redis, failures: list[Exception]) -> None:
    asked = budget(cast("Redis", Broken(redis, *failures)), (5, 10.0))
    with pytest.raises(BudgetUnavailableError):
        asked.ask()


def test_a_refill_whose_reply_is_lost_is_never_sent_twice(redis: Redis) -> None:
    asked = budget(cast("Redis", Broken(redis, BrokenError())), quota=100)
    with pytest.raises(BudgetUnavailableError):
        asked.ask(day="2027-01-15", refill=7)


# A day's quota --------------------------------------------------------------------------------------------------------


def test_calls_of_a_quota_are_those_that_were_added(redis: Redis) -> None:
    asked = budget(redis, quota=100)
    today, tomorrow = "2027-01-15", "2027-01-16"
    assert asked.ask(day=today) == Refusal(0.0, QUOTA)
    assert isinstance(asked.ask(day=today, refill=3), Grant)
    assert [isinstance(asked.ask(day=today), Grant) for _ in range(4)] == [True, True, False, False]
    assert isinstance(asked.ask(day=today, refill=2), Grant)
    assert asked.ask(day=tomorrow) == Refusal(0.0, QUOTA), "what is left of today is not for tomorrow"
    assert isinstance(asked.ask(day=tomorrow, refill=1), Grant)
    assert asked.ask(day=today, refill=5) == Refusal(0.0, QUOTA), "a clock behind adds nothing to a day that is over"


def test_no_block_is_asked_for_while_something_else_refuses(redis: Redis) -> None:
    asked = budget(redis, (1, 10.0), quota=100)
    assert isinstance(asked.ask(day="2027-01-15", refill=1), Grant)
    assert asked.ask(day="2027-01-15") == Refusal(asked.refusal().wait_s, window(1, 10.0))


# Calls at the same time -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.lists(st.sampled_from(["ask", "end", "wait"]), max_size=120), st.integers(0, 10**6))
def test_there_are_never_more_slots_than_declared(slots: int, steps: list[str], seed: int) -> None:
    asked = budget(fresh(), concurrency=slots)
    held: dict[str, Grant] = {}
    until: dict[str, float] = {}
    for step in steps:
        if step == "wait":
            asked.now_s += 1 + seed % 7
            held = {name: grant for name, grant in held.items() if until[name] > asked.now_s}
        elif step == "end" and held:
            asked.throttle.settle(asked.subject, held.pop(min(held)))
        else:
            answer = asked.ask()
            assert isinstance(answer, Grant) == (len(held) < slots)
            if isinstance(answer, Grant):
                held[answer.slot], until[answer.slot] = answer, asked.now_s + SLOT_S


def test_a_slot_outlives_its_holder_for_a_while_only(redis: Redis) -> None:
    asked = budget(redis, concurrency=1)
    dead = asked.grant()
    asked.now_s += SLOT_S - 1
    assert asked.refusal().by == SLOTS
    asked.throttle.settle(asked.subject, dead, prolong_s=SLOT_S)
    asked.now_s += SLOT_S - 1
    assert asked.refusal().by == SLOTS
    asked.now_s += 2
    late = asked.grant()
    asked.throttle.settle(asked.subject, dead)
    assert asked.refusal().by == SLOTS, "who lost a slot has no say in another's"
    asked.throttle.settle(asked.subject, dead, prolong_s=SLOT_S)
    asked.throttle.settle(asked.subject, late)
    asked.grant()


def test_who_was_served_for_a_while_lets_one_who_waits_go_first(redis: Redis) -> None:
    asked = budget(redis, concurrency=1)
    served = asked.grant()
    assert asked.refusal(is_waiting=True).by == SLOTS
    asked.throttle.settle(asked.subject, served)
    assert asked.refusal(is_served=True, is_waiting=True).by == SLOTS
    assert asked.refusal().by == SLOTS, "nor does one who only looks ahead go first"
    waited = asked.ask(is_waiting=True)
    assert isinstance(waited, Grant)
    asked.throttle.settle(asked.subject, waited)
    asked.now_s += 1
    assert isinstance(asked.ask(is_served=True), Grant), "nobody waits any more"


# What the vendor says -------------------------------------------------------------------------------------------------


def test_a_pause_that_the_vendor_asks_for_holds_for_everybody(redis: Redis) -> None:
    asked, other = budget(redis, (100, 1.0)), budget(redis, (100, 1.0))
    grant = asked.grant()
    asked.throttle.settle(asked.subject, grant, block_s=30)
    asked.throttle.settle(asked.subject, grant, block_s=5)
    assert other.refusal() == Refusal(30, VENDOR)
    other.now_s += 30
    other.grant()


def test_the_vendors_own_count_lowers_ours(redis: Redis) -> None:
    asked = budget(redis, (100, 1.0))
    asked.throttle.settle(asked.subject, asked.grant(), remaining=3, reset_s=40)
    assert asked.burst(9) == 3
    assert asked.refusal() == Refusal(40, VENDOR)
    asked.now_s += 40
    assert asked.burst(9) == 9


def test_calls_under_way_are_not_in_the_vendors_figure(redis: Redis) -> None:
    asked = budget(redis, (100, 1.0))
    first, *later = [asked.grant() for _ in range(4)]
    asked.throttle.settle(asked.subject, first, remaining=5, reset_s=40)
    assert asked.burst(9) == 2
    asked.throttle.settle(asked.subject, later[2], remaining=4, reset_s=40)
    assert asked.burst(9) == 2
    asked.throttle.settle(asked.subject, later[0], remaining=99, reset_s=40)
    assert asked.burst(9) == 0, "an answer that was overtaken says nothing new"
