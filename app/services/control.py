"""Cancel, restart and delete: what a user may do to a job of theirs."""

from __future__ import annotations

from app.db import jobs, runs, segments, slices, uploads
from app.db.jobs import Job
from app.domain.criteria import DownloadCriteria
from app.domain.jobs import JobStatus, can_restart
from app.domain.segments import job_prefix
from app.errors import ConflictError, GoneError, InvalidInputError
from app.services.context import Caller, Context
from app.services.continuation import prepare_restart
from app.services.finish import BY_THE_USER, finish_run
from app.services.intake import remove_input


def cancel(ctx: Context, caller: Caller, job_id: int) -> Job:
    """End a job: at once when nobody holds it, else within seconds. Cancelling a cancelled job changes nothing.

    Raises NotFoundError, and ConflictError for a job that has COMPLETED or ABORTED.
    """
    with ctx.db.transaction() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id, lock=True)
        if job.status in {JobStatus.CANCELLED, JobStatus.CANCELLATION_PENDING}:
            return job
        if job.status.is_terminal:
            raise ConflictError(f"Job {job_id} is {job.status.value} and cannot be cancelled any more.")
        if slices.is_any_held(conn, job_id):
            jobs.request_cancel(conn, job_id)
            return jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
        # A holder whose lease ran out is fenced, but may have left an object, or be writing one.
        jobs.schedule_orphan_sweep(conn, job_id, in_s=2 * ctx.settings.lease_s)
        return finish_run(ctx, conn, job_id, *BY_THE_USER)


def restart(ctx: Context, caller: Caller, job_id: int) -> Job:
    """Begin another run at the exact position where the last one ended, with fresh budgets.

    Raises NotFoundError, InvalidInputError for a query job, ConflictError for a job that is under way or has nothing
    left to fetch, GoneError once its files were removed.
    """
    with ctx.db.transaction() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id, lock=True)
        _check_restart(job)
        prepare_restart(conn, job)
        api_limit, record_limit = _fresh_budgets(job)
        run_number = jobs.reopen(conn, job_id)
        runs.insert(conn, job_id, run_number, api_limit=api_limit, record_limit=record_limit)
        slices.reopen(conn, job_id, run_number)
        return jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)


def _fresh_budgets(job: Job) -> tuple[int | None, int | None]:
    """Vendor calls and records of a further run."""
    if job.direction == "UPLOAD":
        return None, None
    criteria = DownloadCriteria.from_echo(job.criteria)
    return criteria.api_limit, criteria.limit


def _check_restart(job: Job) -> None:
    if job.engine == "V2" and job.direction == "DOWNLOAD":
        raise InvalidInputError(
            f"Job {job.id} was submitted by POST /bulk/query, and such jobs cannot be restarted; accepted: jobs of"
            " POST /bulk/download. Submit the query again."
        )
    if not job.status.is_terminal:
        raise ConflictError(f"Job {job.id} is {job.status.value}; only a job that has ended can be restarted.")
    if job.files_deleted_at is not None:
        raise GoneError(f"The files of job {job.id} were removed; submit a new job.")
    if not can_restart(job.status, more=job.has_more):
        raise ConflictError(f"Job {job.id} is complete: {_NOTHING_LEFT[job.direction]}.")


_NOTHING_LEFT = {
    "DOWNLOAD": "the vendor had no further record",
    "UPLOAD": "every row of its file has a verdict; POST /bulk/{id}/retry-failed sends those again that failed",
}


def delete_files(ctx: Context, caller: Caller, job_id: int) -> Job:
    """Remove the files of an ended job; its row stays. Doing it twice changes nothing.

    The rows of an upload and their verdicts go too. Raises NotFoundError, ConflictError while the job is under way,
    StorageUnavailableError.
    """
    with ctx.db.transaction() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id, lock=True)
        if not job.status.is_terminal:
            raise ConflictError(f"Job {job_id} is {job.status.value}; cancel it before you delete its files.")
        segments.delete_of_job(conn, job_id)
        jobs.mark_files_deleted(conn, job_id)
        upload = uploads.find(conn, job_id)
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
    # Rows first: an object without a row is an orphan that the next retention pass removes, a row without its
    # object would be a broken promise.
    ctx.store.delete_prefix(job_prefix(job_id))
    if upload is not None:
        remove_input(ctx.store, upload.object_key)
    return job
