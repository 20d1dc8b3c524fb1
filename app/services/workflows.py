"""Workflows: a download from one instance whose result is uploaded into another one.

The upload is owed by a row that stands with the download's job. Once that has COMPLETED, one sweeper claims the row,
copies the stored result to an input of its own, and makes the upload's job: job, input and the row's end are one
transaction, fenced by the claim. Whatever dies in between leaves an intake behind, which is removed as any other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from app.db import feeds
from app.db.feeds import Feed
from app.db.pool import Connection
from app.domain.criteria import DownloadCriteria
from app.domain.request_digest import digest_of
from app.domain.uploads import UploadOptions
from app.errors import (
    CommitInDoubtError,
    GoneError,
    HaulageError,
    InvalidInputError,
    LostClaimError,
    NotFoundError,
)
from app.services.context import Caller, Context
from app.services.intake import Intake, take_over
from app.services.results import Result, open_result
from app.services.submission import Submission, check_callback, check_retention, submit_once, wake_sweepers
from app.services.submit import store_download
from app.services.upload_job import check_options, find_target
from app.storage.chunks import in_blocks
from app.storage.reading import iter_plain

log = structlog.get_logger()

_BATCH = 10
_BLOCK_BYTES = 256 * 1024
_LEASE_S = 60.0
_RENEWED_S = 10.0
_PAUSE_S = 30.0
_FOR_GOOD = (GoneError, NotFoundError, InvalidInputError)
_NOTHING = "The download has no records, so nothing is uploaded."


def feed_later(conn: Connection, caller: Caller, download_job_id: int, target: dict[str, Any]) -> None:
    """Owe the upload that `target` describes ({instanceId, options}), in the transaction that made the download."""
    feeds.insert(
        conn,
        download_job_id,
        organisation_id=caller.organisation_id,
        user_id=caller.user_id,
        instance_id=target["instanceId"],
        options=target["options"],
    )


@dataclass(frozen=True)
class Target:
    """The upload that a download is to feed."""

    instance_id: int
    options: UploadOptions

    @property
    def stored(self) -> dict[str, Any]:
        """As rows keep it."""
        return {"instanceId": self.instance_id, "options": self.options.echo()}


def check_workflow(ctx: Context, caller: Caller, target: Target) -> None:
    """Refuse what no upload of it could be. Raises NotFoundError for another tenant's instance, ConflictError,
    InvalidInputError, AddressRefusedError.
    """
    check_callback(ctx, target.options.notification_url, "notificationUrl")
    check_retention(ctx, target.options.retention_hours, "/1/metaData/retentionHours")
    with ctx.db.connection() as conn:
        found = find_target(conn, caller.organisation_id, target.instance_id, target.options.object_name)
        check_options(found, target.options)


def submit_workflow(
    ctx: Context, caller: Caller, criteria: DownloadCriteria, target: Target, *, idempotency_key: str | None = None
) -> Submission:
    """Submit the download, and owe its upload. With an Idempotency-Key the same call gives the same job for 24 h.

    Raises as `submit_download` and `check_workflow`; then nothing is stored.
    """
    check_workflow(ctx, caller, target)
    check_callback(ctx, criteria.notification_url, "notificationUrl")
    digest = digest_of(caller.instance_id, "workflow", criteria.echo(), target.stored)

    def store(conn: Connection) -> Submission:
        submission = store_download(ctx, conn, caller, criteria)
        feed_later(conn, caller, submission.job_id, target.stored)
        return submission

    with ctx.db.transaction() as conn:
        submission = submit_once(conn, caller, idempotency_key, digest, lambda: store(conn))
    wake_sweepers(ctx)
    return submission


def feed_due(ctx: Context) -> int:
    """Make the uploads that are owed and can be. Returns how many. Raises DatabaseUnavailableError."""
    with ctx.db.connection() as conn:
        due = feeds.find_due(conn, _BATCH)
    return sum(_is_fed(ctx, job_id) for job_id in due)


def _is_fed(ctx: Context, download_job_id: int) -> bool:
    """One that cannot be made now does not keep the others waiting."""
    with ctx.db.connection() as conn:
        feed = feeds.claim(conn, download_job_id, lease_s=_LEASE_S)
    if feed is None:
        return False
    try:
        _make_upload(ctx, feed)
    except (LostClaimError, CommitInDoubtError) as error:  # whoever looks next sees how it stands
        log.warning("workflow.left", job=download_job_id, reason=error.message)
        return False
    except HaulageError as error:
        _tell(ctx, feed, error)
        return False
    wake_sweepers(ctx)
    return True


def _tell(ctx: Context, feed: Feed, error: HaulageError) -> None:
    log.warning("workflow.not_fed", job=feed.download_job_id, reason=error.message)
    with ctx.db.connection() as conn:
        if isinstance(error, _FOR_GOOD):
            feeds.finish(conn, feed, upload_job_id=None, note=error.message)
        else:
            feeds.put_off(conn, feed, in_s=_PAUSE_S, note=error.message)


def _make_upload(ctx: Context, feed: Feed) -> None:
    """Raises LostClaimError, CommitInDoubtError, and whatever stands against reading or uploading."""
    with ctx.db.connection() as conn:
        source = feeds.find_source(conn, feed.download_job_id)
    result = open_result(ctx, Caller(feed.organisation_id, None, source), feed.download_job_id)
    if not result.job.record_count:
        with ctx.db.connection() as conn:
            feeds.finish(conn, feed, upload_job_id=None, note=_NOTHING)
        return
    options = UploadOptions.from_echo(feed.options)
    with ctx.db.connection() as conn:
        target = find_target(conn, feed.organisation_id, feed.instance_id, options.object_name)
    intake = Intake(ctx, feed.organisation_id, target, is_digested=False)
    try:
        intake.check(options)
        intake.keep(_held(ctx, feed, in_blocks(_lines(ctx, result), _BLOCK_BYTES)))
        _store(ctx, feed, intake, options)
    except CommitInDoubtError:
        raise  # as in app.services.intake
    except BaseException:
        intake.discard()
        raise


def _lines(ctx: Context, result: Result) -> Iterator[bytes]:
    return iter_plain(ctx.store, result.segments)


def _held(ctx: Context, feed: Feed, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, while the claim is ours."""
    renewed_at = time.monotonic()
    for piece in pieces:
        if time.monotonic() - renewed_at > _RENEWED_S:
            renewed_at = time.monotonic()
            with ctx.db.connection() as conn:
                if not feeds.renew(conn, feed, lease_s=_LEASE_S):
                    raise LostClaimError("Another sweeper copies the result now.")
        yield piece


def _store(ctx: Context, feed: Feed, intake: Intake, options: UploadOptions) -> None:
    caller = Caller(feed.organisation_id, feed.user_id, feed.instance_id)
    with ctx.db.transaction() as conn:
        submission = take_over(ctx, conn, caller, feed.instance_id, intake, options)
        if not feeds.finish(conn, feed, upload_job_id=submission.job_id):
            raise LostClaimError("Another sweeper has made the upload, or makes it now.")
