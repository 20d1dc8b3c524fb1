"""When a job stands still, and what it waits for. Pure: times are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_SHORTEST_S = 0.001
_BUCKETS_PER_DOUBLING = 2
_BUCKET_COUNT = 40
_MOST_PAGES = 1000
"""Then all counts are halved, so that the percentile follows a vendor that changes, and never needs more room."""


class PageTimes:
    """How long a slice's pages took: a histogram of constant size, its buckets half a doubling wide."""

    def __init__(self, counts: Sequence[int] = ()) -> None:
        """`counts`: those of an earlier holder, or none."""
        self._counts = [*counts] if len(counts) == _BUCKET_COUNT else [0] * _BUCKET_COUNT
        self._total = sum(self._counts)

    def add(self, seconds: float) -> None:
        """One page took so long."""
        at = math.ceil(_BUCKETS_PER_DOUBLING * math.log2(seconds / _SHORTEST_S)) if seconds > _SHORTEST_S else 0
        self._counts[min(at, _BUCKET_COUNT - 1)] += 1
        self._total += 1
        if self._total >= _MOST_PAGES:
            self._counts = [(count + 1) // 2 for count in self._counts]
            self._total = sum(self._counts)

    @property
    def counts(self) -> list[int]:
        """To be kept: as many numbers whatever happened, none above 1,000."""
        return [*self._counts]

    @property
    def p95_s(self) -> float | None:
        """19 of 20 pages took at most so long (less than half as much again is added by rounding); None without any."""
        if not self._total:
            return None
        left = self._total - math.ceil(self._total * 19 / 20)
        at = _BUCKET_COUNT - 1
        while self._counts[at] <= left:
            left -= self._counts[at]
            at -= 1
        return float(_SHORTEST_S * 2.0 ** (at / _BUCKETS_PER_DOUBLING))


class WaitsFor(StrEnum):
    """What a job that stands still waits for."""

    SLOT = "slot"
    """It is due, and no worker has taken it."""
    VENDOR = "vendor"
    """A call is under way, or is not to be made before some time."""
    STORAGE = "storage"
    """The store failed and is tried again later."""
    WORKER = "worker"
    """A worker holds it and does something else, or nothing at all."""


@dataclass(frozen=True)
class Stall:
    """One job that has made no progress for long, by its own measure. Times are the database's."""

    job_id: int
    since: datetime
    """Its last progress."""
    page_p95_s: float | None
    worker_id: int | None
    """Who holds it under a live lease."""
    held_since: datetime | None
    doing: str | None
    """What the holder said with its last sign of life."""
    doing_since: datetime | None
    due_at: datetime
    is_due: bool
    is_lease_over: bool
    wait_reason: str | None
    is_push: bool = False
    """All pages are there: it is the output that waits."""

    @property
    def waits_for(self) -> WaitsFor:
        """Of which kind the reason is."""
        if self._is_held:
            is_calling = self.doing is not None and self.doing.startswith(CALLING)
            return WaitsFor.VENDOR if is_calling else WaitsFor.WORKER
        if self.is_lease_over:
            return WaitsFor.WORKER
        if self.is_due:
            return WaitsFor.SLOT
        return WaitsFor.STORAGE if (self.wait_reason or "").startswith("Storage") else WaitsFor.VENDOR

    @property
    def what(self) -> str:
        """In words."""
        if self._is_held:
            done = "" if self.doing is None else f", {self.doing} since {_iso(self.doing_since)}"
            return f"held by worker {self.worker_id} since {_iso(self.held_since)}{done}"
        if self.is_lease_over:
            return "its worker shows no sign of life: it hangs, perhaps in the storage, or is dead"
        if self.is_push:
            return f"its output waits since {_iso(self.due_at)} for a worker that pushes (--queues pushes)"
        if self.is_due:
            return f"waits for a free worker since {_iso(self.due_at)}"
        return f"waits until {_iso(self.due_at)}: {self.wait_reason or 'to be tried again'}"

    @property
    def _is_held(self) -> bool:
        return self.held_since is not None and not self.is_lease_over


CALLING = "a vendor call is under way"
"""What a holder does while it waits for the vendor's answer."""


def _iso(at: datetime | None) -> str:
    return "?" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
