"""What a job has fetched, ready to be read: which revision, of which segments, and whether it is all there is."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC

from app.db import jobs, pushes, segments
from app.db.jobs import Job
from app.db.pool import Connection
from app.domain.criteria import split_names
from app.domain.file_names import FileNameError, render
from app.domain.jobs import JobStatus, StopReason
from app.domain.pushes import failure_text
from app.domain.segments import Segment, column_union
from app.domain.selection import Fields
from app.domain.status_document import seen_count
from app.errors import ConflictError, GoneError, InvalidInputError
from app.services.context import Caller, Context
from app.storage.columns import path_of
from app.storage.formats import with_columns

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Result:
    """The readable revision of a job's result. Reading it needs the store only, no database."""

    job: Job
    segments: list[Segment]
    notice: str | None
    """Why this is not all, for the header Elements-Error."""

    @property
    def is_of_query(self) -> bool:
        """Whether the rules of `POST /bulk/query` hold: one stored file, given in any format (reference 3d, V2)."""
        return self.job.engine == "V2"

    def file_name(self, extension: str) -> str:
        """The name that the criteria wish, dated as of the submission; else the object's and the job's id."""
        wish = self.job.criteria.get("metaData", {}).get("fileName")
        if wish:
            try:
                return render(wish, self.job.created_at.astimezone(UTC), extension)
            except FileNameError:
                pass  # the submission refuses such a wish; a row may be older than that rule
        return f"{result_name(self.job)}.{extension}"


def result_name(job: Job) -> str:
    """What a file about the job is called, without an extension: the object's name and the job's id."""
    name = _UNSAFE.sub("_", job.object_name)[:_LONGEST_NAME].strip("._-") or "result"
    return f"{name}-{job.id}"


def open_result(ctx: Context, caller: Caller, job_id: int) -> Result:
    """Find what may be read now.

    Raises NotFoundError, InvalidInputError for an upload, ConflictError before the first run has ended, GoneError after
    the retention or a delete.
    """
    with ctx.db.connection() as conn:
        job = readable_job(conn, caller, job_id)
        found = segments.find_result(conn, job.id, job.revision)
        if not found and job.record_count:
            # Deleted between the two statements, most likely: then the job says so now.
            job = readable_job(conn, caller, job_id)
        return Result(job, found, find_notice(conn, job))


def with_recorded_columns(ctx: Context, result: Result) -> Result:
    """The result with its CSV columns, found in its records and stored for the next time where none are yet.

    Jobs that were submitted as CSV record them as they go; a query job's first CSV request reads everything once.
    Raises the storage errors.
    """
    if not result.segments or column_union(result.segments):
        return result
    scanned = with_columns(ctx.store, result.segments)
    with ctx.db.connection() as conn:
        segments.set_columns(conn, scanned)
    return replace(result, segments=scanned)


def csv_columns(result: Result) -> tuple[str, ...]:
    """Those recorded: in the order of selectFields, else in that in which records bring them.

    A field that the first record lacks would else come last, as its column is found late.
    """
    columns = column_union(result.segments)
    names = split_names(result.job.criteria.get("selectFields") or "")
    if not names:
        return columns
    fields = Fields(names)
    return tuple(sorted(columns, key=lambda column: fields.places_of(path_of(column))))


def readable_job(conn: Connection, caller: Caller, job_id: int) -> Job:
    """The job whose result may be read now. Raises as `open_result`, and InvalidInputError for an upload."""
    job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
    if job.direction == "UPLOAD":
        raise InvalidInputError(
            f"Job {job_id} is an upload: it fetches no records. What became of its rows: GET /bulk/{job_id}/results."
        )
    if job.files_deleted_at is not None:
        raise GoneError(
            f"The files of job {job_id} were removed at {job.files_deleted_at:%Y-%m-%dT%H:%M:%SZ}; submit a new job."
        )
    if not job.revision:
        raise ConflictError(
            f"Job {job_id} is {job.status.value}; its result can be read once it is COMPLETED, ABORTED or CANCELLED."
        )
    return job


def find_notice(conn: Connection, job: Job) -> str | None:
    """Why the result is not all, or not where it was wanted; None if it is."""
    if not job.status.is_terminal and job.revision == job.run_number:  # fetched, and on its way to where it is pushed
        ending = pushes.look_ending(conn, job.id, job.run_number)
        if ending is not None:
            return _shortfall(
                replace(job, status=ending.status, stop_reason=ending.stop_reason, status_message=ending.message)
            )
        job = jobs.get_for_worker(conn, job.id)  # which has come to its end meanwhile
    return _notice_of(job)


def _notice_of(job: Job) -> str | None:
    if job.status.is_terminal:
        return " ".join(filter(None, (_shortfall(job), failure_text(job.push)))) or None
    return f"Job is {job.status.value} in run {job.run_number}; this is the result as of run {job.revision}."


def _shortfall(job: Job) -> str | None:
    if job.status is not JobStatus.COMPLETED:
        return f"Partial result: the job is {job.status.value}. {job.status_message or ''}".strip()
    if job.stop_reason is StopReason.EXHAUSTED and job.vendor_total not in {None, seen_count(job)}:
        return f"The result has {job.record_count} records, but the vendor's total is {job.vendor_total}."
    if job.undated_count:
        name = job.criteria.get("filterDateField")
        return f"{job.undated_count} records were left out since {name} holds no date in them."
    if job.stop_reason is StopReason.API_LIMIT:
        return f"Partial result: apiLimit was reached. {job.status_message or ''}".strip()
    return None
