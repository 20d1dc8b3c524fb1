"""Statements on table schedules. Whoever makes a run holds the row's lock, so that each due time is taken once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from app.db.pool import Connection, Row, as_json
from app.domain.ids import scatter
from app.domain.schedules import CatchUp
from app.errors import NotFoundError


@dataclass(frozen=True)
class Terms:
    """What a user may say of a schedule."""

    name: str
    criteria: dict[str, Any]
    cron: str
    time_zone: str
    catch_up: CatchUp
    catch_up_limit: int
    is_incremental: bool
    may_overlap: bool


@dataclass(frozen=True)
class Schedule(Terms):
    """One row that is not deleted."""

    id: int
    number: int
    organisation_id: int
    instance_id: int
    user_id: int | None
    target: dict[str, Any] | None
    """Of a workflow: the upload that each download feeds."""
    chain_number: int
    next_due_at: datetime | None
    current_job_id: int | None
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime
    is_waiting: bool
    """Its newest job is still under way, and it does not overlap."""


_UNDER_WAY = (
    "not may_overlap and exists (select 1 from jobs where jobs.id = schedules.current_job_id"
    " and jobs.status not in ('COMPLETED', 'ABORTED', 'CANCELLED'))"
)
_SELECT = f"select schedules.*, {_UNDER_WAY} as is_waiting from schedules where schedules.deleted_at is null"
_DUE = (
    "paused_at is null and deleted_at is null and exists (select 1 from instances where instances.id ="
    " schedules.instance_id and instances.deleted_at is null)"
)


def insert(
    conn: Connection,
    terms: Terms,
    *,
    organisation_id: int,
    instance_id: int,
    user_id: int | None,
    next_due_at: datetime | None,
    target: dict[str, Any] | None,
    id_key: str,
) -> int:
    """Store a schedule. Returns its id."""
    number = conn.execute("select nextval('schedule_numbers')::int as number").fetchone()
    assert number is not None
    schedule_id = scatter(id_key, "schedule", number["number"])
    conn.execute(
        "insert into schedules (id, organisation_id, instance_id, user_id, next_due_at, target, name, criteria, cron,"
        " time_zone, catch_up, catch_up_limit, is_incremental, may_overlap) values (%(id)s, %(organisation)s,"
        " %(instance)s, %(user)s, %(next_due_at)s, %(target)s, %(name)s, %(criteria)s, %(cron)s, %(time_zone)s,"
        " %(catch_up)s, %(catch_up_limit)s, %(is_incremental)s, %(may_overlap)s)",
        _values(terms)
        | {
            "id": schedule_id,
            "organisation": organisation_id,
            "instance": instance_id,
            "user": user_id,
            "next_due_at": next_due_at,
            "target": target and as_json(target),
        },
    )
    return schedule_id


def change(
    conn: Connection, schedule_id: int, terms: Terms, *, next_due_at: datetime | None, chain_number: int
) -> None:
    """Store other terms, inside the transaction that locked the row."""
    conn.execute(
        "update schedules set name = %(name)s, criteria = %(criteria)s, cron = %(cron)s, time_zone = %(time_zone)s,"
        " catch_up = %(catch_up)s, catch_up_limit = %(catch_up_limit)s, is_incremental = %(is_incremental)s,"
        " may_overlap = %(may_overlap)s, next_due_at = %(next_due_at)s, chain_number = %(chain)s, updated_at = now()"
        " where id = %(id)s",
        _values(terms) | {"id": schedule_id, "next_due_at": next_due_at, "chain": chain_number},
    )


def _values(terms: Terms) -> dict[str, Any]:
    values = {spec.name: getattr(terms, spec.name) for spec in fields(terms)}
    return values | {"criteria": as_json(terms.criteria), "catch_up": terms.catch_up.value}


def get(
    conn: Connection, organisation_id: int, instance_id: int | None, schedule_id: int, *, lock: bool = False
) -> Schedule:
    """The schedule of this tenant's instance. Raises NotFoundError for any other id."""
    if lock:
        conn.execute(
            "select 1 from schedules where id = %s and organisation_id = %s for update", (schedule_id, organisation_id)
        )
    row = conn.execute(
        _SELECT + " and schedules.id = %s and organisation_id = %s and instance_id = %s",
        (schedule_id, organisation_id, instance_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no schedule {schedule_id}.")
    return _read(row)


def find_page(
    conn: Connection, organisation_id: int, instance_id: int | None, before_number: int | None, page_size: int
) -> list[Schedule]:
    """Schedules of the tenant's instance, newest first, before `before_number` (None: from the newest)."""
    rows = conn.execute(
        _SELECT + " and organisation_id = %(organisation)s and instance_id = %(instance)s"
        " and (%(before)s::bigint is null or number < %(before)s) order by number desc limit %(size)s",
        {"organisation": organisation_id, "instance": instance_id, "before": before_number, "size": page_size},
    ).fetchall()
    return [_read(row) for row in rows]


def find_due(conn: Connection, now: datetime, limit: int) -> list[int]:
    """Schedules whose next due time is over, and whose run before has ended, longest due first."""
    rows = conn.execute(
        f"select id from schedules where next_due_at <= %s and {_DUE} and not ({_UNDER_WAY})"
        " order by next_due_at, id limit %s",
        (now, limit),
    ).fetchall()
    return [row["id"] for row in rows]


def lock_due(conn: Connection, schedule_id: int, now: datetime) -> Schedule | None:
    """The same, of one and until the transaction ends; None where another one has it, or it is not due any more."""
    # The lock first, in a statement of its own: what is read behind it is as the holder before left it, job and all.
    if not conn.execute("select 1 from schedules where id = %s for update skip locked", (schedule_id,)).fetchone():
        return None
    row = conn.execute(
        f"{_SELECT} and schedules.id = %s and next_due_at <= %s and {_DUE} and not ({_UNDER_WAY})", (schedule_id, now)
    ).fetchone()
    return None if row is None else _read(row)


class Look(NamedTuple):
    """`earliest`: the first due time of all, be it over or not."""

    now: datetime
    earliest: datetime | None


def look(conn: Connection, now: datetime | None = None) -> Look:
    """One statement, since sweepers look many times a second. `now`: by the database's clock, but for tests."""
    row = conn.execute(
        "select coalesce(%s::timestamptz, clock_timestamp()) as now,"
        " (select min(next_due_at) from schedules where paused_at is null and deleted_at is null) as earliest",
        (now,),
    ).fetchone()
    assert row is not None
    return Look(**row)


class Backlog(NamedTuple):
    """What an operator watches: schedules whose due time is over. Those that wait for the run before are not due."""

    due_count: int
    waiting_count: int
    oldest_due_age_s: float


def backlog(conn: Connection) -> Backlog:
    """Of whatever tenant."""
    row = conn.execute(
        "select (count(*) filter (where not waits))::int as due_count,"
        " (count(*) filter (where waits))::int as waiting_count, coalesce(extract(epoch from clock_timestamp()"
        " - min(next_due_at) filter (where not waits)), 0)::float8 as oldest_due_age_s"
        f" from (select next_due_at, {_UNDER_WAY} as waits from schedules"
        f"   where next_due_at <= clock_timestamp() and {_DUE}) as over"
    ).fetchone()
    assert row is not None
    return Backlog(**row)


def next_due_at(conn: Connection, now: datetime) -> datetime | None:
    """When the next schedule comes due behind `now`."""
    row = conn.execute(
        "select min(next_due_at) as at from schedules where next_due_at > %s"
        " and paused_at is null and deleted_at is null",
        (now,),
    ).fetchone()
    return None if row is None else row["at"]


def clock(conn: Connection) -> datetime:
    """The database's."""
    row = conn.execute("select clock_timestamp() as now").fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def go_on(conn: Connection, schedule_id: int, next_due_at: datetime | None, job_id: int | None) -> None:
    """What was due is taken; `job_id`: the job that was made of it."""
    conn.execute(
        "update schedules set next_due_at = %s, current_job_id = coalesce(%s, current_job_id) where id = %s",
        (next_due_at, job_id, schedule_id),
    )


def set_paused(conn: Connection, schedule_id: int, *, paused: bool, next_due_at: datetime | None) -> None:
    """Pause or resume, inside the transaction that locked the row."""
    conn.execute(
        "update schedules set paused_at = case when %s then coalesce(paused_at, now()) end, next_due_at = %s,"
        " updated_at = now() where id = %s",
        (paused, next_due_at, schedule_id),
    )


def delete(conn: Connection, schedule_id: int) -> None:
    """Mark as deleted: no further run is made."""
    conn.execute("update schedules set deleted_at = now() where id = %s", (schedule_id,))


def _read(row: Row) -> Schedule:
    values = {spec.name: row[spec.name] for spec in fields(Schedule)}
    return Schedule(**values | {"catch_up": CatchUp(row["catch_up"])})
