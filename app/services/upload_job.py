"""The job that a stored file becomes: what it may ask of its object, and its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.connectors.model import Connector
from app.connectors.objects import find_object
from app.connectors.uploads import check_upload
from app.db import connectors, jobs, uploads
from app.db.connectors import Pin
from app.db.jobs import NewJob
from app.db.pool import Connection
from app.db.uploads import Upload
from app.domain.ids import scatter
from app.domain.jobs import FileFormat
from app.domain.request_digest import digest_of
from app.domain.uploads import UploadAction, UploadOptions
from app.errors import ConflictError
from app.services.context import Caller, Context
from app.services.elements import pinned_connector
from app.services.submission import Submission, ignored_notice

_FORMATS = {"csv": FileFormat.CSV, "json": FileFormat.JSON}


@dataclass(frozen=True)
class Target:
    """Where the rows of a new upload go, and what it pins."""

    instance_id: int
    pin: Pin
    connector: Connector


def find_target(conn: Connection, organisation_id: int, instance_id: int, object_name: str) -> Target:
    """Raises NotFoundError, ConflictError for a disabled instance, InvalidInputError where nothing can be uploaded."""
    pin = connectors.find_pin(conn, organisation_id, instance_id)
    if pin.is_disabled:
        raise ConflictError("The instance is disabled; enable it to submit jobs.")
    connector = pinned_connector(conn, pin.revision_id, pin.digest)
    if not find_object(connector, object_name).writes.actions:
        check_upload(connector, object_name, UploadAction.CREATE)  # raises, and says why
    return Target(instance_id, pin, connector)


def check_options(target: Target, options: UploadOptions) -> None:
    """Refuse what the connector cannot do with the object's records. Raises InvalidInputError."""
    check_upload(target.connector, options.object_name, options.action, options.identifier, options.path)


def request_digest(instance_id: int, options: UploadOptions, file_digest: str) -> str:
    """What makes two submissions the same one: instance, options and the file's bytes, not how it was sent."""
    return digest_of(instance_id, options.echo(), file_digest)


def store_job(
    ctx: Context, conn: Connection, caller: Caller, target: Target, options: UploadOptions, upload: Upload
) -> Submission:
    """Store a job in state CREATED with its run, slice and `upload` (whose job_id is set here), in the caller's
    transaction.
    """
    new = NewJob(
        id=scatter(ctx.settings.id_key, "job", target.pin.job_number),
        organisation_id=caller.organisation_id,
        user_id=caller.user_id,
        instance_id=target.instance_id,
        connector_id=target.pin.connector_id,
        connector_revision_id=target.pin.revision_id,
        object_name=options.object_name,
        file_format=_FORMATS[options.format],
        criteria=options.echo() | ({"retryOfJobId": upload.source_job_id} if upload.source_job_id else {}),
        notification_url=options.notification_url or target.pin.callback_url,
        api_limit=None,
        record_limit=None,
        page_size=options.batch_size or 1,
        engine="V2",
        direction="UPLOAD",
    )
    jobs.insert(conn, new)
    uploads.insert(conn, replace(upload, job_id=new.id))
    return Submission(new.id, target.instance_id, notice=" ".join(_notices(options)) or None)


def _notices(options: UploadOptions) -> Iterator[str]:
    if options.ignored:
        yield ignored_notice(options.ignored)
