"""What a callback attempt means: delivered, try again then, or stop. Pure: clock and dice are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

LONGEST_RETRY_AFTER_S = 86400.0
"""A receiver that asks for more is tried again after a day, the longest wait of the schedule."""

JITTER = 0.2
"""Up to a fifth is added to each wait, so that callbacks which failed together do not come back together."""

_GONE = 410
_MAY_SAY_WHEN = frozenset({429, 502, 503, 504})


class DeliveryStatus(StrEnum):
    """States of a delivery as stored."""

    PENDING = "PENDING"
    """Owed: an attempt is due now or later."""
    DELIVERED = "DELIVERED"
    """The receiver answered 2xx."""
    STOPPED = "STOPPED"
    """The receiver answered 410: it wants no more of it."""
    FAILED = "FAILED"
    """Every attempt of the schedule failed. An operator should hear of it."""


@dataclass(frozen=True)
class Answer:
    """What one POST came to. Exactly one of `http_status` and `error` is set.

    `error` is a sentence for a person, without anything of the URL but its host; `retry_after` is the header as sent.
    """

    duration_s: float
    http_status: int | None = None
    retry_after: str | None = None
    error: str | None = None
    is_sent: bool = True
    """False where the receiver was not even asked."""


@dataclass(frozen=True)
class Outcome:
    """What an attempt makes of its delivery. `wait_s` is set exactly while the status is PENDING."""

    status: DeliveryStatus
    http_status: int | None = None
    error: str | None = None
    wait_s: float | None = None


def event_id(job_id: int, run_number: int) -> str:
    """The receiver's idempotency key: the same on every attempt, one for each run of a job."""
    return f"msg_{job_id}_{run_number}"


def judge(answer: Answer, *, failed_count: int, schedule_s: Sequence[float], now: datetime, dice: float) -> Outcome:
    """Decide what follows from `answer`, before which `failed_count` attempts have failed. `dice` is in [0, 1)."""
    status, error = answer.http_status, _complaint(answer)
    if error is None:
        return Outcome(DeliveryStatus.DELIVERED, status)
    if status == _GONE:
        return Outcome(DeliveryStatus.STOPPED, status, error)
    if failed_count + 1 >= len(schedule_s):
        return Outcome(DeliveryStatus.FAILED, status, error)
    asked_s = retry_after_s(answer.retry_after, now) if status in _MAY_SAY_WHEN else None
    wait_s = max(schedule_s[failed_count + 1], asked_s or 0.0)
    return Outcome(DeliveryStatus.PENDING, status, error, wait_s * (1.0 + JITTER * dice))


def worker_lost(claims: int) -> Outcome:
    """The outcome of a delivery during which workers died `claims` times: it may be what kills them."""
    return Outcome(DeliveryStatus.FAILED, error=f"The worker died in {claims} attempts; no further one is made.")


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3: seconds or a date), in 0..a day.

    None for a header that is missing or makes no sense.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), LONGEST_RETRY_AFTER_S))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a number in it may have any length
        return None
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _complaint(answer: Answer) -> str | None:
    """What was wrong, for a person; None for a success."""
    status = answer.http_status
    if status is None:
        return answer.error or "The receiver did not answer."
    match status // 100:
        case 2:
            return None
        case 3:
            return f"The receiver answered {status}: redirects are not followed, give the final URL as notificationUrl."
        case _ if status == _GONE:
            return "The receiver answered 410 Gone: no further attempt is made."
        case _:
            return f"The receiver answered {status}; 2xx was expected."
