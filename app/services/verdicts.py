"""What became of the rows of an upload: those that failed, page by page, and all of them, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.db import jobs, upload_verdicts
from app.db.jobs import Job
from app.db.upload_verdicts import FailedRow, RowResult
from app.domain.jobs import JobStatus
from app.domain.uploads import RowVerdict
from app.errors import ConflictError, GoneError, StorageError
from app.services.context import Caller, Context

MOST_RECORD_BYTES = 8 * 1024 * 1024
"""Of the records of one page of failed rows."""

_BATCH = 2000


@dataclass(frozen=True)
class FailedPage:
    """Failed rows in order. `next_after` is the number of the last one where there may be more, else None."""

    rows: list[FailedRow]
    total: int
    next_after: int | None


def find_failed(ctx: Context, caller: Caller, job_id: int, *, after: int, size: int) -> FailedPage:
    """The failed rows behind row `after`, while the job runs too; a download has none.

    Fewer than `size` where their records are large. Raises NotFoundError, GoneError after the retention.
    """
    with ctx.db.connection() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
        if job.direction != "UPLOAD":
            return FailedPage([], 0, None)
        check_kept(job)
        found = upload_verdicts.find_failed(conn, job_id, after, size + 1, most_bytes=MOST_RECORD_BYTES)
        rows = found[:size]
        is_more = len(found) > size or (
            bool(rows) and bool(upload_verdicts.find_failed(conn, job_id, rows[-1].number, 1, most_bytes=1))
        )
    return FailedPage(rows, job.failed_count, rows[-1].number if is_more else None)


@dataclass(frozen=True)
class Verdicts:
    """Every row of an upload; `notice`: why these are not all, for the header Elements-Error."""

    job: Job
    notice: str | None
    batches: Iterator[list[RowResult]]
    """In order; each row has its verdict. Raises StorageError where rows were removed meanwhile."""


def open_verdicts(ctx: Context, caller: Caller, job_id: int) -> Verdicts | None:
    """What can be told of the rows now; None of a download, which has none.

    Raises NotFoundError, ConflictError before the first run has ended, GoneError after the retention.
    """
    with ctx.db.connection() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
        if job.direction != "UPLOAD":
            return None
        check_kept(job)
        if not job.revision:
            raise ConflictError(
                f"Job {job_id} is {job.status.value}; the verdicts of its rows can be read once it is COMPLETED,"
                " ABORTED or CANCELLED. Those that failed are in /errors at any time."
            )
        unsent_count = upload_verdicts.count_open(conn, job_id) if job.status.is_terminal else 0
    return Verdicts(job, _notice(job), _batches(ctx, job, job.record_count + unsent_count))


def check_kept(job: Job) -> None:
    """Raises GoneError once the files of the job, and with them its rows, were removed."""
    if job.files_deleted_at is not None:
        raise GoneError(f"The rows of job {job.id} were removed at {job.files_deleted_at:%Y-%m-%dT%H:%M:%SZ}.")


def _batches(ctx: Context, job: Job, least: int) -> Iterator[list[RowResult]]:
    """Page by page, a connection for each: no reader holds one for as long as it takes to read."""
    after = told = 0
    while True:
        with ctx.db.connection() as conn:
            found = upload_verdicts.find_results(conn, job.id, after, _BATCH)
        if not found:
            break
        after = found[-1].number
        known = [_judged(row) for row in found] if job.status.is_terminal else [row for row in found if row.verdict]
        told += len(known)
        yield known
    if told < least:
        raise StorageError(f"The rows of job {job.id} were removed while they were read.")


def _judged(row: RowResult) -> RowResult:
    """Rows that an ended run left without a verdict were not sent."""
    if row.verdict is not None:
        return row
    return RowResult(row.number, row.line, RowVerdict.NOT_SENT, None, None, None, None)


def _notice(job: Job) -> str | None:
    if not job.status.is_terminal:
        return f"Job is {job.status.value} in run {job.run_number}; rows without a verdict so far are left out."
    if job.status is not JobStatus.COMPLETED:
        rest = " Rows of the file that were not read are not listed." if job.has_more else ""
        return f"Partial result: the job is {job.status.value}. {job.status_message or ''}{rest}".strip()
    return None
