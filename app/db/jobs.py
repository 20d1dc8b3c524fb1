"""Statements on table jobs: the truth about what was asked and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.rows import tuple_row

from app.db.job_conditions import JobFilter
from app.db.pool import Connection, Row, as_json
from app.domain.criteria import Engine
from app.domain.jobs import Direction, FileFormat, JobStatus, StopReason
from app.domain.slicing import Span
from app.errors import NotFoundError


@dataclass(frozen=True)
class Job:
    """One row. Counters run over all runs of the job."""

    id: int
    number: int
    organisation_id: int
    user_id: int | None
    instance_id: int
    connector_id: int
    connector_revision_id: int
    engine: Engine
    direction: Direction
    object_name: str
    file_format: FileFormat
    criteria: dict[str, Any]
    pushed: dict[str, Any] | None
    """What the vendor is told of the conditions; see `app.services.pushing`."""
    notification_url: str | None
    status: JobStatus
    status_message: str | None
    stop_reason: StopReason | None
    error: str | None
    has_more: bool
    run_number: int
    revision: int
    record_count: int
    page_count: int
    call_count: int
    calls_written_off: int
    plain_bytes: int
    vendor_total: int | None
    filtered_count: int
    undated_count: int
    slice_count: int
    asked_of_vendor: list[str]
    repeated_count: int
    seen_before: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    files_expire_at: datetime | None
    files_deleted_at: datetime | None
    sweep_orphans_at: datetime | None
    page_size: int | None = None
    resume: str | None = None
    child_count: int = 0
    child_missing_count: int = 0
    failed_count: int = 0
    """Rows of an upload whose verdict is a failure."""
    uncertain_count: int = 0
    """Of these, the ones that may have been taken."""
    verdict_counts: dict[str, int] = field(default_factory=dict)
    """Rows of an upload by verdict, and the two keys of app.domain.upload_evidence."""
    deleted_count: int = 0
    push: dict[str, Any] | None = None
    """What has become of the newest run's push, as app.db.pushes tells it; None: there was none yet."""

    @property
    def element_id(self) -> int:
        """The connector's id by its name on the wire."""
        return self.connector_id

    @property
    def query_text(self) -> str | None:
        """The query that it was submitted by, if it was."""
        return self.criteria.get("q")

    @classmethod
    def from_row(cls, row: Row) -> Job:
        """A row with (at least) every column of the table."""
        values = {spec.name: row[spec.name] for spec in fields(cls)}
        values["file_format"] = FileFormat(row["file_format"])
        values["status"] = JobStatus(row["status"])
        values["stop_reason"] = StopReason(row["stop_reason"]) if row["stop_reason"] else None
        return cls(**values)


@dataclass(frozen=True)
class NewJob:
    """What a submission stores: the job, the budgets of its first run (None: no ceiling), the size of its pages."""

    id: int
    organisation_id: int
    user_id: int | None
    instance_id: int
    connector_id: int
    connector_revision_id: int
    object_name: str
    file_format: FileFormat
    criteria: dict[str, Any]
    notification_url: str | None
    api_limit: int | None
    record_limit: int | None
    page_size: int
    engine: Engine = "V3"
    pushed: dict[str, Any] | None = None
    asked_of_vendor: tuple[str, ...] = ()
    resume: str | None = None
    """See app.connectors.model.Resume."""
    direction: Direction = "DOWNLOAD"


_INSERT = """
with job as (
  insert into jobs (id, organisation_id, user_id, instance_id, connector_id, connector_revision_id, object_name,
    file_format, criteria, notification_url, engine, pushed, slice_count, asked_of_vendor, page_size, resume, direction)
  values (%(id)s, %(organisation_id)s, %(user_id)s, %(instance_id)s, %(connector_id)s, %(connector_revision_id)s,
    %(object_name)s, %(file_format)s, %(criteria)s, %(notification_url)s, %(engine)s, %(pushed)s, %(slice_count)s,
    %(asked_of_vendor)s, %(page_size)s, %(resume)s, %(direction)s)
  returning id, organisation_id, instance_id
), run as (
  insert into runs (job_id, number, api_limit, record_limit) select id, 1, %(api_limit)s, %(record_limit)s from job
)
"""
_ONE_SLICE = """
insert into slices (job_id, run_number, organisation_id, instance_id, page_size, next_run_at)
select id, 1, organisation_id, instance_id, %(page_size)s, now() from job
"""
_SLICE_EACH = """
insert into slices (job_id, run_number, number, organisation_id, instance_id, page_size, start_ns, end_ns, next_run_at)
select id, 1, number, organisation_id, instance_id, %(page_size)s, start_ns, end_ns, now()
from job, unnest(%(starts)s::bigint[], %(ends)s::bigint[]) with ordinality as span (start_ns, end_ns, number)
"""


def insert(conn: Connection, new: NewJob, spans: Sequence[Span] = ()) -> None:
    """Store a job in state CREATED with its first run and a slice for each span, due at once, in one statement.

    Without spans it has one slice for everything.
    """
    values = {spec.name: getattr(new, spec.name) for spec in fields(new)}
    values |= {
        "criteria": as_json(new.criteria),
        "pushed": new.pushed and as_json(new.pushed),
        "asked_of_vendor": list(new.asked_of_vendor),
    }
    if not spans:
        conn.execute(_INSERT + _ONE_SLICE, values | {"slice_count": 1})
        return
    ends = {"starts": [each.start_ns for each in spans], "ends": [each.end_ns for each in spans]}
    conn.execute(_INSERT + _SLICE_EACH, values | ends | {"slice_count": len(spans)})


def get(conn: Connection, organisation_id: int, instance_id: int | None, job_id: int, *, lock: bool = False) -> Job:
    """The job of this tenant (and instance, where given). Raises NotFoundError for any other id."""
    if lock:
        _lock_slices(conn, job_id)
    row = conn.execute(
        "select * from jobs where id = %s and organisation_id = %s and (%s::bigint is null or instance_id = %s)"
        + (" for update" if lock else ""),
        (job_id, organisation_id, instance_id, instance_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no bulk job {job_id}.")
    return Job.from_row(row)


def get_for_worker(conn: Connection, job_id: int, *, lock: bool = False) -> Job:
    """The job by id alone: workers act for every tenant. Raises NotFoundError."""
    if lock:
        _lock_slices(conn, job_id)
    row = conn.execute("select * from jobs where id = %s" + (" for update" if lock else ""), (job_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no bulk job {job_id}.")
    return Job.from_row(row)


def lock_status(conn: Connection, job_id: int) -> JobStatus:
    """Lock the job's row alone, behind the one slice that the caller works on, as checkpoints do. Its status."""
    row = conn.execute("select status from jobs where id = %s for update", (job_id,)).fetchone()
    assert row is not None
    return JobStatus(row["status"])


def _lock_slices(conn: Connection, job_id: int) -> None:
    """Every transaction locks slices before the job, as checkpoints do, so that none waits in a circle.

    While this waits, a restart may add a slice that the statement does not see; with the older ones locked, none can
    be added any more, so the same answer twice is the whole set.
    """
    known: list[Row] = []
    while True:
        found = conn.execute("select id from slices where job_id = %s order by id for update", (job_id,)).fetchall()
        if found == known:
            return
        known = found


class ListedJob(NamedTuple):
    """What a listing tells of a job: half of the columns, since a page has hundreds of rows."""

    id: int
    organisation_id: int
    user_id: int | None
    instance_id: int
    element_id: int
    direction: str
    object_name: str
    file_format: FileFormat
    engine: Engine
    query_text: str | None
    notification_url: str | None
    status: JobStatus
    status_message: str | None
    run_number: int
    record_count: int
    failed_count: int
    created_at: datetime
    finished_at: datetime | None


# In the order of ListedJob. The instance goes through a subselect, not beside its organisation: PostgreSQL takes the
# two for independent, expects a handful of rows, and sorts the instance's whole history for its newest page.
_LISTED = (
    "select id, organisation_id, user_id, instance_id, connector_id, direction, object_name, file_format,"
    " engine, criteria ->> 'q', notification_url, status, status_message, run_number, record_count, failed_count,"
    " created_at, finished_at from jobs"
    " where instance_id = (select id from instances where id = %(instance)s and organisation_id = %(organisation)s)"
)
_FORMATS: dict[str, FileFormat] = {each.value: each for each in FileFormat}
_STATUSES: dict[str, JobStatus] = {each.value: each for each in JobStatus}


def find_page(
    conn: Connection,
    organisation_id: int,
    instance_id: int | None,
    before_number: int | None,
    page_size: int,
    narrow: JobFilter | None = None,
) -> list[ListedJob]:
    """Jobs of the tenant's instance (None: no jobs), newest first, before `before_number` (None: from the newest)."""
    # Only the conditions that there are: with `%s is null or` a prepared statement could not use the index.
    query: sql.Composable = sql.SQL(_LISTED)
    if narrow is not None:
        query = query + sql.SQL(" and ") + narrow.clause
    if before_number is not None:
        query += sql.SQL(" and number < %(before)s")
    values = {"organisation": organisation_id, "instance": instance_id, "before": before_number, "size": page_size}
    given = {} if narrow is None else narrow.values
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(query + sql.SQL(" order by number desc limit %(size)s"), {**given, **values}).fetchall()
    return [ListedJob._make((*row[:7], _FORMATS[row[7]], *row[8:11], _STATUSES[row[11]], *row[12:])) for row in rows]


def request_cancel(conn: Connection, job_id: int) -> None:
    """Raise the stop flag of a job that somebody holds."""
    conn.execute(
        "update jobs set status = 'CANCELLATION_PENDING', cancel_requested_at = coalesce(cancel_requested_at, now())"
        " where id = %s",
        (job_id,),
    )


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    status: JobStatus
    stop_reason: StopReason
    message: str
    error: str | None
    has_more: bool


def mark_fetched(conn: Connection, job_id: int, message: str) -> Job:
    """Everything of the run is there and may be read, while its output is on the way to where it is wanted."""
    row = conn.execute(
        "update jobs set status = 'RUNNING', status_message = %s, revision = run_number,"
        " started_at = coalesce(started_at, now()) where id = %s returning *",
        (message, job_id),
    ).fetchone()
    assert row is not None
    return Job.from_row(row)


def finish(conn: Connection, job_id: int, ending: Ending, *, retention_s: float) -> Job:
    """Write the final state: the run that ends becomes the job's newest revision."""
    row = conn.execute(
        "update jobs set status = %s, stop_reason = %s, status_message = %s, error = %s, has_more = %s,"
        " revision = run_number, finished_at = now(), cancel_requested_at = null,"
        " started_at = coalesce(started_at, now()),"
        " files_expire_at = now() + make_interval(secs => %s)"
        " where id = %s returning *",
        (
            ending.status.value,
            ending.stop_reason.value,
            ending.message,
            ending.error,
            ending.has_more,
            retention_s,
            job_id,
        ),
    ).fetchone()
    assert row is not None
    return Job.from_row(row)


def add_up_totals(conn: Connection, job_id: int) -> Job:
    """The vendor's total of a job in slices: of all windows, less what came for two of them; None if one has none.

    Of a slice that went on in a later run the newest row counts.
    """
    row = conn.execute(
        "with newest as (select distinct on (number) vendor_total - stray_count as own from slices"
        " where job_id = %(job)s order by number, run_number desc)"
        " update jobs set vendor_total = (select case when bool_and(own is not null) then sum(own) end from newest)"
        " where id = %(job)s returning *",
        {"job": job_id},
    ).fetchone()
    assert row is not None
    return Job.from_row(row)


def reopen(conn: Connection, job_id: int) -> int:
    """Begin another run; the last revision stays the readable one. Returns the new run's number."""
    row = conn.execute(
        "update jobs set status = 'CREATED', run_number = run_number + 1, stop_reason = null,"
        " status_message = null,"
        " error = null, has_more = false, finished_at = null, cancel_requested_at = null, files_expire_at = null,"
        " push = null"
        " where id = %s returning run_number",
        (job_id,),
    ).fetchone()
    assert row is not None
    return int(row["run_number"])


def schedule_orphan_sweep(conn: Connection, job_id: int, *, in_s: float) -> None:
    """Look for objects without a row once `in_s` has passed (an old holder may still be writing one)."""
    conn.execute(
        "update jobs set sweep_orphans_at = greatest(sweep_orphans_at, now() + make_interval(secs => %s))"
        " where id = %s",
        (in_s, job_id),
    )


def mark_files_deleted(conn: Connection, job_id: int, *, in_s: float = 0.0) -> None:
    """The files are gone, or are orphans that a sweep removes, not before `in_s` has passed; the row stays.

    A sweep that is planned for later stays planned: somebody may be writing until then.
    """
    conn.execute(
        "update jobs set files_deleted_at = coalesce(files_deleted_at, now()), files_expire_at = null,"
        " sweep_orphans_at = greatest(sweep_orphans_at, now() + make_interval(secs => %s)) where id = %s",
        (in_s, job_id),
    )


def find_cancels_due(conn: Connection, *, grace_s: float, limit: int) -> list[int]:
    """Jobs whose holder has not let go in time after a cancel."""
    rows = conn.execute(
        "select id from jobs where status = 'CANCELLATION_PENDING'"
        " and cancel_requested_at <= now() - make_interval(secs => %s) order by cancel_requested_at limit %s",
        (grace_s, limit),
    ).fetchall()
    return [row["id"] for row in rows]


def find_of_dead_instances(conn: Connection, limit: int) -> list[int]:
    """Unfinished jobs whose instance was deleted or disabled."""
    rows = conn.execute(
        "select jobs.id from jobs join instances on instances.id = jobs.instance_id"
        " where jobs.id in (select job_id from slices where next_run_at is not null)"
        " and (instances.deleted_at is not null or instances.disabled_at is not null) limit %s",
        (limit,),
    ).fetchall()
    return [row["id"] for row in rows]


def count_by_status(conn: Connection) -> dict[str, int]:
    """How many jobs are in each state, for the operator's gauges."""
    rows = conn.execute("select status, count(*) as n from jobs group by status").fetchall()
    return {row["status"]: row["n"] for row in rows}
