"""Deliver a callback: claim it, prepare, send, judge, record. Any number of workers may be told of the same one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from app.callbacks.attempt import prepare, send
from app.db import deliveries, receivers
from app.db.deliveries import Claimed
from app.db.pool import Connection
from app.domain.deliveries import Answer, DeliveryStatus, Outcome, judge, worker_lost
from app.domain.receivers import given_up_after_s, is_answering
from app.errors import CommitInDoubtError, ConfigError, DatabaseUnavailableError, LostClaimError
from app.services.callback_settings import authenticating_headers, key_ring, limits_of
from app.services.context import Context

LEASE_S = 60.0
_AGAIN_S = 1.0
"""A restart of PostgreSQL is over by then, or takes as long as the pool waits for a connection."""
_BATCH = 1000
_log = structlog.get_logger()


def deliver(
    ctx: Context, delivery_id: int, worker_id: int | None, *, dice: Callable[[], float] = random.random
) -> Outcome | None:
    """Make one attempt of a due delivery and return what it came to.

    None where there was nothing to do: it is not due, somebody else holds it, or took it over meanwhile. A crash after
    the POST leaves the lease to run out, and the receiver gets the same id again. Raises DatabaseUnavailableError,
    CommitInDoubtError.
    """
    with ctx.db.transaction() as conn:
        claimed = deliveries.claim(conn, delivery_id, worker_id, lease_s=_lease_s(ctx), limits=limits_of(ctx))
    if claimed is None:
        return None
    started_at = ctx.now()
    answer, outcome = _attempt(ctx, claimed, started_at, dice)
    try:
        _record(ctx, claimed, answer, outcome, started_at)
    except LostClaimError:
        _log.warning("callback.claim_lost", event_id=claimed.event_id, claim=claimed.claim)
        return None
    _tell(claimed, outcome, answer.duration_s)
    return outcome


def _record(ctx: Context, claimed: Claimed, answer: Answer, outcome: Outcome, started_at: datetime) -> None:
    """Tried once more where the connection broke: what the receiver answered is known, and it need not be asked again.

    After a COMMIT in doubt that stands the claim is over. Raises LostClaimError, DatabaseUnavailableError,
    CommitInDoubtError.
    """
    try:
        _record_once(ctx, claimed, answer, outcome, started_at)
    except (DatabaseUnavailableError, CommitInDoubtError) as error:
        _log.warning("callback.record_again", event_id=claimed.event_id, reason=error.message)
        time.sleep(_AGAIN_S)
        _record_once(ctx, claimed, answer, outcome, started_at)


def _record_once(ctx: Context, claimed: Claimed, answer: Answer, outcome: Outcome, started_at: datetime) -> None:
    with ctx.db.transaction() as conn:
        deliveries.record(conn, claimed, outcome, started_at=started_at, duration_s=answer.duration_s)
        was_sound = _note(ctx, conn, claimed, answer, outcome)
        # Hosts that are not sound share their slots: whichever waits for one may be at another host.
        deliveries.wake_for_others(conn, claimed, of_any_host=not was_sound)


def give_up_put_off(ctx: Context) -> int:
    """Fail callbacks whose receiver has not answered for longer than their schedule takes. Returns how many."""
    older_than_s = given_up_after_s(ctx.settings.callback_schedule_s)
    with ctx.db.transaction() as conn:
        given_up = deliveries.give_up(conn, older_than_s=older_than_s, limit=_BATCH)
    for each in given_up:
        _log.error("callback.given_up", event_id=each.event_id, job=each.job_id, error=each.error)
    return len(given_up)


def _attempt(ctx: Context, claimed: Claimed, started_at: datetime, dice: Callable[[], float]) -> tuple[Answer, Outcome]:
    if claimed.lost_count >= ctx.settings.crash_tries:
        return Answer(0.0, is_sent=False), worker_lost(claimed.lost_count)
    answer = _post(ctx, claimed, started_at)
    outcome = judge(
        answer,
        failed_count=claimed.failed_count,
        schedule_s=ctx.settings.callback_schedule_s,
        now=ctx.now(),
        dice=dice(),
    )
    return answer, outcome


def _post(ctx: Context, claimed: Claimed, sent_at: datetime) -> Answer:
    """Settings are read afresh with each claim: a change holds from the next attempt on, also of a deleted instance."""
    try:
        secrets = ctx.vault.open(claimed.organisation_id, claimed.instance_id, claimed.sealed_secrets)
        ring = key_ring(secrets)
        more_headers = authenticating_headers(secrets, claimed.user_name)
    except ConfigError as error:
        return Answer(0.0, error=f"Not sent, since its settings cannot be read: {error.message}", is_sent=False)
    request = prepare(
        event_id=claimed.event_id,
        url=claimed.url,
        body=claimed.body,
        keys=ring.at(sent_at.timestamp()).signing_keys() if ring else [],
        sent_at=sent_at,
        timeout_s=ctx.settings.callback_timeout_s,
        more_headers=more_headers,
    )
    return send(ctx.http, request)


def _note(ctx: Context, conn: Connection, claimed: Claimed, answer: Answer, outcome: Outcome) -> bool:
    """What the attempt tells of the receiver, in the transaction that records it and so fenced by its claim.

    True where the receiver is known to be sound, and was before.
    """
    found = is_answering(answer)
    if found:
        return not receivers.note_answer(conn, claimed.organisation_id, claimed.host)
    if found is False:
        receivers.note_failure(conn, claimed.organisation_id, claimed.host, outcome.error, limits_of(ctx))
    return False


def _lease_s(ctx: Context) -> float:
    return max(LEASE_S, 2.0 * ctx.settings.callback_timeout_s + 20.0)


def _tell(claimed: Claimed, outcome: Outcome, duration_s: float) -> None:
    level = _log.error if outcome.status is DeliveryStatus.FAILED else _log.info
    level(
        "callback.attempt",
        event_id=claimed.event_id,
        job=claimed.job_id,
        number=claimed.claim,
        status=outcome.status.value,
        http_status=outcome.http_status,
        error=outcome.error,
        wait_s=outcome.wait_s,
        duration_s=round(duration_s, 3),
    )
