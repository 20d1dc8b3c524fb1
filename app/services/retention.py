"""What is removed by itself: files past their time, objects that never counted, rows nobody needs."""

from __future__ import annotations

from datetime import datetime

import structlog

from app.db import (
    expiry,
    forgetting,
    idempotency,
    intakes,
    jobs,
    schedule_runs,
    segments,
    upload_verdicts,
    uploads,
    workers,
)
from app.domain.segments import SegmentKey, job_prefix
from app.errors import HaulageError
from app.services.context import Context
from app.services.intake import STALE_S, remove_input

log = structlog.get_logger()

_BATCH = 100
_ROW_BATCH = 1000
_PAUSE_S = 60.0
_UPLOAD_ROWS = 10_000
_ROW_STATEMENTS = 20

READERS_S = 3600.0
"""So long may a reader go on that began before the retention was over; where that is shorter, for as long again."""


def sweep_files(ctx: Context) -> int:
    """Drop the segment rows of jobs whose retention is over; the orphan sweep removes the objects. Returns how many.

    From now on the files are gone for all who ask; whoever reads them at this moment has time to come to their end.
    """
    with ctx.db.connection() as conn:
        expired = expiry.find_expired(conn, _BATCH)
    return sum(_is_expired(ctx, job_id) for job_id in expired)


def _is_expired(ctx: Context, job_id: int) -> bool:
    """Whether the job's files were given up now; a job that cannot be had does not keep the others waiting."""
    try:
        with ctx.db.transaction() as conn:
            job = jobs.get_for_worker(conn, job_id, lock=True)
            if job.files_expire_at is None or job.files_expire_at > ctx.now() or not job.status.is_terminal:
                return False
            segments.delete_of_job(conn, job_id)
            jobs.mark_files_deleted(conn, job_id, in_s=min(READERS_S, ctx.settings.retention_s))
    except HaulageError as error:
        log.warning("files.not_expired", job=job_id, reason=error.message)
        return False
    return True


def sweep_orphans(ctx: Context) -> int:
    """Remove objects without a row that nobody can commit any more. Returns how many."""
    count = 0
    with ctx.db.connection() as conn:
        due = expiry.find_orphan_sweeps(conn, _BATCH)
    for job_id, due_at in due:
        try:
            count += _sweep_orphans_of(ctx, job_id, due_at)
        except HaulageError as error:
            log.warning("orphans.not_swept", job=job_id, reason=error.message)
            with ctx.db.connection() as conn:  # not at once: the others of this job's age would never have their turn
                jobs.schedule_orphan_sweep(conn, job_id, in_s=_PAUSE_S)
            continue
        with ctx.db.connection() as conn:
            expiry.finish_orphan_sweep(conn, job_id, due_at)
    return count


def _sweep_orphans_of(ctx: Context, job_id: int, due_at: datetime) -> int:
    # The order matters. Objects first: one that is written later is not on the list. Then the claims that may still
    # commit one of them. Rows last: what such a claim has committed meanwhile, or any earlier one, has its row by now.
    unfinished = ctx.store.unfinished(job_prefix(job_id))
    objects = list(ctx.store.list(job_prefix(job_id)))
    with ctx.db.connection() as conn:
        writing = segments.find_claims(conn, job_id)
        rows = segments.find_keys(conn, job_id)
        job = jobs.get_for_worker(conn, job_id)
        upload = uploads.find(conn, job_id)
    if job.files_deleted_at is not None and job.sweep_orphans_at != due_at:
        return 0  # given up at this moment, and due again when those who read them have had their time
    if job.files_deleted_at is not None and not writing:
        if upload is not None:
            remove_input(ctx.store, upload.object_key)
            _drop_rows(ctx, job_id)
        for name in unfinished:  # parts in a bucket cost as much as objects, and are none
            ctx.store.discard(name)
        ctx.store.delete_prefix(job_prefix(job_id))  # in batches, and the folders: a run will never begin in them again
        return len(objects) + len(unfinished)
    orphans = [key for key in objects if key not in rows and not _may_be_committed(key, writing)]
    remains = [name for name, key in unfinished.items() if not _may_be_committed(key, writing)]
    for key in orphans:
        ctx.store.delete(key)
    for name in remains:
        ctx.store.discard(name)
    return len(orphans) + len(remains)


def _drop_rows(ctx: Context, job_id: int) -> None:
    """The rows of an upload go with its file, in statements that end soon; of very many the rest has its turn later."""
    for _ in range(_ROW_STATEMENTS):
        with ctx.db.connection() as conn:
            if upload_verdicts.drop(conn, job_id, _UPLOAD_ROWS) < _UPLOAD_ROWS:
                return
    with ctx.db.connection() as conn:
        jobs.schedule_orphan_sweep(conn, job_id, in_s=0.0)


def _may_be_committed(key: str, writing: dict[tuple[int, int], int]) -> bool:
    try:
        parts = SegmentKey.parse(key)
    except ValueError:
        return False  # nothing that a leg would write
    return parts.claim >= writing.get((parts.run_number, parts.slice_number), parts.claim + 1)


def sweep_intakes(ctx: Context) -> int:
    """Remove files whose receiver died on the way, with what it had half written. Returns how many."""
    with ctx.db.connection() as conn:
        stale = intakes.find_stale(conn, older_than_s=STALE_S, limit=_BATCH)
    return sum(_is_removed(ctx, key) for key in stale)


def _is_removed(ctx: Context, key: str) -> bool:
    """Whether this sweep removed it; one that cannot be removed now does not keep the others waiting."""
    try:
        with ctx.db.transaction() as conn:
            # The row first: a receiver that is alive after all waits here, and then finds that it has lost the file.
            if not intakes.remove(conn, key):
                return False
            remove_input(ctx.store, key)
    except HaulageError as error:
        log.warning("intake.not_removed", key=key, reason=error.message)
        return False
    return True


def forget_rows(ctx: Context) -> bool:
    """Remove rows of jobs, submissions and processes that are long over. True where more of them are left."""
    with ctx.db.connection() as conn:
        forgotten = forgetting.forget_jobs(conn, older_than_s=ctx.settings.row_retention_s, limit=_ROW_BATCH)
        over = schedule_runs.forget(conn, older_than_s=ctx.settings.row_retention_s, limit=_ROW_BATCH)
        expired = idempotency.delete_expired(conn, _ROW_BATCH)
        workers.forget_stopped(conn)
    return _ROW_BATCH in {forgotten, over, expired}
