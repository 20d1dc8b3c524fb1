"""Accept a download job: everything is checked first, then stored in one transaction. Needs no broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app.connectors.children import find_child, find_listed
from app.connectors.model import ObjectSpec
from app.connectors.objects import check_query, planned_page_size
from app.db import connectors, jobs
from app.db.connectors import Pin
from app.db.jobs import NewJob
from app.db.pool import Connection
from app.domain.criteria import DownloadCriteria, Engine
from app.domain.ids import scatter
from app.errors import ConflictError, InvalidInputError, UnauthorizedError
from app.services.context import Caller, Context
from app.services.continuation import GoingOn, go_on, take_over
from app.services.destinations import check_target
from app.services.elements import pinned_connector
from app.services.pushing import pushed_of
from app.services.querying import with_date_field
from app.services.selecting import selection_of
from app.services.slicing import asked_of_vendor, spans_of
from app.services.submission import (
    Submission,
    check_callback,
    check_retention,
    ignored_notice,
    submit_once,
    wake_sweepers,
)


def submit_download(
    ctx: Context,
    caller: Caller,
    criteria: DownloadCriteria,
    *,
    engine: Engine = "V3",
    idempotency_key: str | None = None,
    request_digest: str = "",
    callback_name: str = "notificationUrl",
) -> Submission:
    """Store a job in state CREATED with its first run and slice, and wake the sweepers.

    With an Idempotency-Key the same request gives the same job for 24 h. `callback_name`: what errors call the callback
    URL. Raises InvalidInputError, ConflictError, NotFoundError for a job to go on from that there is not,
    IdempotencyMismatchError, AddressRefusedError; then nothing is stored.
    """
    if caller.instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    check_callback(ctx, criteria.notification_url, callback_name)
    # Only what must stand or fall with the key's row needs a transaction: the job is one statement.
    with ctx.db.connection() if idempotency_key is None else ctx.db.transaction() as conn:
        submission = submit_once(
            conn, caller, idempotency_key, request_digest, lambda: store_download(ctx, conn, caller, criteria, engine)
        )
    wake_sweepers(ctx)
    return submission


def store_download(
    ctx: Context,
    conn: Connection,
    caller: Caller,
    criteria: DownloadCriteria,
    engine: Engine = "V3",
    *,
    is_anew: bool = False,
) -> Submission:
    """The same in the caller's transaction; the callback's URL is not looked at. Raises as `submit_download`.

    `is_anew`: see `continuation.go_on`.
    """
    pin = _pin_of(conn, caller)
    if criteria.continue_from_job_id is None:
        return _insert(ctx, conn, caller, criteria, engine, pin)
    with conn.transaction():
        going_on = go_on(ctx, conn, caller, criteria, pin, is_anew=is_anew)
        if going_on.revision_id != pin.revision_id:
            revision = connectors.get_revision(conn, going_on.revision_id)
            pin = replace(pin, revision_id=revision.id, digest=revision.digest)
        submission = _insert(ctx, conn, caller, going_on.criteria, engine, pin, going_on)
        take_over(conn, submission.job_id, going_on)
        return submission


def check_download(ctx: Context, conn: Connection, caller: Caller, criteria: DownloadCriteria) -> ObjectSpec:
    """Refuse what `store_download` would; nothing is stored. Returns the object. Raises as `submit_download`."""
    return _planned(ctx, conn, caller, criteria, "V3", _pin_of(conn, caller))[0]


def _pin_of(conn: Connection, caller: Caller) -> Pin:
    assert caller.instance_id is not None
    pin = connectors.find_pin(conn, caller.organisation_id, caller.instance_id)
    if pin.is_disabled:
        raise ConflictError("The instance is disabled; enable it to submit jobs.")
    return pin


def _insert(
    ctx: Context,
    conn: Connection,
    caller: Caller,
    criteria: DownloadCriteria,
    engine: Engine,
    pin: Pin,
    going_on: GoingOn | None = None,
) -> Submission:
    """All changes are in the last statement, so that it needs no transaction around it."""
    wanted, criteria, new = _planned(ctx, conn, caller, criteria, engine, pin)
    if going_on is not None and going_on.position is not None:
        # A position is one in the list that was asked for, whichever engine asked.
        new = replace(new, pushed=going_on.source.pushed)
    jobs.insert(conn, new, spans_of(wanted.list, criteria, most=ctx.settings.slices, now=ctx.now()))
    return Submission(new.id, new.instance_id, notice=" ".join(_notices(criteria, new.page_size)) or None)


def _planned(
    ctx: Context, conn: Connection, caller: Caller, criteria: DownloadCriteria, engine: Engine, pin: Pin
) -> tuple[ObjectSpec, DownloadCriteria, NewJob]:
    """The object, what is asked of it, and the job: checked in every respect."""
    check_retention(ctx, criteria.retention_hours, "/retentionHours")
    if criteria.child is not None and criteria.api_limit == 1:
        raise InvalidInputError("apiLimit 1 is too small: a page and a `child` take 2 calls.", field="/apiLimit")
    connector = pinned_connector(conn, pin.revision_id, pin.digest)
    wanted = find_listed(connector, criteria.object_name)
    if not wanted.is_downloadable:
        raise InvalidInputError(
            f"Download of {criteria.object_name!r} is switched off by the connector; accepted: its other objects.",
            field="objectName",
        )
    criteria = with_date_field(wanted, criteria)
    selection_of(criteria)  # what cannot be read is refused now
    check_query(wanted, criteria.query)
    if criteria.child is not None:
        find_child(connector, wanted, criteria.child.object_name, criteria.child.key_field)
    check_target(ctx, conn, caller.organisation_id, criteria)
    return wanted, criteria, _new_job(ctx, caller, wanted, criteria, engine, pin)


def _new_job(
    ctx: Context, caller: Caller, wanted: ObjectSpec, criteria: DownloadCriteria, engine: Engine, pin: Pin
) -> NewJob:
    assert caller.instance_id is not None
    asked = asked_of_vendor(wanted.list, criteria)
    return NewJob(
        id=scatter(ctx.settings.id_key, "job", pin.job_number),
        organisation_id=caller.organisation_id,
        user_id=caller.user_id,
        instance_id=caller.instance_id,
        connector_id=pin.connector_id,
        connector_revision_id=pin.revision_id,
        object_name=criteria.object_name,
        file_format=criteria.file_format,
        criteria=criteria.echo(),
        notification_url=criteria.notification_url or pin.callback_url,
        api_limit=criteria.api_limit,
        record_limit=criteria.limit,
        page_size=planned_page_size(wanted, criteria.page_size, default=ctx.settings.page_size),
        engine=engine,
        pushed=pushed_of(wanted, criteria, engine, asked=asked),
        asked_of_vendor=asked,
        resume=wanted.list.page.resume.value,
    )


def _notices(criteria: DownloadCriteria, page_size: int) -> Iterator[str]:
    if criteria.page_size is not None and criteria.page_size > page_size:
        yield f"pageSize {criteria.page_size} is over the vendor's maximum; {page_size} is used."
    if criteria.ignored:
        yield ignored_notice(criteria.ignored)
