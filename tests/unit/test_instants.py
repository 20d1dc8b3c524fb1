"""Dates as vendors and users write them, held against datetime."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.instants import is_date_only, parse_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARCH_FIRST = 1_614_556_800_000_000_000  # 2021-03-01T00:00:00Z
SECOND, HOUR, DAY = 10**9, 3600 * 10**9, 86_400 * 10**9

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001


def ns_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


@given(moment=moments, separator=st.sampled_from("Tt "), colon=st.booleans(), digits=st.integers(6, 12))
def test_iso_texts_say_what_datetime_says_to_any_fraction(
    moment: datetime, separator: str, colon: bool, digits: int
) -> None:
    text = moment.isoformat(separator, timespec="microseconds")
    clock, zone = text[:-6], text[-6:]
    zone = zone if colon else zone.replace(":", "")
    assert parse_instant(f"{clock}{'0' * (digits - 6)}{zone}") == ns_of(moment)
    assert parse_instant(f"{clock}123999{zone}") == ns_of(moment) + 123
    assert parse_instant(f" {clock.replace('.', ',')} {zone} ") == ns_of(moment)


@given(moment=moments, timespec=st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]))
def test_an_instant_has_one_number_whatever_the_offset(moment: datetime, timespec: str) -> None:
    text = moment.isoformat(timespec=timespec)
    in_utc = datetime.fromisoformat(text).astimezone(UTC)
    assert parse_instant(text) == parse_instant(in_utc.isoformat().replace("+00:00", "Z")) == ns_of(in_utc)
    assert parse_instant(in_utc.replace(tzinfo=None).isoformat(" ")) == ns_of(in_utc)


@given(day=st.dates())
def test_a_date_is_its_midnight_in_utc(day: date) -> None:
    assert parse_instant(day.isoformat()) == ns_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
    assert is_date_only(day.isoformat())


@given(moment=st.datetimes(min_value=datetime(1900, 1, 1), timezones=offsets))  # noqa: DTZ001
def test_rfc_2822_texts_say_what_datetime_says(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert parse_instant(format_datetime(moment)) == ns_of(moment)
    assert parse_instant(format_datetime(moment.astimezone(UTC), usegmt=True)) == ns_of(moment)


@given(ns=st.integers(10**18, 9 * 10**18))
def test_epoch_numbers_are_told_apart_by_size(ns: int) -> None:
    for unit_ns in (SECOND, 10**6, 10**3, 1):
        count, rest = divmod(ns, unit_ns)
        assert parse_instant(count) == parse_instant(str(count)) == ns - rest
        assert parse_instant(Decimal(ns) / unit_ns) == ns
        assert parse_instant(-count) == parse_instant(f"-{count}") == rest - ns
    assert parse_instant(ns / SECOND) == pytest.approx(ns, abs=2 * 10**3)  # steps of floats are 1.9 us there
    assert parse_instant(f"/Date({ns // 10**6}+0200)/") == ns // 10**6 * 10**6


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        ("2021-03-01T00:00Z", MARCH_FIRST),
        ("2021-03-01T00:00:00", MARCH_FIRST),
        ("2021-03-01 00:00:00 UTC", MARCH_FIRST),
        ("2021-03-01T05:30:00+05:30", MARCH_FIRST),
        ("2021-02-28T24:00:00Z", MARCH_FIRST),
        ("2021-03-01T01:00:00+01", MARCH_FIRST),
        ("2021-03-01T00:00:00.1Z", MARCH_FIRST + SECOND // 10),
        ("2021-03-01T00:00:00." + "9" * 500 + "Z", MARCH_FIRST + SECOND - 1),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),  # the leap second, as POSIX counts
        ("2016-12-31T23:59:60.5Z", 1_483_228_800 * SECOND + SECOND // 2),
        ("2020-02-29", 1_582_934_400 * SECOND),
        ("0001-01-01", -62_135_596_800 * SECOND),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 * SECOND - 14 * HOUR),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_800 * SECOND - 1),
        ("Mon, 01 Mar 2021 00:00:00 GMT", MARCH_FIRST),
        ("1 Mar 21 02:00 +0200", MARCH_FIRST),
        ("Sunday, 28-Feb-21 19:00:00 EST", MARCH_FIRST),
        ("01 Mar 99 00:00:00 Z", 920_246_400 * SECOND),
        ("Mon, 01 Mar 2021 00:00:00 +0000 (UTC)", MARCH_FIRST),
        ("/Date(-1)/", -(10**6)),
        (0, 0),
        (-1, -SECOND),
        (1.5, SECOND + SECOND // 2),
        (Decimal("1614556800.123456789"), MARCH_FIRST + 123_456_789),
        (Decimal("1e-999999999"), 0),
    ],
)
def test_what_is_a_date(value: object, ns: int) -> None:
    assert parse_instant(value) == ns


@pytest.mark.parametrize(
    "value",
    [
        *(
            "2024-W01",
            "2024-W01-1",
            "2024-W01-1T00:00:00Z",
            "2024-060",
            "20240131",
            "20240131T000000Z",
            "2024",
            "2024-01",
        ),
        *("2023-02-29", "2024-13-01", "2024-00-01", "2024-01-32", "0000-01-01", "10000-01-01", "-2024-01-01"),
        *("2024-01-01T25:00:00Z", "2024-01-01T24:00:01Z", "2024-01-01T24:00:00.1Z", "2024-01-01T00:60:00Z"),
        *("2024-01-01T00:00:61Z", "2024-01-01T10Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+01:60"),
        *("2024-01-01T00:00:00:250Z", "2024-01-01T00:00:00 CET", "2024-01-01T00:00:00.Z", "2024-01-01Z"),
        *("03/04/2024", "1 Foo 2024 00:00:00 GMT", "31 Feb 2024 00:00:00 GMT", "/Date(x)/", "\u0662024-01-01"),
        *("", " ", "soon", "null", "12345678", "1e12", "0x5e0be100", "9" * 30, "9" * 5000, 10**20, 10**400, -(10**20)),
        *(None, True, False, [], {}, b"2024-01-01", date(2024, 1, 1), 1e300, float("nan"), float("-inf")),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e999999999"), Decimal("-1e20")),
    ],
)
def test_what_is_no_date(value: object) -> None:
    assert parse_instant(value) is None


mutations = st.lists(st.tuples(st.integers(0, 23), st.sampled_from("0129:-+.,TZtz W\u0663")), max_size=3)


@given(text=st.sampled_from(["2024-03-01T08:30:00.250Z", "2024-03-01T08:30:00Z"]), changes=mutations)
@example(text="2024-03-01T08:30:00.250Z", changes=[(19, ":")])
def test_the_short_cut_for_usual_texts_is_no_other_rule(text: str, changes: list[tuple[int, str]]) -> None:
    for at, character in changes:
        text = text[:at] + character + text[at + 1 :] if at < len(text) else text
    padded = text.replace("Z", " Z") if text.endswith("Z") and text.count("Z") == 1 else f"{text} "
    assert parse_instant(text) == parse_instant(padded)


@given(value=st.recursive(st.text() | st.floats() | st.integers() | st.decimals(), st.lists))
def test_nothing_raises(value: Any) -> None:
    assert isinstance(parse_instant(value), int | None)
