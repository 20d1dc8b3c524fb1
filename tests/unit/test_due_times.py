"""Due times over clock changes, held against a walk through every minute of real time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.cron import Cron
from app.domain.due_times import Recurrence
from tests.fakes.minutes import due_minutes

ZONES = [
    "UTC",
    "Europe/Berlin",  # 02:00 to 03:00
    "America/New_York",
    "America/Santiago",  # south, at midnight
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # twice a year, a month apart
    "Asia/Kathmandu",  # never, at a quarter of an hour
    "Pacific/Apia",  # once left out a whole day
]


DAYS = st.one_of(st.integers(65, 100), st.integers(240, 310), st.integers(0, 365))
"""Of a year; most clock changes lie in the first two ranges."""


def recurrence(cron: str, zone: str) -> Recurrence:
    return Recurrence(Cron.parse(cron), ZoneInfo(zone))


def local(cron: str, zone: str, begin: str, count: int) -> list[str]:
    found = recurrence(cron, zone).following(datetime.fromisoformat(begin).replace(tzinfo=UTC), count)
    return [each.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z") for each in found]


def test_a_time_that_does_not_exist_is_due_once_right_after_the_gap() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "03-28 02:30 +0100",
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]
    assert local("*/20 2 * * *", "Europe/Berlin", "2026-03-28T02:00", 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]
    assert local("0 0 * * *", "America/Santiago", "2026-09-05T12:00", 2) == ["09-06 01:00 -0300", "09-07 00:00 -0300"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    assert local("0 1-2 * * *", "America/New_York", "2026-11-01T04:30", 3) == [
        "11-01 01:00 -0400",
        "11-01 02:00 -0500",
        "11-02 01:00 -0500",
    ]


def test_an_interval_goes_on_through_both() -> None:
    assert local("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10", 3) == [
        "03-29 01:30 +0100",
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
    ]
    assert local("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45", 5) == [
        "10-25 02:00 +0200",
        "10-25 02:30 +0200",
        "10-25 02:00 +0100",
        "10-25 02:30 +0100",
        "10-25 03:00 +0100",
    ]


def test_a_day_that_a_zone_left_out_is_made_up_for_at_its_end() -> None:
    assert local("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00", 3) == [
        "12-29 12:00 -1000",
        "12-31 00:00 +1400",
        "12-31 12:00 +1400",
    ]


def expressions() -> Iterator[str]:
    yield from ("0 * * * *", "*/7 * * * *", "*/15 * * 3,10 *", "30 2 * * *", "*/20 0-3 * * *", "5 1 * * SUN")
    yield from ("15 23 L * *", "0 */2 * * *", "45 0,1,2 1 * *", "59 23 31 12 *", "0 0 29 2 *", "*/10 0-23 * * *")


@settings(max_examples=40)
@given(st.sampled_from(list(expressions())), st.sampled_from(ZONES), st.integers(2011, 2029), DAYS)
def test_every_due_time_is_one_of_the_minutes_that_are_due_and_none_is_left_out(
    cron: str, zone: str, year: int, day: int
) -> None:
    begin = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
    end = begin + timedelta(days=4)

    found = list(recurrence(cron, zone).between(begin, end))

    assert found == due_minutes(cron, ZoneInfo(zone), begin, end)


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_has_exactly_one_nightly_run(zone: str) -> None:
    found = recurrence("30 2 * * *", zone).between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    days = [each.astimezone(ZoneInfo(zone)).date() for each in found]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]


def test_the_newest_ones_are_found_without_walking_through_all() -> None:
    every_second = recurrence("* * * * * ?", "UTC")
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    assert every_second.newest(first, last, 3) == [last - timedelta(seconds=n) for n in (2, 1, 0)]
    monthly = recurrence("0 0 1 * *", "UTC")
    assert monthly.newest(first, datetime(2026, 3, 15, tzinfo=UTC), 9) == [
        datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)
    ]
    assert monthly.newest(first, first, 1) == [first]
