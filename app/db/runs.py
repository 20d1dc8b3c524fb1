"""Statements on table runs: one a start or restart of a job, with its budgets."""

from __future__ import annotations

from dataclasses import dataclass

from app.db.pool import Connection
from app.domain.jobs import JobStatus, StopReason


@dataclass(frozen=True)
class Run:
    """Budgets of one run. None means no ceiling."""

    job_id: int
    number: int
    api_limit: int | None
    record_limit: int | None
    calls_reserved: int
    record_count: int

    @property
    def calls_left(self) -> int | None:
        """Calls that may still be reserved."""
        return None if self.api_limit is None else self.api_limit - self.calls_reserved

    @property
    def records_left(self) -> int | None:
        """Records that may still be delivered."""
        return None if self.record_limit is None else self.record_limit - self.record_count


def insert(conn: Connection, job_id: int, number: int, *, api_limit: int | None, record_limit: int | None) -> None:
    """Begin a run."""
    conn.execute(
        "insert into runs (job_id, number, api_limit, record_limit) values (%s, %s, %s, %s)",
        (job_id, number, api_limit, record_limit),
    )


def finish(conn: Connection, job_id: int, number: int, status: JobStatus, reason: StopReason) -> None:
    """Close the run."""
    conn.execute(
        "update runs set status = %s, stop_reason = %s, finished_at = now() where job_id = %s and number = %s",
        (status.value, reason.value, job_id, number),
    )
