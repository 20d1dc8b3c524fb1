"""Jobs that make no progress: the statements of the sweeper, of the gauges and of a job's status."""

from __future__ import annotations

from dataclasses import dataclass

from app.db.pool import Connection, Row
from app.domain.stalls import Stall


@dataclass(frozen=True)
class Patience:
    """A job stands still if it had no progress for `factor` times the 95th percentile of its page times.

    And for at least `least_s` seconds.
    """

    factor: float
    least_s: float


# Where a job is sliced, one slice that moves is progress of the job; then the first in line tells what is waited for.
_STALLED = """
select distinct on (slices.job_id) slices.job_id, progressed_at as since, page_p95_s::float8,
  case when lease_expires_at is not null then worker_id end as worker_id,
  case when lease_expires_at is not null then coalesce(held_since, progressed_at) end as held_since,
  case when lease_expires_at is not null then doing end as doing, doing_since,
  next_run_at as due_at, next_run_at <= now() as is_due,
  coalesce(lease_expires_at <= now(), false) as is_lease_over, wait_reason, false as is_push
from slices, lateral (select now() - make_interval(
  secs => greatest(%(least)s, %(factor)s * coalesce(page_p95_s, 0))) as moment) as needed
where next_run_at is not null and progressed_at < needed.moment {of_job} and not exists (
  select 1 from slices as other where other.job_id = slices.job_id and other.run_number = slices.run_number
  and other.progressed_at >= needed.moment)
order by slices.job_id, lease_expires_at nulls last, slices.number limit %(limit)s
"""
# All pages are there, and nobody takes the output to where it is wanted.
_UNPUSHED = """
select job_id, next_attempt_at as since, null::float8 as page_p95_s, null::bigint as worker_id,
  null::timestamptz as held_since, null as doing, null::timestamptz as doing_since, next_attempt_at as due_at,
  true as is_due, lease_expires_at is not null as is_lease_over, null as wait_reason, true as is_push
from pushes where state = 'PENDING' and next_attempt_at < now() - make_interval(secs => %(least)s)
  and coalesce(lease_expires_at < now() - make_interval(secs => %(least)s), true) {of_job} limit %(limit)s
"""
_BOTH = f"select * from (({_STALLED}) union all ({_UNPUSHED})) as found order by job_id limit %(limit)s"
_OF_ONE = _BOTH.format(of_job="and job_id = %(job)s")
_OF_ALL = _BOTH.format(of_job="")


def find_stall(conn: Connection, job_id: int, patience: Patience) -> Stall | None:
    """What the job waits for; None while it moves, or has ended."""
    values = {"job": job_id, "factor": patience.factor, "least": patience.least_s, "limit": 1}
    row = conn.execute(_OF_ONE, values).fetchone()
    return None if row is None else _stall_from(row)


def find_stalled(conn: Connection, patience: Patience, *, limit: int) -> list[Stall]:
    """All jobs that stand still, at most `limit`."""
    values = {"factor": patience.factor, "least": patience.least_s, "limit": limit}
    return [_stall_from(row) for row in conn.execute(_OF_ALL, values).fetchall()]


def _stall_from(row: Row) -> Stall:
    return Stall(**row)
