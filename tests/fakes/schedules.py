"""Schedules on the engine of the tests, at times that the test says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.api.schedule_schemas import NewScheduleSchema
from app.db import schedule_runs, schedules
from app.db.schedule_runs import ScheduleRun
from app.db.schedules import Schedule
from app.services.schedule_runs import take_due
from app.services.schedules import Wish, create_schedule
from tests.fakes.engine import Engine, Tenant


def at(text: str) -> datetime:
    """An instant in UTC: `2026-05-01 06:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wish(**given: Any) -> Wish:
    """As a body would say it."""
    found: Wish = NewScheduleSchema().load({"objectName": "records", "cron": "0 6 * * *", **given})
    return found


class Planner:
    """The user and the sweepers of one engine. `now` is their clock."""

    def __init__(self, engine: Engine, now: str) -> None:
        self.engine = engine
        self.now = at(now)

    def create(self, tenant: Tenant | None = None, **given: Any) -> int:
        caller = (tenant or self.engine.tenant).caller
        return create_schedule(self.engine.ctx, caller, wish(**given), now=self.now).schedule.id

    def sweep(self, now: str | datetime | None = None) -> datetime | None:
        """What one sweeper does at that time, until nothing is left."""
        if now is not None:
            self.now = at(now) if isinstance(now, str) else now
        while (due_at := take_due(self.engine.ctx, self.now)) == self.now:
            pass
        return due_at

    def runs(self, schedule_id: int) -> list[ScheduleRun]:
        """Oldest first."""
        with self.engine.plain_db.connection() as conn:
            return schedule_runs.find_page(conn, schedule_id, None, 1000)[::-1]

    def schedule(self, schedule_id: int) -> Schedule:
        tenant = self.engine.tenant
        with self.engine.plain_db.connection() as conn:
            return schedules.get(conn, tenant.organisation_id, tenant.instance_id, schedule_id)

    def told(self, schedule_id: int) -> list[str]:
        """Each run in a word: when, what, and for how many."""
        return [f"{run.due_at:%d %H:%M} {run.kind} {run.state} {run.due_count}" for run in self.runs(schedule_id)]

    def job_ids(self, schedule_id: int) -> list[int]:
        return [run.job_id for run in self.runs(schedule_id) if run.job_id is not None]

    def end_jobs(self, status: str = "COMPLETED") -> None:
        """All that are under way end like this, without a vendor."""
        self.engine.execute(
            "update jobs set status = %s, finished_at = %s where status not in ('COMPLETED', 'ABORTED', 'CANCELLED')",
            status,
            self.now,
        )
