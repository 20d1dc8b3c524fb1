"""Is the installation well: what `/ready` and `/metrics` tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.db import deliveries, jobs, pushes, queue, receivers, schedules, workers
from app.db.migrate import pending
from app.enqueue import QueueName
from app.errors import BrokerUnavailableError, DatabaseUnavailableError, HaulageError
from app.services.context import Context
from app.services.stalls import count_stalled

_FIGURES_S = 2.0
_PROBE_S = 10.0
_UNTAKEN_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    """Counts over the whole installation."""

    jobs: dict[str, int]
    due_count: int
    held_count: int
    oldest_due_age_s: float
    worker_slots: int
    deliveries_pending: int
    deliveries_due: int
    deliveries_failed: int
    deliveries_put_off: int = 0
    receivers_paused: int = 0
    deliveries: dict[str, int] = field(default_factory=dict)
    """Callbacks by state."""
    stalled: dict[str, int] = field(default_factory=dict)
    """Jobs that make no progress, by what they wait for."""
    pushes: dict[str, int] = field(default_factory=dict)
    """By state."""
    pushes_due: int = 0
    schedules_due: int = 0
    schedules_waiting: int = 0
    oldest_schedule_age_s: float = 0.0
    pushes_untaken: int = 0
    """Outputs that nobody takes to where they are wanted."""


@dataclass(frozen=True)
class Readiness:
    """Faults keep traffic away; warnings do not."""

    faults: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    oldest_due_age_s: float | None = None

    @property
    def is_ready(self) -> bool:
        """True where requests can be served."""
        return not self.faults


class Remembered(Generic[T]):
    """A value kept for a while; one thread fetches it anew, the others wait for that."""

    def __init__(self, kept_s: float, fetch: Callable[[], T]) -> None:
        self._kept_s = kept_s
        self._fetch = fetch
        self._lock = threading.Lock()
        self._found: tuple[float, T] | None = None

    def get(self) -> T:
        """The value, not older than `kept_s`."""
        with self._lock:
            if self._found is None or time.monotonic() - self._found[0] > self._kept_s:
                self._found = (time.monotonic(), self._fetch())
            return self._found[1]


class HealthCheck:
    """One a process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._figures = Remembered(_FIGURES_S, lambda: _figures(ctx))
        # These write to the store and may wait for a dead broker: a prober must not be able to make that frequent.
        self._storage = Remembered(_PROBE_S, lambda: _fault(ctx.store.check))
        self._broker = Remembered(_PROBE_S, lambda: _fault(lambda: ctx.enqueuer.depth(QueueName.DOWNLOADS)))

    def figures(self) -> Figures:
        """Raises DatabaseUnavailableError."""
        return self._figures.get()

    def readiness(self) -> Readiness:
        """What is wrong now. Never raises."""
        faults = {"database": self._database_fault(), "storage": self._storage.get()}
        figures = None if faults["database"] else self._found()
        warnings = {"broker": self._broker.get(), "pushes": _untaken(figures)}
        return Readiness(_given(faults), _given(warnings), None if figures is None else figures.oldest_due_age_s)

    def _database_fault(self) -> str | None:
        try:
            with self._ctx.db.connection() as conn:
                missing = pending(conn)
        except DatabaseUnavailableError:
            return "PostgreSQL does not answer."
        return f"Migrations are missing: {', '.join(missing)}. Run `haulage release`." if missing else None

    def _found(self) -> Figures | None:
        try:
            return self.figures()
        except DatabaseUnavailableError:
            return None


def _figures(ctx: Context) -> Figures:
    with ctx.db.connection() as conn:
        owed, pushed, planned = deliveries.backlog(conn), pushes.backlog(conn), schedules.backlog(conn)
        return Figures(
            jobs=jobs.count_by_status(conn),
            due_count=queue.due_count(conn),
            held_count=queue.held_count(conn),
            oldest_due_age_s=queue.oldest_due_age_s(conn),
            worker_slots=workers.slots_alive(conn),
            deliveries_pending=owed.pending_count,
            deliveries_due=owed.due_count,
            deliveries_failed=owed.failed_count,
            deliveries_put_off=owed.put_off_count,
            receivers_paused=receivers.count_paused(conn),
            deliveries=owed.counts,
            stalled=count_stalled(ctx, conn),
            pushes=pushed.counts,
            pushes_due=pushed.due_count,
            schedules_due=planned.due_count,
            schedules_waiting=planned.waiting_count,
            oldest_schedule_age_s=planned.oldest_due_age_s,
            pushes_untaken=pushes.untaken_count(conn, older_than_s=_UNTAKEN_S),
        )


def _untaken(figures: Figures | None) -> str | None:
    if figures is None or not figures.pushes_untaken:
        return None
    return (
        f"{figures.pushes_untaken} outputs wait to be pushed, and no worker takes them: start workers with"
        f" --queues {QueueName.DOWNLOADS},{QueueName.PUSHES}."
    )


def _fault(check: Callable[[], object]) -> str | None:
    try:
        check()
    except BrokerUnavailableError:
        return "The broker does not answer; jobs are accepted and wait for the sweeper."
    except HaulageError as error:
        return f"{type(error).__name__.removesuffix('Error')}: the store cannot be written."
    return None


def _given(found: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in found.items() if text is not None}
