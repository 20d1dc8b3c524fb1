"""How a run ends: final state, revision, callback owed, all in one transaction."""

from __future__ import annotations

from datetime import UTC

import msgspec
import structlog

from app.db import deliveries, jobs, notices, pushes, runs, slices, upload_rows
from app.db.jobs import Ending, Job
from app.db.pool import Connection
from app.db.slices import Claim
from app.domain.criteria import retention_hours_of
from app.domain.deliveries import event_id
from app.domain.jobs import JobStatus, StopReason
from app.domain.pushes import DocsHub, PushState, filled
from app.domain.status_document import seen_count, status_document
from app.errors import LostClaimError, TransientError
from app.services.context import Context

log = structlog.get_logger()

BY_THE_USER = (JobStatus.CANCELLED, StopReason.CANCELLED, "Cancelled by the user.")
"""How a run ends that its user cancelled, whoever carries it out."""


def finish_run(ctx: Context, conn: Connection, job_id: int, status: JobStatus, reason: StopReason, detail: str) -> Job:
    """End the newest run of a job inside the caller's transaction, whoever holds it: every holder is fenced.

    One that is COMPLETED and wants its output pushed stays RUNNING until that has come to something.

    `detail` says what happened, for a person; on ABORTED it becomes the job's `error`. A cancel that was asked before
    wins over whatever else would have ended the run.
    """
    job = jobs.get_for_worker(conn, job_id, lock=True)
    if job.status is JobStatus.CANCELLATION_PENDING:
        status, reason, detail = BY_THE_USER
    exhausted = slices.close_run(conn, job_id, job.run_number)
    if job.slice_count > 1:
        job = jobs.add_up_totals(conn, job_id)
        if not exhausted:  # holders of other slices are fenced, and may be writing an object at this moment
            jobs.schedule_orphan_sweep(conn, job_id, in_s=2 * ctx.settings.lease_s)
    if job.direction == "UPLOAD":
        upload_rows.close(conn, job_id)
        job = jobs.get_for_worker(conn, job_id)
    ending = Ending(
        status=status,
        stop_reason=reason,
        message=_message(job, status, reason, detail),
        error=detail if status is JobStatus.ABORTED else None,
        has_more=not exhausted,
    )
    fetched = pushes.find_ending(conn, job_id, job.run_number)
    if fetched is not None:  # its user cancels: nothing else ends a run that waits for its push
        pushes.end(conn, job_id, job.run_number, PushState.CANCELLED)
    elif status is JobStatus.COMPLETED and (target := DocsHub.from_echo(job.criteria.get("docsHubDetails"))):
        return _owe_push(ctx, conn, job, target, ending)
    return close_run(ctx, conn, job, ending)


def close_run(ctx: Context, conn: Connection, job: Job, ending: Ending) -> Job:
    """The end of a run that has nothing more to do, in the transaction that locked the job's row."""
    runs.finish(conn, job.id, job.run_number, ending.status, ending.stop_reason)
    ended = jobs.finish(conn, job.id, ending, retention_s=_retention_s(ctx, job))
    _owe_callback(ctx, conn, ended)
    return ended


def tell_end(job: Job, reason: StopReason, **more: str) -> None:
    """One line in the log for the end of a run; of one whose output is yet to be pushed, that all of it is there."""
    event = "job.ended" if job.status.is_terminal else "job.fetched"
    log.info(event, status=job.status.value, stop_reason=reason.value, **more)


def _owe_push(ctx: Context, conn: Connection, job: Job, target: DocsHub, ending: Ending) -> Job:
    """The run ends when its output is where it is wanted; it may be read from now on."""
    path = filled(target.path, job_id=job.id, object_name=job.object_name, moment=job.created_at.astimezone(UTC))
    pushes.insert(conn, job, instance_id=target.instance_id, path=path, ending=ending, for_s=ctx.settings.push_for_s)
    notices.notify(conn)
    return jobs.mark_fetched(conn, job.id, f"{ending.message.removesuffix('.')}; pushing them to {path}")


def _retention_s(ctx: Context, job: Job) -> float:
    """As the job asked for; a ceiling that was lowered since holds for it too."""
    hours = retention_hours_of(job.criteria)
    return ctx.settings.retention_s if hours is None else min(hours * 3600.0, ctx.settings.retention_max_s)


def leave_run(conn: Connection, claim: Claim, reason: StopReason, *, made: int, unused: int) -> bool:
    """End one slice while others of its run go on; the last of them ends the run. False where it has to be this one.

    The calls are the holder's last report. Whoever leaves holds the job's row, so that of two that end at the same time
    one is the last; not the other slices' rows, which would hide them from those who claim. Raises LostClaimError.
    """
    with conn.transaction():
        if not slices.is_held_by(conn, claim.slice_id, claim.number):
            raise LostClaimError("The run has ended already, or somebody else holds the slice.")
        is_cancelled = jobs.lock_status(conn, claim.job_id) is JobStatus.CANCELLATION_PENDING
        if reason is not StopReason.EXHAUSTED and not is_cancelled:
            return False
        if not slices.leave(conn, claim.slice_id, to_holders=is_cancelled):
            return False
        slices.settle_calls(conn, claim.slice_id, made=made, unused=unused)
        return True


def _message(job: Job, status: JobStatus, reason: StopReason, detail: str) -> str:
    if job.direction == "UPLOAD":
        return _upload_message(job, status, detail)
    if status is JobStatus.COMPLETED and reason is StopReason.EXHAUSTED:
        return f"Successfully downloaded {job.record_count} records{_doubt(job)}"
    if status is JobStatus.COMPLETED:
        return f"Successfully downloaded {job.record_count} records. {detail}"
    return detail


def _upload_message(job: Job, status: JobStatus, detail: str) -> str:
    failed = f", {job.failed_count} of them failed" if job.failed_count else ""
    uncertain = f" ({job.uncertain_count} may have been taken)" if job.uncertain_count else ""
    if status is JobStatus.COMPLETED:
        return f"Successfully uploaded {job.record_count} records{failed}{uncertain}"
    return f"{detail.rstrip('.')}. {job.record_count} records were uploaded before{failed}{uncertain}."


def _doubt(job: Job) -> str:
    """What keeps the job from looking whole where the vendor's own total says otherwise (design 2.5)."""
    name = job.criteria.get("filterDateField")
    undated = f" ({job.undated_count} had no date in {name})" if job.undated_count else ""
    if job.vendor_total is None or job.vendor_total == seen_count(job):
        return undated
    return f"{undated}, but the vendor's total is {job.vendor_total}"


def _owe_callback(ctx: Context, conn: Connection, job: Job) -> None:
    if job.notification_url is None:
        return
    deliveries.insert(
        conn,
        job_id=job.id,
        organisation_id=job.organisation_id,
        instance_id=job.instance_id,
        run_number=job.run_number,
        event_id=event_id(job.id, job.run_number),
        url=job.notification_url,
        body=msgspec.json.encode(status_document(job, ctx.now())),
    )
    notices.notify(conn)


def abort_run(ctx: Context, claim: Claim, reason: StopReason, detail: str) -> None:
    """End the run before anything of it was done in this leg; a cancel that was asked meanwhile wins."""
    try:
        with ctx.db.transaction() as conn:
            job = jobs.get_for_worker(conn, claim.job_id, lock=True)
            if not slices.is_held_by(conn, claim.slice_id, claim.number):
                return
            ended = finish_run(ctx, conn, job.id, JobStatus.ABORTED, reason, detail)
            tell_end(ended, reason, detail=detail)
    except TransientError as error:
        log.warning("leg.given_up", reason=error.message)
