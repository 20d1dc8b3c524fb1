"""Cron expressions: what they accept, and the next time of a wall clock that matches. Pure: no clock, no time zone.

Two forms, told apart by the number of fields:
  * classic, five: minute, hour, day of month, month, day of week (0 and 7 are Sunday). Where both days are restricted
    either may match, unless one of them begins with `*`;
  * Quartz, six or seven: second, minute, hour, day of month, month, day of week (1 is Sunday, 7 Saturday), year. As
    Quartz demands, exactly one of the two days is `?`; so an expression that counts days otherwise is not taken by
    accident.

A field is a list of `*`, `a`, `a-b`, each with `/n`; months and days have English names of three letters. Days of month
know `L` (the last), `L-3`, `LW` (the last weekday), `15W` (the weekday nearest to the 15th within the month); days of
week `5L` or `FRIL` (the last of the month), `FRI#2` (the second), in Quartz `L` (Saturday). Ranges may wrap in Quartz
and over days of the week (`FRI-MON`). Source: cron(8), crontab(5); Quartz "CronExpression".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

LONGEST = 200
"""Characters of an expression, at most."""

_MOST_YEARS = 50
"""After so many years without a match there is none: the 29th of February on a given weekday takes up to 40."""
_DAYS = {"SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6}
_MONTHS = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6,
    "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12,
}  # fmt: skip
_CLASSIC_FIELDS, _QUARTZ_FIELDS, _ALL_FIELDS = 5, 6, 7
_WEEK, _MOST_WEEKS = 7, 5
_SATURDAY, _SUNDAY = 6, 0
_FORMS = (
    "accepted: five fields (minute, hour, day of month, month, day of week with 0 or 7 for Sunday), or Quartz's six or"
    " seven (second, minute, hour, day of month, month, day of week with 1 for Sunday, year)"
)

DayMatch = Callable[[date], bool]


class CronError(ValueError):
    """The text is no expression that is accepted. The message names the field, its value and what is."""


@dataclass(frozen=True)
class _Field:
    """What one field may hold."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)
    wraps: bool = False
    more: str = ""
    """What else is accepted, for the error."""

    def error(self, text: str) -> CronError:
        """That this part of the field is not accepted."""
        spelled = f", {'-'.join(list(self.names)[:: len(self.names) - 1])}" if self.names else ""
        return CronError(
            f"{self.name} {text!r} is not accepted: numbers {self.low}-{self.high}{spelled}, `*`, ranges a-b, steps /n"
            f" with n up to {max(1, self.high - self.low)}, lists with commas{self.more}."
        )

    def number(self, text: str, whole: str) -> int:
        """One value of the field. Raises CronError."""
        if text in self.names:
            return self.names[text]
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(self.high))):
            raise self.error(whole)
        if not self.low <= int(text) <= self.high:
            raise self.error(whole)
        return int(text)

    def values(self, term: str) -> set[int]:
        """What `*`, `a`, `a-b`, `a/n` and the like stand for. Raises CronError."""
        span, slash, step_text = term.partition("/")
        if slash and not (step_text.isascii() and step_text.isdigit() and len(step_text) <= len(str(self.high))):
            raise self.error(term)
        step = int(step_text) if slash else 1
        if not 1 <= step <= max(1, self.high - self.low):
            raise self.error(term)
        first, last = self._span(span, term, is_open=bool(slash))
        if last >= first:
            return set(range(first, last + 1, step))
        if not self.wraps:
            raise self.error(term)
        size = self.high - self.low + 1
        return {(each - self.low) % size + self.low for each in range(first, last + size + 1, step)}

    def _span(self, span: str, term: str, *, is_open: bool) -> tuple[int, int]:
        if span == "*" or (is_open and not span):
            return self.low, self.high
        begin, dash, end = span.partition("-")
        first = self.number(begin, term)
        if dash:
            return first, self.number(end, term)
        return first, self.high if is_open else first


_SECOND = _Field("second", 0, 59, wraps=True)
_YEAR = _Field("year", 1970, 2099)
_DAY_WORDS = ", L, L-n, LW, nW"
_WEEK_WORDS = ", a day with L (the last of the month) or #n (the n-th, up to 5)"


def _fields(*, is_quartz: bool) -> list[_Field]:
    """From the minute to the day of the week."""
    first_day = 1 if is_quartz else 0
    others = ", and `?` in exactly one of day of month and day of week" if is_quartz else ""
    named_days = {name: number + first_day for name, number in _DAYS.items()}
    return [
        _Field("minute", 0, 59, wraps=is_quartz),
        _Field("hour", 0, 23, wraps=is_quartz),
        _Field("day of month", 1, 31, wraps=is_quartz, more=_DAY_WORDS + others),
        _Field("month", 1, 12, _MONTHS, wraps=is_quartz),
        _Field("day of week", first_day, 7, named_days, wraps=True, more=_WEEK_WORDS + others),
    ]


# Days ----------------------------------------------------------------------------------------------------------------


def _last_day(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _is_weekday(day: date) -> bool:
    return day.isoweekday() % _WEEK not in {_SATURDAY, _SUNDAY}


def _nearest_weekday(day: date, number: int) -> bool:
    """Whether `day` is the weekday nearest to day `number` of its month, within the month."""
    last = _last_day(day)
    if number > last or not _is_weekday(day):
        return False
    wanted = day.replace(day=number)
    if _is_weekday(wanted):
        return day == wanted
    is_saturday = wanted.isoweekday() % _WEEK == _SATURDAY
    shift = (2 if number == 1 else -1) if is_saturday else (-2 if number == last else 1)
    return day == wanted + timedelta(days=shift)


def _last_weekday(day: date) -> bool:
    last = day.replace(day=_last_day(day))
    while not _is_weekday(last):
        last -= timedelta(days=1)
    return day == last


def _days_of_month(text: str, spec: _Field) -> DayMatch:
    plain: set[int] = set()
    special: list[DayMatch] = []
    for term in text.split(","):
        if term == "LW":
            special.append(_last_weekday)
        elif found := re.fullmatch(r"L(?:-(\d{1,2}))?", term):
            special.append(_before_last(int(found[1] or 0), spec, term))
        elif term.endswith("W"):
            special.append(_near(spec.number(term[:-1], term)))
        else:
            plain |= spec.values(term)
    return lambda day: day.day in plain or any(matches(day) for matches in special)


def _before_last(days: int, spec: _Field, term: str) -> DayMatch:
    if days >= spec.high:
        raise spec.error(term)
    return lambda day: day.day == _last_day(day) - days


def _near(number: int) -> DayMatch:
    return lambda day: _nearest_weekday(day, number)


def _days_of_week(text: str, spec: _Field) -> DayMatch:
    """Days are 0 for Sunday to 6 here, whatever the field calls them."""
    plain: set[int] = set()
    special: list[DayMatch] = []
    for term in text.split(","):
        if term == "L" and spec.low == 1:
            plain.add(_SATURDAY)
        elif term.endswith("L"):
            special.append(_last_of_month((spec.number(term[:-1], term) - spec.low) % _WEEK))
        elif "#" in term:
            name, _, nth = term.partition("#")
            if nth not in {str(each) for each in range(1, _MOST_WEEKS + 1)}:
                raise spec.error(term)
            special.append(_nth_of_month((spec.number(name, term) - spec.low) % _WEEK, int(nth)))
        else:
            plain |= {(each - spec.low) % _WEEK for each in _week_values(term, spec)}
    return lambda day: day.isoweekday() % _WEEK in plain or any(matches(day) for matches in special)


def _week_values(term: str, spec: _Field) -> set[int]:
    """In the classic form 0 and 7 are one day: a range that wraps counts it once, and steps end on Saturday."""
    found = spec.values(term)
    return found if spec.low == 1 or "7" in term else replace(spec, high=_SATURDAY).values(term)


def _last_of_month(weekday: int) -> DayMatch:
    return lambda day: day.isoweekday() % _WEEK == weekday and day.day + _WEEK > _last_day(day)


def _nth_of_month(weekday: int, nth: int) -> DayMatch:
    return lambda day: day.isoweekday() % _WEEK == weekday and (day.day - 1) // _WEEK + 1 == nth


# Whole expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cron:
    """One expression, read."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    matches_day: DayMatch = field(compare=False)
    years: frozenset[int] | None = None
    """None: all."""
    _known: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises CronError."""
        parts = text.upper().split()
        if not _CLASSIC_FIELDS <= len(parts) <= _ALL_FIELDS or len(text) > LONGEST:
            raise CronError(f"{text[:LONGEST]!r} has {len(parts)} fields; {_FORMS}.")
        if len(parts) == _CLASSIC_FIELDS:
            return cls._read(["0", *parts], is_quartz=False)
        return cls._read(parts, is_quartz=True)

    @classmethod
    def _read(cls, parts: list[str], *, is_quartz: bool) -> Cron:
        minute, hour, day, month, week = _fields(is_quartz=is_quartz)
        return cls(
            seconds=_sorted(parts[0], _SECOND),
            minutes=_sorted(parts[1], minute),
            hours=_sorted(parts[2], hour),
            months=frozenset(_sorted(parts[4], month)),
            matches_day=(_quartz_days if is_quartz else _classic_days)(parts[3], day, parts[5], week),
            years=frozenset(_sorted(parts[6], _YEAR)) if len(parts) == _ALL_FIELDS else None,
        )

    @property
    def is_every_hour(self) -> bool:
        """Whether it goes on through the whole day, as `*/15 * * * *` does."""
        return len(self.hours) == 24  # noqa: PLR2004 - hours of a day

    def after(self, wall: datetime) -> datetime | None:
        """The first time behind `wall` that matches, both without a zone; None where there is none."""
        begin = wall.replace(microsecond=0) + timedelta(seconds=1)
        for day in self._days(begin.date()):
            clock = self._clock(begin.time() if day == begin.date() else time())
            if clock is not None:
                return datetime.combine(day, clock)
        return None

    def _days(self, day: date) -> Iterator[date]:
        """Days that match, from this one on."""
        last_year = day.year + _MOST_YEARS if self.years is None else max(self.years)
        while day.year <= last_year:
            if day.month in self.months and (self.years is None or day.year in self.years):
                numbers = self._days_of(day)
                for number in numbers[bisect_left(numbers, day.day) :]:
                    yield day.replace(day=number)
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)

    def _days_of(self, month: date) -> tuple[int, ...]:
        """Those of a month that match: alike in all of the same length that begin on the same day of the week.

        So an expression costs no more than these 28 months, however rare or long-winded it is.
        """
        shape = monthrange(month.year, month.month)
        found = self._known.get(shape)
        if found is None:
            numbers = range(1, shape[1] + 1)
            found = self._known[shape] = tuple(n for n in numbers if self.matches_day(month.replace(day=n)))
        return found

    def _clock(self, begin: time) -> time | None:
        """The first time of a day that matches, from `begin` on."""
        for hour in self.hours[bisect_left(self.hours, begin.hour) :]:
            if hour > begin.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in self.minutes[bisect_left(self.minutes, begin.minute) :]:
                if minute > begin.minute:
                    return time(hour, minute, self.seconds[0])
                for second in self.seconds[bisect_left(self.seconds, begin.second) :]:
                    return time(hour, minute, second)
        return None


def _sorted(text: str, spec: _Field) -> tuple[int, ...]:
    return tuple(sorted(set[int]().union(*(spec.values(term) for term in text.split(",")))))


def _classic_days(day_text: str, day: _Field, week_text: str, week: _Field) -> DayMatch:
    of_month, of_week = _days_of_month(day_text, day), _days_of_week(week_text, week)
    if day_text.startswith("*") or week_text.startswith("*"):
        return lambda each: of_month(each) and of_week(each)
    return lambda each: of_month(each) or of_week(each)


def _quartz_days(day_text: str, day: _Field, week_text: str, week: _Field) -> DayMatch:
    if (day_text == "?") == (week_text == "?"):
        raise CronError(
            f"day of month {day_text!r} and day of week {week_text!r} are not accepted together: with six or seven"
            " fields exactly one of them is `?` (and day of week counts from 1 for Sunday); " + _FORMS + "."
        )
    return _days_of_week(week_text, week) if day_text == "?" else _days_of_month(day_text, day)
