"""What is due and nobody holds, and what waits: the statements of the sweeper and of those who ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.db.pool import Connection
from app.db.workers import SLOTS_ALIVE

_HELD = "lease_expires_at > now()"
_DUE = "next_run_at <= now() and (lease_expires_at is null or lease_expires_at <= now())"
"""And nobody holds it."""

# Fair order: the k-th slice of every tenant before the (k+1)-th of any, running ones counted; within a tenant the same
# over its instances, and within an instance over its jobs, so that a job of many slices is no more than one. `fresh`
# keeps slices out that were hinted at a moment ago.
_IN_FAIR_ORDER = f"""
with running as (
  select organisation_id, instance_id, job_id, count(*) as n from slices where {_HELD}
  group by organisation_id, instance_id, job_id
), instances as (
  select instance_id, sum(n) as n from running group by instance_id
), tenants as (
  select organisation_id, sum(n) as n from running group by organisation_id
), due as (
  select id, organisation_id, instance_id, job_id, next_run_at from slices
  where {_DUE}
    and (nudged_at is null or nudged_at <= now() - make_interval(secs => %(fresh)s))
), by_job as (
  select due.*, coalesce(running.n, 0)
    + row_number() over (partition by due.job_id order by due.next_run_at, due.id) as job_rank
  from due left join running on running.job_id = due.job_id
), by_instance as (
  select by_job.*, coalesce(instances.n, 0)
    + row_number() over (partition by instance_id order by job_rank, next_run_at, id) as instance_rank
  from by_job left join instances using (instance_id)
), by_tenant as (
  select by_instance.*, coalesce(tenants.n, 0)
    + row_number() over (partition by organisation_id order by instance_rank, next_run_at, id) as tenant_rank
  from by_instance left join tenants using (organisation_id)
)
select id from by_tenant order by tenant_rank, next_run_at, id limit %(limit)s
"""


def find_due_slices(conn: Connection, *, fresh_s: float, limit: int) -> list[int]:
    """Slices to hint at, in fair order; those hinted at within `fresh_s` are left out."""
    return [row["id"] for row in conn.execute(_IN_FAIR_ORDER, {"fresh": fresh_s, "limit": limit}).fetchall()]


def mark_nudged(conn: Connection, slice_ids: list[int]) -> None:
    """Remember that hints were sent; not inside a transaction.

    Only a hint about hints: it waits for nobody, not even for the disk, and nothing depends on it.
    """
    conn.execute(
        "update slices set nudged_at = now() where id in"
        f" (select id from slices where id = any(%s) and {_DUE} for update skip locked)"
        " and set_config('synchronous_commit', 'off', true) = 'off'",
        (slice_ids,),
    )


def forget_nudge(conn: Connection, slice_ids: list[int]) -> None:
    """The hints could not be sent after all."""
    conn.execute("update slices set nudged_at = null where id = any(%s)", (slice_ids,))


@dataclass(frozen=True)
class Outlook:
    """What a sweeper needs to know of the slices."""

    due_count: int
    """Slices that are due and that nobody holds; of more than a thousand, a thousand."""
    held_count: int
    """Slices under a live lease."""
    slot_count: int
    """Legs that all living worker processes can run at once."""
    next_due_at: datetime | None
    """When the next waiting slice becomes due or the next lease runs out."""
    now: datetime
    """By the clock of the database, which all times are of."""


_LOOK = f"""
select
  (select count(*) from (select 1 from slices where {_DUE} limit 1000) as due)::int as due_count,
  (select count(*) from slices where {_HELD})::int as held_count,
  ({SLOTS_ALIVE}) as slot_count,
  least((select min(next_run_at) from slices where next_run_at > now()),
    (select min(lease_expires_at) from slices where {_HELD})) as next_due_at,
  clock_timestamp() as now
"""


def look(conn: Connection) -> Outlook:
    """One statement, since sweepers look many times a second."""
    row = conn.execute(_LOOK).fetchone()
    assert row is not None
    return Outlook(**row)


def held_count(conn: Connection) -> int:
    """Slices under a live lease."""
    row = conn.execute(f"select count(*) as n from slices where {_HELD}").fetchone()
    return int(row["n"]) if row else 0


def due_count(conn: Connection) -> int:
    """Slices that are due and that nobody holds."""
    row = conn.execute(f"select count(*) as n from slices where {_DUE}").fetchone()
    return int(row["n"]) if row else 0


def oldest_due_age_s(conn: Connection) -> float:
    """Age of the oldest due work that nobody has taken, in seconds; 0 when there is none. The operator's alarm."""
    row = conn.execute(
        "select coalesce(extract(epoch from now() - min(greatest(next_run_at,"
        f" coalesce(lease_expires_at, next_run_at)))), 0)::float as age from slices where {_DUE}"
    ).fetchone()
    return max(0.0, row["age"]) if row else 0.0


@dataclass(frozen=True)
class Waiting:
    """What a job waits for, for its status."""

    reason: str | None
    until: datetime | None
    try_count: int
    last_error: str | None


def find_waiting(conn: Connection, job_id: int) -> Waiting | None:
    """Why and until when the job waits; None when it does not.

    Of a job in slices that of the slice which goes on first, with how many of those that are left wait, if not all do.
    """
    row = conn.execute(
        "select wait_reason, next_run_at, try_count, last_error, count(*) over () as waiting_count,"
        " (select count(*) from slices as open where open.job_id = slices.job_id and open.next_run_at is not null)"
        " as open_count from slices where job_id = %s"
        " and next_run_at > now() and lease_expires_at is null order by next_run_at limit 1",
        (job_id,),
    ).fetchone()
    if row is None:
        return None
    reason, waiting, left = row["wait_reason"], row["waiting_count"], row["open_count"]
    if waiting < left:
        reason = f"{waiting} of {left} slices: {reason or 'asked to'}"
    return Waiting(reason, row["next_run_at"], row["try_count"], row["last_error"])
