"""Accept a download job: everything is checked first, then stored in one transaction. Needs no broker."""

from __future__ import annotations

from dataclasses import dataclass

from app.callbacks.urls import Resolver, check_url
from app.connectors.client import check_query, find_object, planned_page_size
from app.db import connectors, idempotency, instances, jobs, runs, slices
from app.db.connectors import Revision
from app.db.instances import Instance
from app.db.jobs import NewJob
from app.db.pool import Connection
from app.db.slices import Position
from app.domain.criteria import DownloadCriteria
from app.domain.jobs import JobStatus
from app.domain.status_document import submission_document
from app.errors import ConflictError, UnauthorizedError
from app.services.context import Caller, Context
from app.services.elements import connector_of


@dataclass(frozen=True)
class Submission:
    """What a submission answers (reference 1)."""

    job_id: int
    instance_id: int
    status: JobStatus = JobStatus.CREATED


def submit_download(
    ctx: Context,
    caller: Caller,
    criteria: DownloadCriteria,
    *,
    idempotency_key: str | None = None,
    request_digest: str = "",
) -> Submission:
    """Store a job in state CREATED with its first run and slice, and wake the sweepers.

    With an Idempotency-Key the same request gives the same job for 24 h. Raises InvalidInputError, ConflictError,
    IdempotencyMismatchError, AddressRefusedError; then nothing is stored.
    """
    if caller.instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    if criteria.notification_url is not None:
        # Behind an egress proxy names are resolved there, and perhaps nowhere else.
        resolve: Resolver | None = (lambda _host, _port: []) if ctx.settings.proxy_url else None
        check_url(ctx.addresses, criteria.notification_url, field="notificationUrl", resolve=resolve)
    with ctx.db.transaction() as conn:
        if idempotency_key is not None:
            claimed = idempotency.claim(conn, caller.organisation_id, idempotency_key, request_digest)
            if isinstance(claimed, idempotency.Existing):
                return Submission(int(claimed.response["id"]), int(claimed.response["instanceId"]))
        submission = _store(ctx, conn, caller, caller.instance_id, criteria)
        if idempotency_key is not None:
            idempotency.complete(
                conn,
                caller.organisation_id,
                idempotency_key,
                submission_document(submission.instance_id, submission.job_id, submission.status),
            )
    return submission


def _store(ctx: Context, conn: Connection, caller: Caller, instance_id: int, criteria: DownloadCriteria) -> Submission:
    instance = instances.get(conn, caller.organisation_id, instance_id)
    if instance.disabled_at is not None:
        raise ConflictError("The instance is disabled; enable it to submit jobs.")
    revision = connectors.get_revision(conn, instance.revision_id)
    wanted = find_object(connector_of(revision.id, revision.digest, revision.document), criteria.object_name)
    check_query(wanted, criteria.query)
    page_size = planned_page_size(wanted, criteria.page_size, default=ctx.settings.page_size)
    job_id = jobs.insert(conn, _new_job(caller, instance, revision, criteria), id_key=ctx.settings.id_key)
    runs.insert(conn, job_id, 1, api_limit=criteria.api_limit, record_limit=criteria.limit)
    slices.insert(
        conn,
        job_id,
        1,
        organisation_id=caller.organisation_id,
        instance_id=instance.id,
        position=Position(None, page_size, 0, exhausted=False),
    )
    return Submission(job_id, instance.id)


def _new_job(caller: Caller, instance: Instance, revision: Revision, criteria: DownloadCriteria) -> NewJob:
    return NewJob(
        organisation_id=caller.organisation_id,
        user_id=caller.user_id,
        instance_id=instance.id,
        connector_id=instance.connector_id,
        connector_revision_id=revision.id,
        object_name=criteria.object_name,
        file_format=criteria.file_format,
        criteria=criteria.echo(),
        notification_url=criteria.notification_url,
    )
