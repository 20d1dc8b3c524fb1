"""The statements by which a holder's progress counts, each fenced by its claim and numbered (design 2.2, 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.db.chains import NOTED, noted_values
from app.db.pool import Connection, as_json
from app.db.slices import SLOTS_PER_SLICE, Position, Standing, standing_from
from app.domain.chains import Noted
from app.domain.segments import Segment
from app.domain.stalls import PageTimes


@dataclass(frozen=True)
class Progress:
    """What one checkpoint adds. `calls_made` were made since the last report, `calls_wanted` are reserved ahead."""

    position: Position
    segments: Sequence[Segment]
    record_count: int
    page_count: int
    plain_bytes: int
    calls_made: int
    calls_wanted: int
    vendor_total: int | None
    filtered_count: int = 0
    undated_count: int = 0
    stray_count: int = 0
    noted: Noted | None = None
    """For the job's chain, where it keeps account of one."""
    chain_id: int = 0
    page_times: PageTimes = field(default_factory=PageTimes)
    child_count: int = 0
    child_missing_count: int = 0
    deleted_count: int = 0


_MOVE = """
with moved as (
  update slices set cursor = %(cursor)s, page_size = %(page_size)s, skip = %(skip)s, exhausted = %(exhausted)s,
    sequence = sequence + %(segment_count)s, checkpoint = checkpoint + 1, try_count = 0, crash_count = 0,
    vendor_total = coalesce(%(vendor_total)s, vendor_total), stray_count = stray_count + %(strays)s,
    last_error = null, calls_held = greatest(0, calls_held - %(made)s) + %(wanted)s,
    moved_at = now(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s),
    progressed_at = clock_timestamp(), page_times = %(page_times)s, page_p95_s = %(page_p95_s)s
  where id = %(slice)s and claim = %(claim)s and checkpoint = %(checkpoint)s and lease_expires_at is not null
  returning job_id, run_number, number, end_ns
), stored as (
  insert into segments (job_id, run_number, slice_number, sequence, claim, object_key, encoding, record_count,
    plain_bytes, stored_bytes, crc32, flush_points, columns)
  select moved.job_id, moved.run_number, moved.number, new.sequence, %(claim)s, new.object_key, new.encoding,
    new.record_count, new.plain_bytes, new.stored_bytes, new.crc32, new.flush_points, new.columns
  from moved, jsonb_to_recordset(%(segments)s) as new (sequence integer, object_key text, encoding text,
    record_count bigint, plain_bytes bigint, stored_bytes bigint, crc32 bigint, flush_points jsonb, columns text[])
), run as (
  update runs set record_count = runs.record_count + %(records)s, calls_reserved = calls_reserved + %(wanted)s
  from moved where runs.job_id = moved.job_id and runs.number = moved.run_number
), job as (
  update jobs set record_count = jobs.record_count + %(records)s, page_count = page_count + %(pages)s,
    call_count = call_count + %(made)s, plain_bytes = plain_bytes + %(plain_bytes)s,
    vendor_total = case when moved.end_ns is null then coalesce(%(vendor_total)s, vendor_total) else vendor_total end,
    filtered_count = filtered_count + %(filtered)s, undated_count = undated_count + %(undated)s,
    repeated_count = repeated_count + %(repeated)s, deleted_count = deleted_count + %(deleted)s,
    child_count = child_count + %(children)s, child_missing_count = child_missing_count + %(missing)s,
    status = case when status in ('CREATED', 'STARTED') then 'RUNNING' else status end
  from moved where jobs.id = moved.job_id returning jobs.status
)"""
_STANDING = f"""
select job.status, {SLOTS_PER_SLICE} from job
"""
_ADVANCE = _MOVE + _STANDING
_ADVANCE_AND_NOTE = _MOVE + NOTED + _STANDING


def advance(
    conn: Connection,
    slice_id: int,
    claim_number: int,
    checkpoint: int,
    progress: Progress,
    *,
    sequence: int,
    lease_s: float,
) -> Standing | None:
    """One checkpoint: segments, position and counters in ONE statement, fenced by claim and checkpoint number.

    None when the claim is lost, or when this checkpoint stands already (ask `find_checkpoint`).
    """
    position = progress.position
    row = conn.execute(
        _ADVANCE_AND_NOTE if progress.noted else _ADVANCE,
        {
            "slice": slice_id,
            "claim": claim_number,
            "checkpoint": checkpoint,
            "lease": lease_s,
            "cursor": as_json(position.cursor),
            "page_size": position.page_size,
            "skip": position.skip,
            "exhausted": position.exhausted,
            "segment_count": len(progress.segments),
            "segments": as_json([_segment_row(sequence + i, s) for i, s in enumerate(progress.segments)]),
        }
        | _figures(progress),
    ).fetchone()
    return None if row is None else standing_from(row)


def _figures(progress: Progress) -> dict[str, Any]:
    return {
        "records": progress.record_count,
        "pages": progress.page_count,
        "plain_bytes": progress.plain_bytes,
        "made": progress.calls_made,
        "wanted": progress.calls_wanted,
        "vendor_total": progress.vendor_total,
        "filtered": progress.filtered_count,
        "undated": progress.undated_count,
        "strays": progress.stray_count,
        "deleted": progress.deleted_count,
        **noted_values(progress.chain_id, progress.noted),
        "children": progress.child_count,
        "missing": progress.child_missing_count,
        "page_times": progress.page_times.counts,
        "page_p95_s": progress.page_times.p95_s,
    }


def _segment_row(sequence: int, segment: Segment) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "object_key": segment.object_key,
        "encoding": segment.encoding,
        "record_count": segment.record_count,
        "plain_bytes": segment.plain_bytes,
        "stored_bytes": segment.stored_bytes,
        "crc32": segment.crc32,
        "flush_points": [[point.record, point.plain, point.packed] for point in segment.flush_points],
        "columns": list(segment.columns),
    }


def find_checkpoint(conn: Connection, slice_id: int, claim_number: int) -> int | None:
    """The committed checkpoint number while the claim is still ours; None when it is lost."""
    row = conn.execute(
        "select checkpoint from slices where id = %s and claim = %s", (slice_id, claim_number)
    ).fetchone()
    return None if row is None else int(row["checkpoint"])


def reserve_calls(
    conn: Connection, slice_id: int, claim_number: int, checkpoint: int, *, made: int, wanted: int
) -> bool:
    """Report `made` calls and reserve `wanted` more before they are made, once: it counts as a checkpoint.

    False when the claim is lost, or when this checkpoint stands already (ask `find_checkpoint`). The table's check
    constraint keeps the reservation at or below apiLimit whatever the caller computes.
    """
    row = conn.execute(
        "with held as (update slices set calls_held = greatest(0, calls_held - %(made)s) + %(wanted)s,"
        " checkpoint = checkpoint + 1 where id = %(slice)s and claim = %(claim)s and checkpoint = %(checkpoint)s"
        " and lease_expires_at is not null returning job_id, run_number),"
        " run as (update runs set calls_reserved = calls_reserved + %(wanted)s from held"
        " where runs.job_id = held.job_id and runs.number = held.run_number returning 1),"
        " job as (update jobs set call_count = call_count + %(made)s from held where jobs.id = held.job_id returning 1)"
        " select 1 as kept from run, job",
        {"slice": slice_id, "claim": claim_number, "checkpoint": checkpoint, "made": made, "wanted": wanted},
    ).fetchone()
    return row is not None
