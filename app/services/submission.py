"""What every call that makes a job shares: its answer, its Idempotency-Key, its callback's address."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.callbacks.urls import Resolver, check_url
from app.db import idempotency, notices
from app.db.pool import Connection
from app.domain.jobs import JobStatus
from app.domain.status_document import submission_document
from app.errors import DatabaseUnavailableError, InvalidInputError
from app.services.context import Caller, Context

_HOUR_S = 3600


@dataclass(frozen=True)
class Submission:
    """What a submission answers (reference 1)."""

    job_id: int
    instance_id: int
    status: JobStatus = JobStatus.CREATED
    notice: str | None = None
    """What was done otherwise than asked, for the header Elements-Error."""
    is_repeated: bool = False
    """An earlier request with the same Idempotency-Key made it."""


def submit_once(
    conn: Connection, caller: Caller, key: str | None, request_digest: str, store: Callable[[], Submission]
) -> Submission:
    """What `store` makes; with an Idempotency-Key, in a transaction, what the same request made before.

    Raises ConflictError while that one is under way, IdempotencyMismatchError for a key of another request.
    """
    if key is None:
        return store()
    claimed = idempotency.claim(conn, caller.organisation_id, key, request_digest)
    if isinstance(claimed, idempotency.Existing):
        return as_before(claimed)
    submission = store()
    answer = submission_document(submission.instance_id, submission.job_id, submission.status)
    idempotency.complete(conn, caller.organisation_id, key, answer)
    return submission


def as_before(known: idempotency.Existing) -> Submission:
    """What an earlier request with the same key made."""
    return Submission(int(known.response["id"]), int(known.response["instanceId"]), is_repeated=True)


def wake_sweepers(ctx: Context) -> None:
    """The job stands whatever becomes of this: they look every few seconds anyway."""
    with contextlib.suppress(DatabaseUnavailableError), ctx.db.connection() as conn:
        notices.wake_sweepers(conn)


def check_callback(ctx: Context, url: str | None, name: str) -> None:
    """Refuse a callback URL that is not to be called. Raises InvalidInputError, AddressRefusedError naming `name`."""
    if url is None:
        return
    # Behind an egress proxy names are resolved there, and perhaps nowhere else.
    resolve: Resolver | None = (lambda _host, _port: []) if ctx.settings.proxy_url else None
    check_url(ctx.addresses, url, field=name, resolve=resolve)


def check_retention(ctx: Context, hours: int | None, field: str) -> None:
    """Refuse a job whose files would be kept for longer than the setting allows. Raises InvalidInputError."""
    most = int(ctx.settings.retention_max_s // _HOUR_S)
    if hours is not None and hours > most:
        raise InvalidInputError(
            f"retentionHours {hours} is more than HAULAGE_RETENTION_MAX_S allows; 1 to {most} is accepted.", field=field
        )


def ignored_notice(names: Sequence[str]) -> str:
    """That these keys of a submission mean nothing to us."""
    return f"Ignored: {', '.join(name[:100] for name in names[:20])}."
