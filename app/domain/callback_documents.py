"""How callbacks are told on the wire: as a resource, and in one line of their job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from app.domain.deliveries import DeliveryStatus
from app.domain.masking import MASK


class AttemptFacts(Protocol):
    """What is told of an attempt; app.db.delivery_listing.Attempt has it."""

    @property
    def number(self) -> int: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def duration_ms(self) -> int: ...
    @property
    def http_status(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...


class DeliveryFacts(Protocol):
    """What is told of a delivery; app.db.delivery_listing.ListedDelivery has it."""

    @property
    def event_id(self) -> str: ...
    @property
    def job_id(self) -> int: ...
    @property
    def run_number(self) -> int: ...
    @property
    def instance_id(self) -> int: ...
    @property
    def status(self) -> DeliveryStatus: ...
    @property
    def url(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def next_attempt_at(self) -> datetime | None: ...
    @property
    def is_under_way(self) -> bool: ...
    @property
    def resend_count(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    @property
    def paused_until(self) -> datetime | None: ...
    @property
    def receiver_failure_count(self) -> int: ...
    @property
    def attempts(self) -> Sequence[AttemptFacts]: ...


def delivery_document(delivery: DeliveryFacts) -> dict[str, Any]:
    """One item of the listings of callbacks."""
    return {
        **_standing(delivery),
        "jobId": delivery.job_id,
        "instanceId": delivery.instance_id,
        "runNumber": delivery.run_number,
        "url": masked_url(delivery.url),
        "host": delivery.host,
        "createdDate": _iso(delivery.created_at),
        "completedDate": None if delivery.finished_at is None else _iso(delivery.finished_at),
        "resendCount": delivery.resend_count,
        "attempts": [_attempt(each) for each in delivery.attempts],
    }


def callback_summary(delivery: DeliveryFacts) -> dict[str, Any]:
    """What the status of a job tells of the callback of its last run."""
    return _standing(delivery)


def masked_url(url: str) -> str:
    """The URL without what may be a secret in it: user, password, the values of its query, the fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user, at, place = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{MASK if user else ''}{at}{place}{parts.path}"
    return f"{shown}{_masked_query(parts)}"


def _masked_query(parts: SplitResult) -> str:
    if not parts.query:
        return ""
    named = [pair.partition("=")[:2] for pair in parts.query.split("&")]
    return "?" + "&".join(f"{name}={MASK}" if sign else MASK for name, sign in named)


def _standing(delivery: DeliveryFacts) -> dict[str, Any]:
    next_at = delivery.next_attempt_at
    if next_at is not None and delivery.paused_until is not None:
        next_at = max(next_at, delivery.paused_until)
    return {
        "eventId": delivery.event_id,
        "state": delivery.status.value,
        "attemptCount": len(delivery.attempts),
        "nextAttempt": None if next_at is None else _iso(next_at),
        "waitingFor": _reason(delivery),
        "lastError": delivery.error,
    }


def _reason(delivery: DeliveryFacts) -> str | None:
    """Why nothing happens although it is owed; None where nothing has to be explained."""
    if delivery.is_under_way:
        return "An attempt is under way."
    if delivery.paused_until is None:
        return None
    return (
        f"Put off: the receiver {delivery.host} failed {delivery.receiver_failure_count} times in a row and is asked"
        f" again at {_iso(delivery.paused_until)}, by one callback at a time. No attempt of the schedule is spent."
    )


def _attempt(attempt: AttemptFacts) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "startedAt": _iso(attempt.started_at),
        "durationMs": attempt.duration_ms,
        "httpStatus": attempt.http_status,
        "error": attempt.error,
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
