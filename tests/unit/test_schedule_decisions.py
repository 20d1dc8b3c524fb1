"""What becomes of due times that are over: every one of them is run or skipped once, whatever the policy."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from app.domain.cron import Cron
from app.domain.due_times import Recurrence
from app.domain.schedules import ON_TIME, CatchUp, decide

HOURLY = Recurrence(Cron.parse("0 * * * *"), ZoneInfo("UTC"))
FIRST = datetime(2026, 5, 1, 6, tzinfo=UTC)


def hour(number: int, minute: int = 0) -> datetime:
    return FIRST.replace(hour=number, minute=minute)


def test_what_is_on_time_is_run_whatever_the_policy() -> None:
    for policy in CatchUp:
        found = decide(HOURLY, policy, 10, next_due_at=FIRST, now=FIRST + timedelta(seconds=2))
        assert found.run is not None
        assert (found.run.first, found.run.last, found.run.count) == (FIRST, FIRST, 1)
        assert (found.skipped, found.next_due_at) == (None, hour(7))


def test_one_makes_one_run_for_all() -> None:
    found = decide(HOURLY, CatchUp.ONE, 10, next_due_at=FIRST, now=hour(9, 30))
    assert found.run is not None
    assert (found.run.first, found.run.last, found.run.count) == (FIRST, hour(9), 4)
    assert (found.skipped, found.next_due_at) == (None, hour(10))


def test_skip_notes_them_and_runs_the_newest_only_on_time() -> None:
    late = decide(HOURLY, CatchUp.SKIP, 10, next_due_at=FIRST, now=hour(9, 30))
    assert late.run is None
    assert late.skipped is not None
    assert (late.skipped.first, late.skipped.last, late.skipped.count) == (FIRST, hour(9), 4)
    assert late.next_due_at == hour(10)

    on_time = decide(HOURLY, CatchUp.SKIP, 10, next_due_at=FIRST, now=hour(9) + ON_TIME)
    assert on_time.run is not None
    assert on_time.skipped is not None
    assert (on_time.run.last, on_time.skipped.last, on_time.skipped.count) == (hour(9), hour(8), 3)


def test_all_runs_each_oldest_first_and_of_too_many_the_newest() -> None:
    found = decide(HOURLY, CatchUp.ALL, 2, next_due_at=FIRST, now=hour(9, 30))
    assert found.skipped is not None
    assert found.run is not None
    assert (found.skipped.first, found.skipped.last, found.skipped.count) == (FIRST, hour(7), 2)
    assert (found.run.first, found.run.last, found.next_due_at) == (hour(8), hour(8), hour(9))
    rest = decide(HOURLY, CatchUp.ALL, 2, next_due_at=hour(9), now=hour(9, 30))
    assert rest.run is not None
    assert (rest.run.last, rest.skipped, rest.next_due_at) == (hour(9), None, hour(10))


def test_what_was_missed_for_years_is_counted_no_further_than_it_matters() -> None:
    every_second = Recurrence(Cron.parse("* * * * * ?"), ZoneInfo("UTC"))
    for policy in CatchUp:
        found = decide(every_second, policy, 1000, next_due_at=FIRST, now=FIRST + timedelta(days=2000))
        told = found.skipped if policy is CatchUp.ALL else found.run
        assert told is not None
        if policy is not CatchUp.SKIP:
            assert told.counted == "more than 1000"


@given(st.sampled_from(list(CatchUp)), st.integers(1, 5), st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_every_due_time_is_taken_exactly_once(policy: CatchUp, most: int, minutes: list[int]) -> None:
    """However irregularly it is looked."""
    taken: list[datetime] = []
    due_at: datetime | None = FIRST
    now = FIRST - timedelta(minutes=1)
    for passed in minutes:
        now += timedelta(minutes=passed)
        while due_at is not None and due_at <= now:
            found = decide(HOURLY, policy, most, next_due_at=due_at, now=now)
            for each in (found.skipped, found.run):
                if each is not None:
                    taken += [each.first, *HOURLY.between(each.first, each.last)]
                    assert each.count == 1 + len(list(HOURLY.between(each.first, each.last)))
            due_at = found.next_due_at
    assert taken == [each for each in [FIRST, *HOURLY.between(FIRST, now)] if each <= now]
