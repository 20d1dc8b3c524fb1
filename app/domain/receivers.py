"""What an attempt tells of the receiver's host, and how gently a host is asked that does not answer. Pure.

A host is sound (it answered last time), unknown (it never answered yet) or failing. A failing one is asked by one
attempt at a time, and after `break_after` failures in a row only after pauses that double.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.deliveries import JITTER, Answer

_TOO_MANY = 429
_SERVER_ERROR = 500
_GRACE_S = 86400.0


@dataclass(frozen=True)
class Limits:
    """How many attempts a host gets. Times in seconds."""

    host_calls: int = 8
    """Attempts under way at once at a sound host; at any other it is one."""
    break_after: int = 5
    pause_s: float = 5.0
    pause_cap_s: float = 600.0

    def cap_of_unsound(self, slots: int) -> int:
        """How many of all slots may wait for hosts that are not sound; the others are left for those that are."""
        return max(1, slots // 2)

    def cap_of_failing(self, slots: int) -> int:
        """How many of these may wait for failing ones, so that a new receiver is not behind them."""
        return max(1, slots // 4)


DEFAULT = Limits()


def is_answering(answer: Answer) -> bool | None:
    """False where the host did not answer, or with 429 or 5xx; None where it was not asked.

    Any other refusal is a word of that one URL: other receivers may live at the same host.
    """
    if not answer.is_sent:
        return None
    return answer.http_status is not None and answer.http_status < _SERVER_ERROR and answer.http_status != _TOO_MANY


def given_up_after_s(schedule_s: Sequence[float]) -> float:
    """The age at which a callback fails that is only put off: its schedule would have been over a day ago."""
    return sum(schedule_s) * (1.0 + JITTER) + _GRACE_S
