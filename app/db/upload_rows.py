"""Statements on table upload_rows: which row of a file was sent, and what became of it.

A holder's statement is fenced by its claim and numbered as a checkpoint (see `app.db.checkpoints`). No row is sent
before the statement that says so has committed; what came of it is told by a later one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.db.pool import Connection, as_json
from app.db.slices import SLOTS_PER_SLICE, Position, Standing, standing_from
from app.domain.upload_evidence import LOOK_UPS, UNREADABLE
from app.domain.uploads import RowVerdict


@dataclass(frozen=True)
class Ending:
    """A row's verdict and what the vendor said. `detail`: at most 200 characters, without secrets."""

    verdict: RowVerdict
    vendor_id: str | None = None
    http_status: int | None = None
    error_class: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class NewRow:
    """A row read from the file: it is about to be sent, or has its ending already."""

    number: int
    line: int
    record: bytes
    ending: Ending | None = None
    keyed_by: int | None = None
    """The job under whose idempotency key it is sent, if that is another one."""


@dataclass(frozen=True)
class Change:
    """A row of the table that ended, or (`ending` None) is about to be sent again, or surely was not taken."""

    number: int
    ending: Ending | None = None
    is_sent: bool = False


@dataclass(frozen=True)
class Step:
    """What one statement of a leg tells. `calls_made`: since the last one."""

    position: Position
    new: Sequence[NewRow] = ()
    changes: Sequence[Change] = ()
    calls_made: int = 0
    look_up_count: int = 0
    """Of these calls."""

    @property
    def endings(self) -> list[Ending]:
        """Of the rows that end with it."""
        given = [*(each.ending for each in self.new), *(each.ending for each in self.changes)]
        return [each for each in given if each is not None]

    @property
    def counts(self) -> dict[str, int]:
        """Of these endings by verdict, and what `app.domain.upload_evidence` tells beside them."""
        found = Counter(each.verdict.value for each in self.endings)
        found[UNREADABLE] = sum(each.ending is not None for each in self.new)
        found[LOOK_UPS] = self.look_up_count
        return {name: count for name, count in found.items() if count}


@dataclass(frozen=True)
class OpenRow:
    """A row without a verdict. `is_sent`: it may have been taken, which an earlier leg found `doubted_s` ago."""

    number: int
    record: bytes = field(repr=False)
    is_sent: bool = False
    doubted_s: float = 0.0
    keyed_by: int | None = None
    """As of NewRow."""
    attempt_count: int = 1
    """How often it was told to be sent."""


_NONE = Ending(RowVerdict.FAILED)
"""Stands where there is no ending; its verdict is not read."""

_KEPT = f"in ('{RowVerdict.FAILED}', '{RowVerdict.UNCERTAIN}')"

_COUNTED = """(select coalesce(jsonb_object_agg(name, total), '{}') from (
      select name, sum(given::bigint) as total from (
        select * from jsonb_each_text(verdict_counts) union all select * from jsonb_each_text(%(counts)s)
      ) as pair (name, given) group by name) as sums)"""
"""Of a job's counts and further ones the sum."""

_STEP = f"""
with moved as (
  update slices set cursor = %(cursor)s, exhausted = %(exhausted)s, checkpoint = checkpoint + 1,
    try_count = case when %(known)s > 0 then 0 else try_count end,
    crash_count = case when %(ended)s > 0 then 0 else crash_count end,
    last_error = case when %(known)s > 0 then null else last_error end,
    progressed_at = case when %(ended)s > 0 then clock_timestamp() else progressed_at end,
    moved_at = now(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
  where id = %(slice)s and claim = %(claim)s and checkpoint = %(checkpoint)s and lease_expires_at is not null
  returning job_id
), begun as (
  insert into upload_rows (job_id, number, line, record, is_sent, attempt_count, keyed_by, verdict,
    vendor_id, http_status, error_class, detail)
  select moved.job_id, new.number, new.line, new.record, new.verdict is null, (new.verdict is null)::int, new.keyed_by,
    new.verdict, new.vendor_id, new.http_status, new.error_class, new.detail
  from moved, unnest(%(numbers)s::bigint[], %(lines)s::bigint[], %(records)b::bytea[], %(keyed_by)s::bigint[],
    %(new_verdicts)s::text[], %(new_vendor_ids)s::text[], %(new_statuses)s::integer[], %(new_classes)s::text[],
    %(new_details)s::text[])
    as new (number, line, record, keyed_by, verdict, vendor_id, http_status, error_class, detail)
), changed as (
  update upload_rows set verdict = new.verdict, is_sent = new.is_sent, doubted_at = null,
    attempt_count = attempt_count + new.is_sent::int,
    record = case when new.verdict is null or new.verdict {_KEPT} then record end,
    vendor_id = new.vendor_id, http_status = new.http_status, error_class = new.error_class, detail = new.detail
  from moved, unnest(%(changed)s::bigint[], %(sent)s::boolean[], %(verdicts)s::text[], %(vendor_ids)s::text[],
    %(statuses)s::integer[], %(classes)s::text[], %(details)s::text[])
    as new (number, is_sent, verdict, vendor_id, http_status, error_class, detail)
  where upload_rows.job_id = moved.job_id and upload_rows.number = new.number and upload_rows.verdict is null
), job as (
  update jobs set record_count = jobs.record_count + %(ended)s, failed_count = failed_count + %(failed)s,
    uncertain_count = uncertain_count + %(uncertain)s, call_count = call_count + %(made)s,
    verdict_counts = {_COUNTED},
    status = case when status in ('CREATED', 'STARTED') then 'RUNNING' else status end
  from moved where jobs.id = moved.job_id returning jobs.status
)
select job.status, {SLOTS_PER_SLICE} from job
"""


def advance(
    conn: Connection, slice_id: int, claim_number: int, checkpoint: int, step: Step, *, lease_s: float
) -> Standing | None:
    """Rows begun, rows ended, position and counters in ONE statement, fenced by claim and checkpoint number.

    None when the claim is lost, or when this step stands already (ask `app.db.checkpoints.find_checkpoint`).
    """
    endings = step.endings
    row = conn.execute(
        _STEP,
        {
            "slice": slice_id,
            "claim": claim_number,
            "checkpoint": checkpoint,
            "lease": lease_s,
            "cursor": as_json(step.position.cursor),
            "exhausted": step.position.exhausted,
            "numbers": [each.number for each in step.new],
            "lines": [each.line for each in step.new],
            "records": [each.record for each in step.new],
            "keyed_by": [each.keyed_by for each in step.new],
            **_columns("new_", [each.ending for each in step.new]),
            "changed": [each.number for each in step.changes],
            "sent": [each.is_sent for each in step.changes],
            **_columns("", [each.ending for each in step.changes]),
            "ended": len(endings),
            "known": sum(each.verdict is not RowVerdict.UNCERTAIN for each in endings),
            "failed": sum(each.verdict.is_failure for each in endings),
            "uncertain": sum(each.verdict is RowVerdict.UNCERTAIN for each in endings),
            "made": step.calls_made,
            "counts": as_json(step.counts),
        },
    ).fetchone()
    return None if row is None else standing_from(row)


def _columns(prefix: str, endings: Sequence[Ending | None]) -> dict[str, list[Any]]:
    full = [each or _NONE for each in endings]
    return {
        f"{prefix}verdicts": [None if each is None else each.verdict.value for each in endings],
        f"{prefix}vendor_ids": [_text(each.vendor_id) for each in full],
        f"{prefix}statuses": [each.http_status for each in full],
        f"{prefix}classes": [each.error_class for each in full],
        f"{prefix}details": [_text(each.detail) for each in full],
    }


def _text(given: str | None) -> str | None:
    """PostgreSQL has no NUL in texts, nor half of a surrogate pair."""
    return given and given.replace("\0", "�").encode("utf-8", "replace").decode()


_TAKE_OVER = """
with mine as (
  select job_id from slices where id = %(slice)s and claim = %(claim)s and lease_expires_at is not null
), doubted as (
  update upload_rows set doubted_at = clock_timestamp() from mine
  where upload_rows.job_id = mine.job_id and verdict is null and is_sent and doubted_at is null
)
select number, record, is_sent, keyed_by, attempt_count,
  coalesce(extract(epoch from clock_timestamp() - doubted_at), 0)::float8 as doubted_s
from upload_rows join mine using (job_id) where verdict is null order by number
"""


def take_over(conn: Connection, slice_id: int, claim_number: int) -> list[OpenRow]:
    """Rows that were read and have no verdict, in order: as many as a leg has in work, no more.

    Notes since when those that were sent are in doubt, so that a look-up whose time comes after many legs does come.
    None for a claim that is lost.
    """
    rows = conn.execute(_TAKE_OVER, {"slice": slice_id, "claim": claim_number}).fetchall()
    return [
        OpenRow(
            row["number"],
            bytes(row["record"]),
            row["is_sent"],
            row["doubted_s"],
            row["keyed_by"],
            row["attempt_count"],
        )
        for row in rows
    ]


_CLOSE = f"""
with doubted as (
  update upload_rows set verdict = 'UNCERTAIN', is_sent = false, error_class = 'uncertain',
    detail = 'The job ended while the call was under way.'
  where job_id = %(job)s and verdict is null and is_sent returning 1
), found as (
  select (select count(*) from doubted) as doubted,
    (select count(*) from upload_rows where job_id = %(job)s and verdict is null and not is_sent) as unsent
)
update jobs set record_count = record_count + doubted, failed_count = failed_count + doubted,
  uncertain_count = uncertain_count + doubted,
  verdict_counts = {_COUNTED.replace("%(counts)s", "jsonb_build_object('UNCERTAIN', doubted)")}
    || jsonb_build_object('unsent', unsent)
from found where jobs.id = %(job)s
"""


def close(conn: Connection, job_id: int) -> None:
    """The run ends, inside the caller's transaction: rows whose outcome nobody heard of are uncertain now.

    Rows that were surely not taken stay without a verdict, for a restart; the job tells how many. Only rows in work are
    looked at, however many there are.
    """
    conn.execute(_CLOSE, {"job": job_id})
