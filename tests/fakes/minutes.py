"""When a cron expression is due, found by walking through every minute of real time: slow and simple, for tests."""

from collections import Counter
from datetime import date, datetime, timedelta, tzinfo

from cronsim import CronSim

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


def due_minutes(cron: str, zone: tzinfo, begin: datetime, end: datetime) -> list[datetime]:
    """Due times behind `begin`, up to `end`, of a classic expression. The rules stand in app.domain.due_times."""
    if CronSim(cron, begin.replace(tzinfo=None)).hours == set(range(24)):
        return [at for at in _minutes(begin + _MINUTE, end) if _matches(cron, _wall(at, zone))]
    owed: Counter[datetime] = Counter()
    # From two days earlier: what was due then may be made up for behind `begin`.
    for at in _minutes(begin - 2 * _DAY, end):
        before, wall = _wall(at - _MINUTE, zone), _wall(at, zone)
        skipped = wall > before + _MINUTE and any(
            _matches(cron, each) for each in _minutes(before + _MINUTE, wall - _MINUTE)
        )
        is_again = any(_wall(at - _MINUTE * n, zone) == wall for n in (30, 60, 120))
        if skipped or (_matches(cron, wall) and not is_again):
            owed[at] += 1
    return [at for at in owed if at > begin]


def _minutes(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + _MINUTE * n for n in range(int((end - begin) / _MINUTE) + 1)]


def _wall(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


_known: dict[str, CronSim] = {}


def _matches(cron: str, wall: datetime) -> bool:
    if cron not in _known:
        _known[cron] = CronSim(cron, datetime(2020, 1, 1))  # noqa: DTZ001
    found = _known[cron]
    return (
        wall.minute in found.minutes
        and wall.hour in found.hours
        and wall.month in found.months
        and found.match_day(date(wall.year, wall.month, wall.day))
    )
