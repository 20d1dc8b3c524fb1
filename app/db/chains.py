"""Statements on tables continuations, chain_marks and chain_versions: what jobs that continue one another share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.db.pool import Connection, as_json
from app.db.slices import Position
from app.domain.chains import Mark, Noted
from app.domain.jobs import JobStatus, StopReason

NOTED = """, remembered as (
  insert into chain_versions (chain_id, id_key, digest, at_us, job_id)
  select %(chain)s, new.id_key, new.digest, new.at_us, moved.job_id from moved,
    unnest(%(id_keys)s::bytea[], %(digests)s::bytea[], %(instants)s::bigint[]) as new (id_key, digest, at_us)
  on conflict (chain_id, id_key) do update
  set digest = excluded.digest, at_us = excluded.at_us, job_id = excluded.job_id
), marked as (
  insert into chain_marks (job_id, chain_id, clock_us, high_us)
  select moved.job_id, %(chain)s, %(clock)s::bigint, %(high)s::bigint from moved
  on conflict (job_id) do update set clock_us = least(chain_marks.clock_us, excluded.clock_us),
    high_us = greatest(chain_marks.high_us, excluded.high_us)
)"""
"""Further parts of a checkpoint's statement, behind its part `moved`; see `noted_values`."""


def noted_values(chain_id: int, noted: Noted | None) -> dict[str, Any]:
    """The values of `NOTED`, and of its count. In the order of keys: no two statements wait in a circle."""
    if noted is None:
        return {"repeated": 0}
    versions = [noted.versions[key] for key in sorted(noted.versions)]
    return {
        "chain": chain_id,
        "id_keys": [each.id_key for each in versions],
        "digests": [each.digest for each in versions],
        "instants": [each.at_us for each in versions],
        "clock": noted.clock_us,
        "high": noted.high_us,
        "repeated": noted.repeated_count,
    }


def find_mark(conn: Connection, job_id: int) -> Mark | None:
    """Where the chain stood at this job; None where the job keeps no account of that."""
    row = conn.execute(
        "select chain_id, floor_us, clock_us, high_us from chain_marks where job_id = %s", (job_id,)
    ).fetchone()
    return None if row is None else Mark(**row)


def insert_mark(conn: Connection, job_id: int, mark: Mark) -> None:
    """Where a job begins that goes on for another one."""
    conn.execute(
        "insert into chain_marks (job_id, chain_id, floor_us, clock_us, high_us) values (%s, %s, %s, %s, %s)",
        (job_id, mark.chain_id, mark.floor_us, mark.clock_us, mark.high_us),
    )


def find_delivered(conn: Connection, chain_id: int, id_keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """By id key the digest of the version that the chain delivered last, where it remembers one."""
    rows = conn.execute(
        "select id_key, digest from chain_versions where chain_id = %s and id_key = any(%s::bytea[])",
        (chain_id, list(id_keys)),
    ).fetchall()
    return {row["id_key"]: row["digest"] for row in rows}


def prune(conn: Connection, chain_id: int, job_id: int, *, floor_us: int | None, own_floor_us: int | None) -> None:
    """Forget what no pass will see again: versions before the floor of this pass, and of this job's own also those
    before `own_floor_us`, the floor of the next pass as far as it is known. (Others' may be wanted again if this job
    fails and another takes its place.)
    """
    conn.execute(
        "delete from chain_versions where chain_id = %s and (at_us < %s or (at_us < %s and job_id = %s))",
        (chain_id, floor_us, own_floor_us, job_id),
    )


@dataclass(frozen=True)
class Continuation:
    """A job that goes on where another one ended."""

    job_id: int
    source_job_id: int
    source_run: int
    status: JobStatus
    stop_reason: StopReason | None

    @property
    def is_live(self) -> bool:
        """Under way, or ended in good order: what it delivered counts."""
        if self.stop_reason is StopReason.API_LIMIT:
            return True
        return self.status not in {JobStatus.ABORTED, JobStatus.CANCELLED}


def insert_continuation(conn: Connection, job_id: int, *, source_job_id: int, source_run: int) -> None:
    """Job `job_id` goes on from the source as its run `source_run` left it."""
    conn.execute(
        "insert into continuations (job_id, source_job_id, source_run) values (%s, %s, %s)",
        (job_id, source_job_id, source_run),
    )


_CONTINUATION = (
    "select continuations.*, jobs.status, jobs.stop_reason from continuations"
    " join jobs on jobs.id = continuations.job_id where "
)


def find_continuations(conn: Connection, source_job_id: int) -> list[Continuation]:
    """Every job that was to go on from this one, newest first."""
    rows = conn.execute(
        _CONTINUATION + "continuations.source_job_id = %s order by jobs.number desc", (source_job_id,)
    ).fetchall()
    return [_from_row(**row) for row in rows]


def find_own_continuation(conn: Connection, job_id: int) -> Continuation | None:
    """What this job goes on from; None for the first job of a chain."""
    row = conn.execute(_CONTINUATION + "continuations.job_id = %s", (job_id,)).fetchone()
    return None if row is None else _from_row(**row)


def _from_row(*, status: str, stop_reason: str | None, **values: Any) -> Continuation:
    reason = StopReason(stop_reason) if stop_reason else None
    return Continuation(**values, status=JobStatus(status), stop_reason=reason)


def forget_versions_of(conn: Connection, chain_id: int, job_ids: Sequence[int]) -> None:
    """What these jobs delivered does not count any more: others take their place."""
    conn.execute("delete from chain_versions where chain_id = %s and job_id = any(%s)", (chain_id, list(job_ids)))


def count_delivered(conn: Connection, job_id: int) -> int:
    """Records of this job and those that it goes on from, as far as they are not forgotten."""
    row = conn.execute(
        "with recursive before as (select id, record_count from jobs where id = %s union all"
        " select jobs.id, jobs.record_count from before join continuations on continuations.job_id = before.id"
        " join jobs on jobs.id = continuations.source_job_id) select sum(record_count)::bigint as n from before",
        (job_id,),
    ).fetchone()
    assert row is not None
    return int(row["n"])


def carry_over(conn: Connection, job_id: int, position: Position, *, moved_at: datetime | None, seen: int) -> None:
    """Let a job that has not begun start at `position`; jobs before it saw `seen` records of the same pass."""
    conn.execute(
        "with begun as (update jobs set seen_before = %(seen)s where id = %(job)s)"
        " update slices set cursor = %(cursor)s, page_size = %(page_size)s, skip = %(skip)s, moved_at = %(moved_at)s"
        " where job_id = %(job)s",
        {
            "job": job_id,
            "seen": seen,
            "cursor": as_json(position.cursor),
            "page_size": position.page_size,
            "skip": position.skip,
            "moved_at": moved_at,
        },
    )


def find_position(conn: Connection, job_id: int) -> Position:
    """Where the newest run of a job stands that is not sliced."""
    row = conn.execute(
        "select cursor, page_size, skip, exhausted from slices where job_id = %s order by run_number desc limit 1",
        (job_id,),
    ).fetchone()
    assert row is not None
    return Position(**row)


def find_moved_at(conn: Connection, job_id: int) -> datetime | None:
    """When the page came that the job's last cursor was found in; None where none has come."""
    row = conn.execute("select max(moved_at) as at from slices where job_id = %s", (job_id,)).fetchone()
    return None if row is None else row["at"]


def lock_source(conn: Connection, job_id: int) -> int | None:
    """Keep others from going on from it until the transaction ends. Its newest run; None where it is forgotten."""
    row = conn.execute("select run_number from jobs where id = %s for update", (job_id,)).fetchone()
    return None if row is None else int(row["run_number"])
