"""Cron expressions, held against an independent reader where that knows the form, and else against calendars."""

# ruff: noqa: DTZ001 - walls have no zone
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cron import Cron, CronError

BEGIN = datetime(2026, 1, 1)
NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def times(text: str, count: int, begin: datetime = BEGIN) -> list[datetime]:
    cron = Cron.parse(text)
    found: list[datetime] = []
    at: datetime | None = begin
    while at is not None and len(found) < count:
        at = cron.after(at)
        found += [] if at is None else [at]
    return found


def days(text: str, count: int = 4) -> list[str]:
    return [f"{each:%m-%d}" for each in times(text, count)]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    two = st.lists(number, min_size=2, max_size=2, unique=True)  # `3-3/2` is `3-/2` there
    span = two.map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), span, number.map(str)), st.integers(1, max(1, high - low)))
    term = st.one_of(number.map(str), span, stepped.map(lambda pair: f"{pair[0]}/{pair[1]}"))
    return st.one_of(st.just("*"), st.lists(term, min_size=1, max_size=3).map(",".join))


@given(
    st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_the_classic_form_is_read_as_others_read_it(text: str, begin: datetime) -> None:
    if any("/" in term and "-" not in term and "*" not in term for term in text.split()[4].split(",")):
        return  # `3/2` ends on Sunday, the 7th, there, and on Saturday here
    assert times(text, 5, begin) == list(islice(CronSim(text, begin), 5))


@pytest.mark.parametrize("weekday", range(7))
def test_days_of_the_week_are_counted_as_each_form_counts_them(weekday: int) -> None:
    """1 is Sunday for Quartz and Monday for cron: mixed up, every weekly run would come a day late."""
    name = NAMES[weekday]
    expected = [
        each for each in (BEGIN + timedelta(days=n, hours=12) for n in range(14)) if f"{each:%a}".upper() == name
    ]
    for text in (
        f"0 12 * * {weekday}",
        f"0 12 * * {name}",
        f"0 12 * * {name.lower()}",
        f"0 0 12 ? * {weekday + 1}",
        f"0 0 12 ? * {name}",
        f"0 0 12 ? * {weekday + 1}-{weekday + 1} *",
    ):
        assert times(text, 2) == expected, text
    if name == "SUN":
        assert times("0 12 * * 7", 2) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 12 L * ?", ["01-31", "02-28", "03-31", "04-30"]),
        ("0 0 12 L-3 * ?", ["01-28", "02-25", "03-28", "04-27"]),
        ("0 0 12 LW * ?", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 12 15W * ?", ["01-15", "02-16", "03-16", "04-15"]),  # a Sunday gives the Monday
        ("0 0 12 1W * ?", ["01-01", "02-02", "03-02", "04-01"]),  # never a day of the month before
        ("0 0 12 31W * ?", ["01-30", "03-31", "05-29", "07-31"]),  # nor of the next; months without it have none
        ("0 0 12 ? * 6L", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 12 ? * FRIL", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 12 ? * 6#3", ["01-16", "02-20", "03-20", "04-17"]),
        ("0 0 12 ? * MON#1,FRI#5", ["01-05", "01-30", "02-02", "03-02"]),
        ("0 0 12 ? * L", ["01-03", "01-10", "01-17", "01-24"]),
        ("0 0 12 ? * FRI-MON", ["01-02", "01-03", "01-04", "01-05"]),
        ("0 12 * * FRI-SUN", ["01-02", "01-03", "01-04", "01-09"]),
        ("0 12 * * 5-7", ["01-02", "01-03", "01-04", "01-09"]),
        ("0 12 13 * FRI", ["01-02", "01-09", "01-13", "01-16"]),  # either of two days
        ("0 12 */2 * FRI", ["01-09", "01-23", "02-13", "02-27"]),  # both, since one begins with a star
        ("0 0 12 ? JAN,MAR 2/2", ["01-02", "01-05", "01-07", "01-09"]),
    ],
)
def test_special_days(text: str, expected: list[str]) -> None:
    assert days(text) == expected


def test_seconds_and_years() -> None:
    assert [f"{each:%H:%M:%S}" for each in times("10/25 59 23 ? * *", 3)] == ["23:59:10", "23:59:35", "23:59:10"]
    assert [each.year for each in times("0 0 0 29 2 ? 2026-2036/2", 9)] == [2028, 2032, 2036]
    assert times("0 0 0 1 1 ? 2020", 1) == []
    assert [f"{each:%H}" for each in times("0 0 22-2 * * ?", 5)] == ["01", "02", "22", "23", "00"]


def test_a_day_that_comes_every_few_decades_is_found_and_one_that_never_does_ends() -> None:
    assert times("0 0 29 2 */7", 2) == [datetime(2032, 2, 29), datetime(2060, 2, 29)]
    assert times("0 0 30 2 *", 1) == []


def test_an_expression_that_never_matches_costs_no_more_than_the_months_that_there_are() -> None:
    """Sixty terms, each looked at on each day of fifty years, took a second of CPU a request."""
    text = ",".join(["LW"] * 60)
    cron, looked_at = Cron.parse(f"0 0 {text} * */6"), []

    def counted(day: date) -> bool:
        looked_at.append(day)
        return cron.matches_day(day)

    watched = replace(cron, matches_day=counted)
    assert watched.after(BEGIN) is None
    assert watched.after(BEGIN) is None
    assert len(looked_at) == 7 * (28 + 29 + 30 + 31)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("* * *", ["'* * *' has 3 fields", "five fields", "1 for Sunday"]),
        ("* * * * * * * *", ["8 fields"]),
        ("61 * * * *", ["minute '61'", "0-59"]),
        ("* 24 * * *", ["hour '24'", "0-23"]),
        ("* * 0 * *", ["day of month '0'", "1-31"]),
        ("* * * JANUARY *", ["month 'JANUARY'", "JAN-DEC"]),
        ("* * * * 8", ["day of week '8'", "0-7", "SUN-SAT"]),
        ("* * * * MON-", ["day of week 'MON-'"]),
        ("*/90 * * * *", ["minute '*/90'", "steps /n with n up to 59"]),
        ("*/0 * * * *", ["minute '*/0'"]),
        ("5-3 * * * *", ["minute '5-3'"]),
        ("1,,2 * * * *", ["minute ''"]),
        ("٣ * * * *", ["minute '٣'"]),
        ("0 0 12 ? * 0", ["day of week '0'", "1-7"]),
        ("0 0 12 ? * MON#6", ["day of week 'MON#6'", "up to 5"]),
        ("0 0 12 * * MON", ["day of month '*' and day of week 'MON'", "exactly one of them is `?`"]),
        ("0 0 12 ? * ?", ["day of month '?' and day of week '?'"]),
        ("0 0 12 32W * ?", ["day of month '32W'"]),
        ("0 0 12 L-31 * ?", ["day of month 'L-31'"]),
        ("0 0 12 1 1 ? 1969", ["year '1969'", "1970-2099"]),
        ("0 12 ? * MON", ["day of month '?'"]),
        ("@daily", ["1 fields"]),
        ("x" * 500, ["1 fields"]),
    ],
)
def test_what_cannot_be_read_is_named_with_what_is_accepted(text: str, named: list[str]) -> None:
    with pytest.raises(CronError) as caught:
        Cron.parse(text)
    assert len(str(caught.value)) < 700
    for part in named:
        assert part in str(caught.value)


@given(st.text(alphabet="0123456789*,-/?LW# MONJAFRI", max_size=40))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        cron = Cron.parse(text)
    except CronError:
        return
    found = cron.after(BEGIN)
    assert found is None or (found > BEGIN and found.date() >= date(2026, 1, 1))
