"""Statements on table schedule_runs: what came of each due time, and of runs that were asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from app.db.pool import Connection, Row
from app.domain.jobs import JobStatus
from app.domain.schedules import RunKind, RunState, Times


@dataclass(frozen=True)
class ScheduleRun:
    """One row, with how its job stands."""

    schedule_id: int
    number: int
    """Among the runs of the schedule, from 1."""
    kind: RunKind
    due_at: datetime
    first_due_at: datetime
    due_count: int
    state: RunState
    job_id: int | None
    note: str | None
    created_at: datetime
    job_status: JobStatus | None = None
    """None without a job, or where it is forgotten."""
    upload_job_id: int | None = None
    """Of a workflow: the job that the result was given to."""
    feed_note: str | None = None
    """Why it was not, so far."""


_SELECT = (
    "select schedule_runs.*, jobs.status as job_status, feeds.upload_job_id, feeds.note as feed_note"
    " from schedule_runs left join jobs on jobs.id = schedule_runs.job_id"
    " left join feeds on feeds.download_job_id = schedule_runs.job_id where schedule_id = %(schedule)s"
)
_INSERT = """
with schedule as (update schedules set run_count = run_count + 1 where id = %(schedule)s returning id, run_count)
insert into schedule_runs
  (schedule_id, number, chain_number, kind, due_at, first_due_at, due_count, state, job_id, note)
select id, run_count, %(chain)s, %(kind)s, %(due_at)s, %(first)s, %(count)s, %(state)s, %(job)s, %(note)s from schedule
"""


def insert(
    conn: Connection,
    schedule_id: int,
    chain_number: int,
    kind: RunKind,
    times: Times,
    state: RunState,
    *,
    job_id: int | None = None,
    note: str | None = None,
) -> None:
    """Note a run, in the transaction that makes its job and holds the schedule's lock."""
    conn.execute(
        _INSERT,
        {
            "schedule": schedule_id,
            "chain": chain_number,
            "kind": kind.value,
            "due_at": times.last,
            "first": times.first,
            "count": times.count,
            "state": state.value,
            "job": job_id,
            "note": note,
        },
    )


def last_due_at(conn: Connection, schedule_id: int) -> datetime | None:
    """The newest due time that was taken."""
    row = conn.execute(
        "select max(due_at) as at from schedule_runs where schedule_id = %s and kind = 'DUE'", (schedule_id,)
    ).fetchone()
    return None if row is None else row["at"]


def find_page(conn: Connection, schedule_id: int, before_number: int | None, page_size: int) -> list[ScheduleRun]:
    """Runs of a schedule, newest first, before `before_number` (None: from the newest)."""
    rows = conn.execute(
        _SELECT + " and (%(before)s::integer is null or schedule_runs.number < %(before)s)"
        " order by schedule_runs.number desc limit %(size)s",
        {"schedule": schedule_id, "before": before_number, "size": page_size},
    ).fetchall()
    return [_read(row) for row in rows]


def find_last_success(conn: Connection, schedule_id: int, chain_number: int) -> int | None:
    """The job of the newest run of the chain that can be gone on from: it has COMPLETED, or stopped at its apiLimit."""
    row = conn.execute(
        "select jobs.id from schedule_runs join jobs on jobs.id = schedule_runs.job_id"
        " where schedule_id = %s and chain_number = %s and kind <> 'RANGE'"
        " and (jobs.status = 'COMPLETED' or jobs.stop_reason = 'API_LIMIT')"
        " order by schedule_runs.number desc limit 1",
        (schedule_id, chain_number),
    ).fetchone()
    return None if row is None else int(row["id"])


def find_end(conn: Connection, job_id: int) -> datetime | None:
    """When the job of a run ended; None where it has not, or is forgotten."""
    row = conn.execute("select finished_at from jobs where id = %s", (job_id,)).fetchone()
    return None if row is None else row["finished_at"]


def has_forgotten(conn: Connection, schedule_id: int, chain_number: int) -> bool:
    """Whether a run of the chain had a job whose row is gone."""
    row = conn.execute(
        "select 1 as found from schedule_runs where schedule_id = %s and chain_number = %s and kind <> 'RANGE'"
        " and job_id is not null and not exists (select 1 from jobs where jobs.id = job_id) limit 1",
        (schedule_id, chain_number),
    ).fetchone()
    return row is not None


_IS_GONE = "not exists (select 1 from jobs where jobs.id = {0}.job_id)"
_FORGET = f"""
delete from schedule_runs where (schedule_id, number) in (
  select schedule_id, number from schedule_runs as run
  where created_at < now() - make_interval(secs => %s) and {_IS_GONE.format("run")}
    and (job_id is null or kind = 'RANGE' or exists (
      select 1 from schedule_runs as later where later.schedule_id = run.schedule_id and later.number > run.number
        and later.job_id is not null and later.kind <> 'RANGE' and {_IS_GONE.format("later")}))
  order by created_at limit %s)
"""


def forget(conn: Connection, *, older_than_s: float, limit: int) -> int:
    """Delete rows of long ago whose jobs are gone too. Returns how many.

    Of those that others went on from the newest stays: it tells that there is something to begin anew.
    """
    return conn.execute(_FORGET, (older_than_s, limit)).rowcount


def _read(row: Row) -> ScheduleRun:
    values = {spec.name: row[spec.name] for spec in fields(ScheduleRun)}
    status = None if row["job_status"] is None else JobStatus(row["job_status"])
    return ScheduleRun(**values | {"kind": RunKind(row["kind"]), "state": RunState(row["state"]), "job_status": status})
