"""When a cron expression is due, found by walking through the minutes of real time: slow and simple, for tests."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo

from cronsim import CronSim

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_AGAIN = (30, 60, 120)
"""By so many minutes clocks are set back."""


def due_minutes(cron: str, zone: tzinfo, begin: datetime, end: datetime) -> list[datetime]:
    """Due times behind `begin`, up to `end`, of a classic expression. The rules stand in app.domain.due_times."""
    known = CronSim(cron, datetime(2020, 1, 1))  # noqa: DTZ001
    is_interval = known.hours == set(range(24))
    return [
        at
        for at in _minutes_near(known, zone, begin + _MINUTE, end)
        if (_matches(known, _wall(at, zone)) if is_interval else _is_due(known, at, zone))
    ]


def _is_due(known: CronSim, at: datetime, zone: tzinfo) -> bool:
    """At its first coming, or for a wall time that the clocks have passed over just now."""
    before, wall = _wall(at - _MINUTE, zone), _wall(at, zone)
    is_again = any(_wall(at - _MINUTE * n, zone) == wall for n in _AGAIN)
    skipped = _minutes(before + _MINUTE, wall - _MINUTE)
    return any(_matches(known, each) for each in skipped) or (_matches(known, wall) and not is_again)


def _minutes_near(known: CronSim, zone: tzinfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Without the hours that no time of the expression lies in, and in which no clock is set."""
    block = begin
    while block <= end:
        minutes = _minutes(block, min(block + _HOUR - _MINUTE, end))
        is_calm = (block - 3 * _HOUR).astimezone(zone).utcoffset() == (block + _HOUR).astimezone(zone).utcoffset()
        if not is_calm or {_wall(minutes[0], zone).hour, _wall(minutes[-1], zone).hour} & known.hours:
            yield from minutes
        block += _HOUR


def _minutes(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + _MINUTE * n for n in range(int((end - begin) / _MINUTE) + 1)]


def _wall(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _matches(known: CronSim, wall: datetime) -> bool:
    return (
        wall.minute in known.minutes
        and wall.hour in known.hours
        and wall.month in known.months
        and known.match_day(date(wall.year, wall.month, wall.day))
    )
