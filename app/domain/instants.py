"""Reading points in time as vendors and users write them, exact to the nanosecond. Pure: no clock, no time zone data.

An instant is an int: nanoseconds since 1970-01-01T00:00:00Z, negative before. Taken are
  * ISO 8601 calendar dates, `yyyy-MM-dd`, alone (midnight UTC) or with a time behind `T` or spaces: `HH:mm`,
    `HH:mm:ss`, a fraction of any length behind `.` or `,`, then `Z`, `UTC`, `GMT`, an offset (`+05:30`, `+0530`,
    `+05`) or nothing (UTC); `24:00` is the end of the day, second 60 (a leap second) the first of the next minute;
  * RFC 2822 and HTTP dates: `Tue, 02 Mar 2021 09:00:00 +0100` (the name of the day is not checked);
  * OData V2: `/Date(1615910400000)/`, milliseconds; an offset in it tells only where the writer was;
  * epoch numbers, told apart by size: below 10^11 seconds, 10^14 milliseconds, 10^17 microseconds, 10^20 nanoseconds;
    as text with nine digits at least, since fewer are years and compact dates as well.
What a finer fraction than a nanosecond says is cut off. Years are 1 to 9999. Everything else is no date: weeks and days
of the year (`2024-W01`, `2024-060`), compact dates (`20240131`), `03/04/2024` in whichever order it was meant.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

NS_A_SECOND = 1_000_000_000
NS_A_DAY = 86_400 * NS_A_SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL_LENGTHS = frozenset({len("2024-03-01T08:30:00Z"), len("2024-03-01T08:30:00.250Z")})
_DAY_ONE = date(1970, 1, 1).toordinal()
_LAST_HOUR, _LAST_MINUTE, _LEAP_SECOND = 23, 59, 60
_END_OF_DAY = (24, 0, 0)
_LONGEST_TEXT = 100  # characters; no date is longer, and a text may be as long as a page

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:(?:[Tt]| +)(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r" *(?:([Zz]|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
_RFC_2822 = re.compile(
    r"(?:[a-z]{3,9}\.?,? +)?(\d{1,2})[ -]+([a-z]{3})[ -]+(\d{4}|\d\d) +(\d{1,2}):(\d\d)(?::(\d\d))?"
    r"(?: +(?:([+-])(\d\d)(\d\d)|([a-z]{1,3})))?(?: +\([^()]*\))?",
    re.ASCII | re.IGNORECASE,
)
_ODATA = re.compile(r"/Date\(([+-]?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
_NUMBER = re.compile(r"([+-]?)(\d{9,20})(?:\.(\d+))?", re.ASCII)

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_ZONE_HOURS = {"": 0, "ut": 0, "utc": 0, "gmt": 0, "z": 0} | {
    letter + kind: hours + (kind == "dt")
    for letter, hours in (("e", -5), ("c", -6), ("m", -7), ("p", -8))
    for kind in ("st", "dt")
}
_UNITS = ((10**11, NS_A_SECOND), (10**14, 1_000_000), (10**17, 1_000), (10**20, 1))


def parse_instant(value: object) -> int | None:
    """Nanoseconds since 1970 UTC; None when the value is no date (see above). Never raises."""
    if isinstance(value, str):
        return _usual_text(value) if len(value) in _USUAL_LENGTHS else _text(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _epoch(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    return _fractional_epoch(value) if isinstance(value, Decimal) and value.is_finite() else None


def is_date_only(text: str) -> bool:
    """Whether it is a day, `yyyy-MM-dd`, and no point in it."""
    match = _ISO.fullmatch(text.strip())
    return match is not None and match[2] is None


def _usual_text(text: str) -> int | None:
    """The same as `_text` in a third of the time, for `2024-03-01T08:30:00.250Z` and `2024-03-01T08:30:00Z`."""
    is_usual = text[10] == "T" and text[4] == text[7] == "-" and text[13] == text[16] == ":" and text[19] in "Z."
    if not (is_usual and text[-1] == "Z"):
        return _text(text)
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:  # such as the second 60
        return _text(text)
    return (since.days * 86_400 + since.seconds) * NS_A_SECOND + since.microseconds * 1_000


def _text(text: str) -> int | None:
    match = _ISO.fullmatch(text)
    return _iso(match) if match else _other_text(text)


def _iso(match: re.Match[str]) -> int | None:
    day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    midnight = _midnight(day)
    if hour is None or midnight is None:
        return midnight
    clock = _clock(int(hour), int(minute), int(second or 0))
    if clock is None:
        return None
    if fraction:
        if hour == "24" and fraction.strip("0"):
            return None
        clock += int(fraction[:9].ljust(9, "0"))
    if sign:
        offset = _offset(sign, int(offset_hours), int(offset_minutes or 0))
        return None if offset is None else midnight + clock - offset
    return midnight + clock


@lru_cache(maxsize=4096)
def _midnight(day: str) -> int | None:
    try:
        return (date(int(day[:4]), int(day[5:7]), int(day[8:])).toordinal() - _DAY_ONE) * NS_A_DAY
    except ValueError:
        return None


def _clock(hour: int, minute: int, second: int) -> int | None:
    """Nanoseconds since midnight."""
    if hour > _LAST_HOUR or minute > _LAST_MINUTE or second > _LEAP_SECOND:
        return NS_A_DAY if (hour, minute, second) == _END_OF_DAY else None
    return (hour * 3600 + minute * 60 + second) * NS_A_SECOND


def _offset(sign: str, hours: int, minutes: int) -> int | None:
    if hours > _LAST_HOUR or minutes > _LAST_MINUTE:
        return None
    size = (hours * 3600 + minutes * 60) * NS_A_SECOND
    return -size if sign == "-" else size


def _other_text(value: str) -> int | None:
    text = value.strip()
    if len(text) > _LONGEST_TEXT:
        return None
    if text != value and (match := _ISO.fullmatch(text)):
        return _iso(match)
    if match := _NUMBER.fullmatch(text):
        return _fractional_epoch(Decimal(text))
    if match := _ODATA.fullmatch(text):
        return int(match[1]) * 1_000_000
    match = _RFC_2822.fullmatch(text)
    return _rfc_2822(match) if match else None


def _rfc_2822(match: re.Match[str]) -> int | None:
    day, month_name, year, hour, minute, second, sign, offset_hours, offset_minutes, zone = match.groups()
    month, hours = _MONTHS.find(month_name.lower()) // 4 + 1, _ZONE_HOURS.get((zone or "").lower())
    if not month or hours is None:
        return None
    if len(year) < len("2021"):  # RFC 2822 4.3
        year = ("20" if year < "50" else "19") + year
    midnight = _midnight(f"{year}-{month:02}-{int(day):02}")
    clock = _clock(int(hour), int(minute), int(second or 0))
    offset = _offset(sign, int(offset_hours), int(offset_minutes)) if sign else hours * 3600 * NS_A_SECOND
    return None if midnight is None or clock is None or offset is None else midnight + clock - offset


def _epoch(number: int) -> int | None:
    size = abs(number)
    for bound, unit_ns in _UNITS:
        if size < bound:
            return number * unit_ns
    return None


def _fractional_epoch(number: Decimal) -> int | None:
    """Only numbers within bounds become ints: of any exponent it would take any time."""
    for bound, unit_ns in _UNITS:
        if -bound < number < bound:
            whole = int(number)
            return whole * unit_ns + int((number - whole) * unit_ns)
    return None
