"""Statements on table slices: who may work where, and from which position.

Every statement of a holder repeats its claim number. No row back means that somebody else holds the slice now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.db import notices
from app.db.pool import Connection, Row, as_json
from app.domain.jobs import Direction, JobStatus
from app.domain.slicing import Span


class Position(msgspec.Struct, frozen=True):
    """Where the next record is: the cursor of a page (None: the first) and how many of its records are delivered."""

    cursor: Any
    page_size: int
    skip: int
    exhausted: bool


@dataclass(frozen=True)
class Claim:
    """The right to work on a slice until the lease ends, proven by `number`."""

    slice_id: int
    number: int
    job_id: int
    run_number: int
    slice_number: int
    position: Position
    sequence: int
    checkpoint: int
    try_count: int
    crash_count: int
    job_status: JobStatus
    direction: Direction = "DOWNLOAD"
    span: Span | None = None
    """The window of time that the slice fetches; None: the job has one slice, and that has no window of its own."""
    page_times: Sequence[int] = ()
    """See app.domain.stalls."""


_REOPEN = """
insert into slices (job_id, run_number, number, organisation_id, instance_id, cursor, page_size, skip, exhausted,
  start_ns, end_ns, vendor_total, stray_count, next_run_at)
select job_id, %(run)s, number, organisation_id, instance_id, cursor, page_size, skip, exhausted,
  start_ns, end_ns, vendor_total, stray_count, now()
from slices as last where job_id = %(job)s and run_number = %(run)s - 1
  and (not exhausted or not exists (select 1 from slices as other
    where other.job_id = last.job_id and other.run_number = last.run_number and not other.exhausted))
"""


def reopen(conn: Connection, job_id: int, run_number: int) -> None:
    """Slices of a further run, due at once, where those of the run before it stand; the sweeper is told at the COMMIT.

    Those that have reached their end are left out, unless all have.
    """
    conn.execute(_REOPEN, {"job": job_id, "run": run_number})
    notices.notify(conn)


_CLAIM = """
with target as (
  select id, job_id, calls_held, coalesce(lease_expires_at <= clock_timestamp(), false) as crashed from slices
  where id = %(slice)s and next_run_at <= clock_timestamp() and (coalesce(lease_expires_at <= clock_timestamp(), true)
    or (%(again)s and worker_id = %(worker)s and calls_held = 0)) for update skip locked
), taken as (
  update slices set claim = claim + 1, worker_id = %(worker)s, calls_held = 0, wait_reason = null, nudged_at = null,
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s),
    crash_count = crash_count + target.crashed::int, held_since = clock_timestamp(), doing = null, doing_since = null
  from target where slices.id = target.id returning slices.*
), job as (
  update jobs set status = case when status = 'CREATED' then 'STARTED' else status end,
    started_at = coalesce(started_at, now()), calls_written_off = calls_written_off + target.calls_held,
    sweep_orphans_at = case when target.crashed
      then greatest(sweep_orphans_at, now() + make_interval(secs => 2 * %(lease)s)) else sweep_orphans_at end
  from target where jobs.id = target.job_id returning jobs.status, jobs.direction
)
select taken.*, job.status as job_status, job.direction from taken, job
"""


def claim(
    conn: Connection, slice_id: int, *, worker_id: int | None, lease_s: float, again: bool = False
) -> Claim | None:
    """Take a slice that is due and that nobody holds; None when the hint was late or doubled.

    Calls that a dead holder had reserved are written off: it may have made them. They are never refunded.
    `again`: the reply to this worker's claim was lost; a claim of its own that stands is replaced, and so fenced.
    """
    row = conn.execute(_CLAIM, {"slice": slice_id, "worker": worker_id, "lease": lease_s, "again": again}).fetchone()
    return None if row is None else _claim_from(row)


def _claim_from(row: Row) -> Claim:
    return Claim(
        slice_id=row["id"],
        number=row["claim"],
        job_id=row["job_id"],
        run_number=row["run_number"],
        slice_number=row["number"],
        position=_position_from(row),
        sequence=row["sequence"],
        checkpoint=row["checkpoint"],
        try_count=row["try_count"],
        crash_count=row["crash_count"],
        job_status=JobStatus(row["job_status"]),
        direction=row["direction"],
        span=None if row["end_ns"] is None else Span(row["start_ns"], row["end_ns"]),
        page_times=row["page_times"],
    )


def _position_from(row: Row) -> Position:
    return Position(row["cursor"], row["page_size"], row["skip"], row["exhausted"])


@dataclass(frozen=True)
class Standing:
    """What a holder learns with each sign of life."""

    is_cancelled: bool
    slots_per_slice: float | None
    """Slots at work for each slice that wants one, those that have one counted; None while nobody waits."""


# Counted only where somebody waits, and no further than makes a difference.
_WAITING = (
    "select 1 from slices other where other.next_run_at <= now() and other.lease_expires_at is null"
    " and other.id <> %(slice)s"
)
SLOTS_PER_SLICE = f"""
  case when exists ({_WAITING}) then (
    select held.n::float8 / (held.n + (select count(*) from ({_WAITING} limit 1000) as waiting))
    from (select greatest(1, count(*)) as n from slices where lease_expires_at > now()) as held
  ) end as slots_per_slice
"""


def renew(
    conn: Connection,
    slice_id: int,
    claim_number: int,
    *,
    lease_s: float,
    doing: str | None = None,
    doing_s: float = 0.0,
) -> Standing | None:
    """Prolong the lease; None when the claim is lost. `doing`: what the holder does, and for how many seconds."""
    row = conn.execute(
        "update slices set lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s), doing = %(doing)s,"
        " doing_since = clock_timestamp() - make_interval(secs => %(doing_s)s) from jobs"
        " where slices.id = %(slice)s and slices.claim = %(claim)s and slices.lease_expires_at is not null"
        f" and jobs.id = slices.job_id returning jobs.status, {SLOTS_PER_SLICE}",
        {"slice": slice_id, "claim": claim_number, "lease": lease_s, "doing": doing, "doing_s": doing_s},
    ).fetchone()
    return None if row is None else standing_from(row)


def standing_from(row: Row) -> Standing:
    """From a row with the job's status and `slots_per_slice`."""
    return Standing(row["status"] == JobStatus.CANCELLATION_PENDING, row["slots_per_slice"])


@dataclass(frozen=True)
class HandBack:
    """How a holder lets go: when to go on, what it spent, and why it waits. `wait_s` 0 means at once."""

    wait_s: float
    try_count: int
    calls_made: int = 0
    calls_unused: int = 0
    wait_reason: str | None = None
    last_error: str | None = None
    position: Position | None = None
    """Given where the page size was changed; never for progress, which only `advance` may commit."""


_SETTLE = """, run as (
  update runs set calls_reserved = calls_reserved - %(unused)s from mine
  where runs.job_id = mine.job_id and runs.number = mine.run_number
)
update jobs set call_count = call_count + %(made)s,
  calls_written_off = calls_written_off + greatest(0, mine.calls_held - greatest(0, %(made)s) - %(unused)s)
from mine where jobs.id = mine.job_id returning jobs.id
"""

_HAND_BACK = (
    """
with mine as (
  select id, job_id, run_number, calls_held from slices
  where id = %(slice)s and claim = %(claim)s and lease_expires_at is not null for update
), freed as (
  update slices set lease_expires_at = null, worker_id = null, nudged_at = null, calls_held = 0,
    next_run_at = now() + make_interval(secs => %(wait)s), try_count = %(tries)s, crash_count = 0,
    wait_reason = %(reason)s, last_error = coalesce(%(error)s, last_error),
    cursor = case when %(moved)s then %(cursor)s else cursor end,
    skip = coalesce(%(skip)s, skip), page_size = coalesce(%(page_size)s, page_size)
  from mine where slices.id = mine.id
)"""
    + _SETTLE
)


def hand_back(conn: Connection, slice_id: int, claim_number: int, back: HandBack) -> bool:
    """Let go politely, outside of transactions; calls surely not made are given back. False: the claim was lost."""
    row = conn.execute(
        _HAND_BACK,
        {
            "slice": slice_id,
            "claim": claim_number,
            "wait": back.wait_s,
            "tries": back.try_count,
            "made": back.calls_made,
            "unused": back.calls_unused,
            "reason": back.wait_reason,
            "error": back.last_error,
            "moved": back.position is not None,
            "cursor": as_json(back.position.cursor if back.position else None),
            "page_size": back.position.page_size if back.position else None,
            "skip": back.position.skip if back.position else None,
        },
    ).fetchone()
    notices.wake_sweepers(conn)
    return row is not None


def is_held_by(conn: Connection, slice_id: int, claim_number: int) -> bool:
    """Lock the slice row and say whether the claim still stands, inside a transaction that ends the run."""
    row = conn.execute(
        "select 1 from slices where id = %s and claim = %s and lease_expires_at is not null for update",
        (slice_id, claim_number),
    ).fetchone()
    return row is not None


def settle_calls(conn: Connection, slice_id: int, *, made: int, unused: int) -> None:
    """The holder's last report before its run ends. What it held and cannot account for is written off.

    `made` is negative where calls that were reported were not made after all.
    """
    conn.execute(
        "with mine as (select id, job_id, run_number, calls_held from slices where id = %(slice)s for update),"
        " freed as (update slices set calls_held = 0 from mine where slices.id = mine.id)" + _SETTLE,
        {"slice": slice_id, "made": made, "unused": unused},
    )


def close_run(conn: Connection, job_id: int, run_number: int) -> bool:
    """Fence every holder of the run and leave nothing due. Returns whether the vendor's end was reached.

    Calls that a holder had reserved are written off.
    """
    conn.execute(
        "with lost as (select job_id, sum(calls_held) as calls from slices where job_id = %(job)s"
        " and run_number = %(run)s group by job_id)"
        " update jobs set calls_written_off = calls_written_off + lost.calls from lost where jobs.id = lost.job_id",
        {"job": job_id, "run": run_number},
    )
    rows = conn.execute(
        "update slices set claim = claim + 1, lease_expires_at = null, worker_id = null, next_run_at = null,"
        " wait_reason = null, calls_held = 0 where job_id = %s and run_number = %s returning exhausted",
        (job_id, run_number),
    ).fetchall()
    return all(row["exhausted"] for row in rows)


def is_any_held(conn: Connection, job_id: int) -> bool:
    """Lock the job's slices and say whether a worker holds one of them under a live lease."""
    rows = conn.execute(
        "select lease_expires_at > clock_timestamp() as held from slices where job_id = %s and next_run_at is not null"
        " for update",
        (job_id,),
    ).fetchall()
    return any(row["held"] for row in rows)


_LEAVE = """
update slices set lease_expires_at = null, worker_id = null, next_run_at = null, nudged_at = null, wait_reason = null
where id = %(slice)s and exists (select 1 from slices as other where other.job_id = slices.job_id
  and other.run_number = slices.run_number and other.id <> slices.id and other.next_run_at is not null
  and (not %(held)s or other.lease_expires_at > clock_timestamp()))
returning id
"""


def leave(conn: Connection, slice_id: int, *, to_holders: bool) -> bool:
    """Nothing is left to do on the slice while others of its run go on; False where none does, and it stays held.

    `to_holders`: only those count that somebody holds. Inside a transaction that holds the slice and its job's row.
    """
    return conn.execute(_LEAVE, {"slice": slice_id, "held": to_holders}).fetchone() is not None
