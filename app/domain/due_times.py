"""When a schedule is due: a cron expression on the clocks of a time zone, clock changes included. Pure: no clock.

A wall time is due once each day that it is asked for: one that a clock change skips as soon as the change is over
(several of them once), one that comes twice at its first coming. Expressions that match every hour (`*/15 * * * *`)
mean an interval: they are due wherever the wall clock matches, so not in a skipped hour, and in both of a doubled one.

Instants are aware datetimes in UTC, whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from app.domain.cron import Cron

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_FIRST_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Recurrence:
    """An expression in a zone."""

    cron: Cron
    zone: tzinfo

    def after(self, instant: datetime) -> datetime | None:
        """The first due time behind `instant`; None where there is none."""
        return self._next_elapsed(instant) if self.cron.is_every_hour else self._next_on_the_wall(instant)

    def following(self, instant: datetime, count: int) -> list[datetime]:
        """The first due times behind `instant`, at most `count`."""
        return [due_at for due_at, _ in zip(self._each(instant), range(count), strict=False)]

    def newest(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        """The newest due times from `first`, which is one, to `last`, at most `most`, oldest first.

        Looked for in windows that double, so that a short interval over a long time costs what is given and no more.
        """
        window = _FIRST_WINDOW
        while last - window >= first:
            found = list(self.between(last - window, last))
            if len(found) >= most:
                return found[-most:]
            window *= 2
        return [first, *self.between(first, last)][-most:]

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The due times behind `begin`, up to `end`."""
        for due_at in self._each(begin):
            if due_at > end:
                return
            yield due_at

    def _each(self, instant: datetime) -> Iterator[datetime]:
        due_at = self.after(instant)
        while due_at is not None:
            yield due_at
            due_at = self.after(due_at)

    # Once each wall time ---------------------------------------------------------------------------------------------

    def _next_on_the_wall(self, instant: datetime) -> datetime | None:
        """Wall times in their order are instants in their order; in a doubled hour the first ones are over."""
        wall = self.cron.after(self._wall(instant))
        while wall is not None and (due_at := self._instant(wall)) <= instant:
            wall = self.cron.after(wall)
        return None if wall is None else due_at

    def _instant(self, wall: datetime) -> datetime:
        """The first coming of a wall time; of one that is skipped the end of the gap."""
        early, late = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (1, 0))
        if self._wall(late) == wall:
            return late
        return self._change(early, late) or late

    # Intervals -------------------------------------------------------------------------------------------------------

    def _next_elapsed(self, instant: datetime) -> datetime | None:
        """Between two clock changes the wall clock runs as time does; behind each it is looked at anew."""
        offset, wall = self._offset(instant), self._wall(instant)
        begin = instant
        while (match := self.cron.after(wall)) is not None:
            due_at = (match - offset).replace(tzinfo=UTC)
            changed_at = self._change(begin, due_at)
            if changed_at is None:
                return due_at
            begin, offset = changed_at, self._offset(changed_at)
            wall = self._wall(changed_at) - _SECOND
        return None

    def _change(self, begin: datetime, end: datetime) -> datetime | None:
        """The first instant behind `begin`, up to `end`, at which the zone's clocks are set; None without one.

        Zones change at most once a day.
        """
        offset = self._offset(begin)
        while begin < end:
            until = min(begin + _DAY, end)
            if self._offset(until) != offset:
                return self._narrowed(begin, until, offset)
            begin = until
        return None

    def _narrowed(self, begin: datetime, end: datetime, offset: timedelta) -> datetime:
        while end - begin > _SECOND:
            middle = begin + (end - begin) // 2
            middle = max(middle.replace(microsecond=0), begin.replace(microsecond=0) + _SECOND)
            begin, end = (middle, end) if self._offset(middle) == offset else (begin, middle)
        return end.replace(microsecond=0)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta()

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)
