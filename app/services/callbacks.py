"""Callbacks as their tenant sees them: list, look at one, send again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.db import delivery_resends, jobs
from app.db.delivery_listing import DeliveryFilter, ListedDelivery, find_one, find_page
from app.db.pool import Connection
from app.domain.callback_documents import callback_summary
from app.domain.deliveries import DeliveryStatus, event_id
from app.errors import ConflictError, InvalidInputError, NotFoundError, UnauthorizedError
from app.services.context import Caller, Context

MOST_RESENT = 1000
"""By one call; the answer says whether there are more."""


@dataclass(frozen=True)
class CallbackPage:
    """Callbacks, newest first. `next_after`: job and run of the last one where there are more, else None."""

    callbacks: list[ListedDelivery]
    next_after: tuple[int, int] | None


@dataclass(frozen=True)
class Resent:
    """How many callbacks are owed again, and whether as many more were left."""

    count: int
    has_more: bool


def list_callbacks(
    ctx: Context, caller: Caller, *, after: tuple[int, int] | None, page_size: int, narrow: DeliveryFilter
) -> CallbackPage:
    """The page of the instance's callbacks that follows the one of job and run `after` (None: the newest).

    Raises NotFoundError for a job that the instance has not, InvalidInputError for a position that is none any more.
    """
    instance_id = _instance(caller)
    with ctx.db.connection() as conn:
        if narrow.job_id is not None:
            jobs.get(conn, caller.organisation_id, instance_id, narrow.job_id)
        before = _number(conn, caller, after) if after is not None else None
        found = find_page(conn, caller.organisation_id, instance_id, before, page_size + 1, narrow)
    page = found[:page_size]
    return CallbackPage(page, (page[-1].job_id, page[-1].run_number) if len(found) > page_size else None)


def resend(ctx: Context, caller: Caller, job_id: int, event: str) -> ListedDelivery:
    """Owe one callback again: same id, same bytes, the schedule from its beginning.

    Raises NotFoundError, also for another job's event; ConflictError while it is owed anyway.
    """
    with ctx.db.transaction() as conn:
        is_begun = delivery_resends.resend(conn, caller.organisation_id, _instance(caller), event, job_id)
        found = _find(conn, caller, event)
        if found is None or found.job_id != job_id:
            raise NotFoundError(f"Job {job_id} has no callback {event[:100]!r}.")
        if not is_begun:
            doing = callback_summary(found)
            when = doing["waitingFor"] or f"Its next attempt is at {doing['nextAttempt']}."
            raise ConflictError(f"Callback {event} is PENDING: it is being sent already. {when}")
    return found


def resend_ended(ctx: Context, caller: Caller, narrow: DeliveryFilter) -> Resent:
    """Owe again those that failed (or, by the filter's status, were stopped), the oldest first, 1,000 a call.

    Raises InvalidInputError for another status, NotFoundError for a job that the instance has not.
    """
    narrow = replace(narrow, status=narrow.status or DeliveryStatus.FAILED)
    if narrow.status not in {DeliveryStatus.FAILED, DeliveryStatus.STOPPED}:
        raise InvalidInputError(
            f"state {narrow.status} is not accepted: FAILED or STOPPED; others are sent again one by one.",
            field="state",
        )
    instance_id = _instance(caller)
    with ctx.db.transaction() as conn:
        if narrow.job_id is not None:
            jobs.get(conn, caller.organisation_id, instance_id, narrow.job_id)
        count = delivery_resends.resend_some(conn, caller.organisation_id, instance_id, narrow, MOST_RESENT)
        left = find_page(conn, caller.organisation_id, instance_id, None, 1, narrow)
    return Resent(count, bool(left))


def _find(conn: Connection, caller: Caller, event: str) -> ListedDelivery | None:
    return find_one(conn, caller.organisation_id, _instance(caller), event)


def _number(conn: Connection, caller: Caller, position: tuple[int, int]) -> int:
    found = _find(conn, caller, event_id(*position))
    if found is None:
        raise InvalidInputError("nextPage is too old: begin at the first page.", field="nextPage")
    return found.number


def _instance(caller: Caller) -> int:
    if caller.instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    return caller.instance_id
