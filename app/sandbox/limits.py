"""Rate limits of an account, and how a vendor tells when to come back."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from math import ceil
from typing import Final

from app.sandbox.vocabulary import Accepts, BadDocumentError, choice, number, read, setting, whole

RESET_HEADER: Final = "X-RateLimit-Reset"
Headers = tuple[tuple[str, str], ...]

# How a refusal says "again in wait_s seconds" at the vendor's Unix time now_s: vendors agree on nothing.
_TELLS: Final[Mapping[str, Callable[[float, float], Headers]]] = {
    "nothing": lambda _wait_s, _now_s: (),
    "retry_after": lambda wait_s, _now_s: (("Retry-After", str(ceil(wait_s))),),
    "retry_after_date": lambda wait_s, now_s: (("Retry-After", formatdate(ceil(now_s + wait_s), usegmt=True)),),
    "reset_seconds": lambda wait_s, _now_s: ((RESET_HEADER, str(ceil(wait_s))),),
    "reset_epoch": lambda wait_s, now_s: ((RESET_HEADER, str(ceil(now_s + wait_s))),),
    "reset_epoch_ms": lambda wait_s, now_s: ((RESET_HEADER, str(ceil((now_s + wait_s) * 1000))),),
    "reset_iso": lambda wait_s, now_s: ((RESET_HEADER, f"{datetime.fromtimestamp(ceil(now_s + wait_s), UTC):%FT%TZ}"),),
}


def tell() -> Accepts:
    return choice(*_TELLS)


def wait_header(form: str, wait_s: float, now_s: float) -> Headers:
    """The header that asks for ``wait_s`` seconds of patience. ``now_s``: Unix time of the vendor."""
    return _TELLS[form](wait_s, now_s)


@dataclass(frozen=True)
class Limit:
    """At most ``calls`` accepted calls in ``per_s`` seconds; refused calls do not count."""

    calls: int = setting(100, whole(0, 1_000_000), "calls accepted per window")
    per_s: float = setting(1.0, number(0.001, 10_000_000), "length of the window; 86400 for a daily quota")
    window: str = setting("sliding", choice("sliding", "fixed"), "fixed: starts with the first call, then all at once")
    status: int = setting(429, whole(400, 599), "status of a refusal")
    tell: str = setting("retry_after", tell(), "how a refusal says when to come back")


def read_limits(document: object) -> tuple[Limit, ...]:
    """Limits from JSON. Raises BadDocumentError."""
    if not isinstance(document, list | tuple):
        raise BadDocumentError("limits", document, "an array of limits")
    return tuple(read(Limit, one, f"limits[{i}]") for i, one in enumerate(document))


class Meter:
    """Counts the calls of one limit. Not safe for threads: the account holds its lock."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._accepted_at: deque[float] = deque()
        self._opened_at = float("-inf")
        self._in_window = 0

    def wait_s(self, now: float) -> float:
        """Seconds until a call would be accepted; 0 when it would be now. ``now`` is monotonic."""
        limit = self.limit
        if limit.window == "fixed":
            if now - self._opened_at >= limit.per_s:
                self._opened_at, self._in_window = now, 0
            full = self._in_window >= limit.calls
        else:
            while self._accepted_at and now - self._accepted_at[0] >= limit.per_s:
                self._accepted_at.popleft()
            full = len(self._accepted_at) >= limit.calls
        return max(self.resets_in_s(now), 0.001) if full else 0.0

    def resets_in_s(self, now: float) -> float:
        """Seconds until the window ends, or until its oldest call leaves it."""
        oldest_at = self._accepted_at[0] if self._accepted_at else now
        opened_at = self._opened_at if self.limit.window == "fixed" else oldest_at
        return max(0.0, opened_at + self.limit.per_s - now)

    def accept(self, now: float) -> None:
        if self.limit.window == "fixed":
            self._in_window += 1
        else:
            self._accepted_at.append(now)

    @property
    def remaining(self) -> int:
        used = self._in_window if self.limit.window == "fixed" else len(self._accepted_at)
        return max(0, self.limit.calls - used)


class Meters:
    """All limits of one account: a call is accepted by all or counted by none."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._meters = [Meter(limit) for limit in limits]

    def refusal(self) -> tuple[Limit, float] | None:
        """The limit that refuses a call now, with the seconds to wait; None when accepted (and counted)."""
        now = time.monotonic()
        waits = [(meter.wait_s(now), meter) for meter in self._meters]
        longest = max(waits, key=lambda one: one[0], default=None)
        if longest and longest[0] > 0:
            return longest[1].limit, longest[0]
        for meter in self._meters:
            meter.accept(now)
        return None

    def headers(self, clock_skew_s: float | None) -> Headers:
        """X-RateLimit-Limit and -Remaining of the limit nearest to its end, and its reset in the form it tells.

        ``clock_skew_s`` None leaves the reset out: a refusal has its own.
        """
        if not self._meters:
            return ()
        nearest = min(self._meters, key=lambda meter: meter.remaining)
        counts = (
            ("X-RateLimit-Limit", str(nearest.limit.calls)),
            ("X-RateLimit-Remaining", str(nearest.remaining)),
        )
        if clock_skew_s is None or not nearest.limit.tell.startswith("reset"):
            return counts
        return counts + wait_header(
            nearest.limit.tell, nearest.resets_in_s(time.monotonic()), time.time() + clock_skew_s
        )
