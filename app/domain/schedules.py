"""What a schedule does with the times that have come due. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.due_times import Recurrence

ON_TIME = timedelta(minutes=5)
"""A due time that is taken later than this was missed."""

DEFAULT_CATCH_UP = 10
MOST_CATCH_UP = 1000
"""Missed times that are run, with policy `all`."""

_MOST_COUNTED = 1000


class CatchUp(StrEnum):
    """What becomes of missed times: those that were over before one could be run."""

    SKIP = "skip"
    """None is run."""
    ONE = "one"
    """One run for all of them."""
    ALL = "all"
    """A run for each, oldest first."""


class RunKind(StrEnum):
    """Why there is a run."""

    DUE = "DUE"
    NOW = "NOW"
    RANGE = "RANGE"


class RunState(StrEnum):
    """What became of a run when it was made; how its job fares is the job's to tell."""

    SUBMITTED = "SUBMITTED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    """No job could be made."""


@dataclass(frozen=True)
class Times:
    """Due times in a row. `count` is cut at a thousand."""

    first: datetime
    last: datetime
    count: int = 1

    @property
    def counted(self) -> str:
        """How many, in words."""
        return f"more than {_MOST_COUNTED}" if self.count > _MOST_COUNTED else str(self.count)


@dataclass(frozen=True)
class Decision:
    """What is to be done now, and when there is something to do again (None: never)."""

    run: Times | None
    """The run that is to be made, at the last of these times and for all of them."""
    skipped: Times | None
    """Times that are over and are not run."""
    next_due_at: datetime | None


def decide(recurrence: Recurrence, catch_up: CatchUp, most: int, *, next_due_at: datetime, now: datetime) -> Decision:
    """`next_due_at`, which is over, and every due time behind it that is over as well: each is run or skipped, once.

    `most`: with policy ALL so many newest ones are run, one a decision.
    """
    following = recurrence.after(now)
    if catch_up is CatchUp.ALL:
        return _oldest_of(recurrence, recurrence.newest(next_due_at, now, most), next_due_at)
    [newest] = recurrence.newest(next_due_at, now, 1)
    if catch_up is CatchUp.ONE:
        return Decision(_times(recurrence, next_due_at, newest), None, following)
    if newest < now - ON_TIME:
        return Decision(None, _times(recurrence, next_due_at, newest), following)
    return Decision(Times(newest, newest), _before(recurrence, next_due_at, newest), following)


def _oldest_of(recurrence: Recurrence, kept: list[datetime], first: datetime) -> Decision:
    return Decision(Times(kept[0], kept[0]), _before(recurrence, first, kept[0]), recurrence.after(kept[0]))


def _before(recurrence: Recurrence, first: datetime, end: datetime) -> Times | None:
    """The due times from `first` to the last before `end`."""
    if first >= end:
        return None
    [last] = recurrence.newest(first, end - timedelta(microseconds=1), 1)
    return _times(recurrence, first, last)


def _times(recurrence: Recurrence, first: datetime, last: datetime) -> Times:
    behind = sum(1 for _ in zip(recurrence.between(first, last), range(_MOST_COUNTED), strict=False))
    return Times(first, last, 1 + behind)
