"""What a job has fetched, ready to be read: which revision, of which segments, and whether it is all there is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.db import jobs, segments
from app.db.jobs import Job
from app.db.pool import Connection
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.domain.segments import Segment, total_records
from app.domain.status_document import seen_count
from app.errors import ConflictError, GoneError
from app.services.context import Caller, Context

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_EXTENSIONS = {FileFormat.JSONL: "jsonl", FileFormat.JSON: "json", FileFormat.CSV: "csv"}
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Result:
    """The readable revision of a job's result. Reading it needs the store only, no database."""

    job: Job
    segments: list[Segment]
    notice: str | None
    """Why this is not all, for the header Elements-Error."""

    @property
    def record_count(self) -> int:
        """Records in this revision."""
        return total_records(self.segments)

    @property
    def file_name(self) -> str:
        """Safe in any file system and header: letters, digits, `.`, `_` and `-`."""
        name = _UNSAFE.sub("_", self.job.object_name)[:_LONGEST_NAME].strip("._-") or "result"
        return f"{name}-{self.job.id}.{_EXTENSIONS[self.job.file_format]}"


def open_result(ctx: Context, caller: Caller, job_id: int) -> Result:
    """Find what may be read now.

    Raises NotFoundError, ConflictError before the first run has ended, GoneError after the retention or a delete.
    """
    with ctx.db.connection() as conn:
        job = _readable(conn, caller, job_id)
        found = segments.find_result(conn, job.id, job.revision)
        if not found and job.record_count:
            # Deleted between the two statements, most likely: then the job says so now.
            job = _readable(conn, caller, job_id)
    return Result(job, found, _notice(job))


def _readable(conn: Connection, caller: Caller, job_id: int) -> Job:
    job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
    if job.files_deleted_at is not None:
        raise GoneError(f"The files of job {job_id} were removed at {job.files_deleted_at:%Y-%m-%dT%H:%M:%SZ}.")
    if not job.revision:
        raise ConflictError(
            f"Job {job_id} is {job.status.value}; its result can be read once it is COMPLETED, ABORTED or CANCELLED."
        )
    return job


def _notice(job: Job) -> str | None:
    if not job.status.is_terminal:
        return f"Job is {job.status.value} in run {job.run_number}; this is the result as of run {job.revision}."
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
