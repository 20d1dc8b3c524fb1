"""Deliver a callback: claim it, prepare, send, judge, record. Any number of workers may be told of the same one."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

import structlog

from app.callbacks.attempt import prepare, send
from app.db import deliveries
from app.db.deliveries import Claimed
from app.domain.deliveries import Answer, DeliveryStatus, Outcome, judge, worker_lost
from app.domain.signing import SigningKey
from app.errors import ConfigError, LostClaimError
from app.secrets import SIGNATURE_KEY
from app.services.context import Context

LEASE_S = 60.0
_log = structlog.get_logger()


def deliver(
    ctx: Context, delivery_id: int, worker_id: int | None, *, dice: Callable[[], float] = random.random
) -> Outcome | None:
    """Make one attempt of a due delivery and return what it came to.

    None where there was nothing to do: it is not due, somebody else holds it, or took it over meanwhile. A crash after
    the POST leaves the lease to run out, and the receiver gets the same id again. Raises DatabaseUnavailableError.
    """
    with ctx.db.transaction() as conn:
        claimed = deliveries.claim(conn, delivery_id, worker_id, lease_s=_lease_s(ctx))
    if claimed is None:
        return None
    started_at = ctx.now()
    outcome, duration_s = _attempt(ctx, claimed, started_at, dice)
    try:
        with ctx.db.transaction() as conn:
            deliveries.record(conn, claimed, outcome, started_at=started_at, duration_s=duration_s)
    except LostClaimError:
        _log.warning("callback.claim_lost", event_id=claimed.event_id, claim=claimed.claim)
        return None
    _tell(claimed, outcome, duration_s)
    return outcome


def _attempt(ctx: Context, claimed: Claimed, started_at: datetime, dice: Callable[[], float]) -> tuple[Outcome, float]:
    if claimed.lost_count >= ctx.settings.crash_tries:
        return worker_lost(claimed.lost_count), 0.0
    answer = _post(ctx, claimed, started_at)
    outcome = judge(
        answer,
        failed_count=claimed.attempt_count,
        schedule_s=ctx.settings.callback_schedule_s,
        now=ctx.now(),
        dice=dice(),
    )
    return outcome, answer.duration_s


def _post(ctx: Context, claimed: Claimed, sent_at: datetime) -> Answer:
    try:
        keys = _signing_keys(ctx, claimed)
    except ConfigError as error:
        return Answer(0.0, error=f"Not sent, since it cannot be signed: {error.message}")
    request = prepare(
        event_id=claimed.event_id,
        url=claimed.url,
        body=claimed.body,
        keys=keys,
        sent_at=sent_at,
        timeout_s=ctx.settings.callback_timeout_s,
    )
    return send(ctx.http, request)


def _signing_keys(ctx: Context, claimed: Claimed) -> list[SigningKey]:
    """Read afresh with each claim: a changed key holds from the next attempt on; a deleted instance has its key yet."""
    secrets = ctx.vault.open(claimed.organisation_id, claimed.instance_id, claimed.sealed_secrets)
    text = secrets.get(SIGNATURE_KEY)
    return [SigningKey.parse(str(text))] if text else []


def _lease_s(ctx: Context) -> float:
    return max(LEASE_S, 2.0 * ctx.settings.callback_timeout_s + 20.0)


def _tell(claimed: Claimed, outcome: Outcome, duration_s: float) -> None:
    level = _log.error if outcome.status is DeliveryStatus.FAILED else _log.info
    level(
        "callback.attempt",
        event_id=claimed.event_id,
        number=claimed.claim,
        status=outcome.status.value,
        http_status=outcome.http_status,
        error=outcome.error,
        wait_s=outcome.wait_s,
        duration_s=round(duration_s, 3),
    )
