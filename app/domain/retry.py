"""When to try again. Pure: the clock and the dice are given."""

from __future__ import annotations

import random
from dataclasses import dataclass

PATIENCE_S = 2.0
"""A task may wait this long by itself; a longer wait closes the leg (design 2.4)."""

LONGEST_RETRY_AFTER_S = 24 * 3600.0
"""A vendor that asks for more is asked again after a day: its clock or its header is wrong."""


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter backoff: the n-th wait is uniform in [0, min(cap, base * 2^(n-1))]."""

    tries: int = 15
    base_s: float = 2.0
    cap_s: float = 3600.0


@dataclass(frozen=True)
class TryAgain:
    """Wait so long, then ask for the same page once more."""

    wait_s: float

    @property
    def is_short(self) -> bool:
        """True where the task may wait by itself."""
        return self.wait_s <= PATIENCE_S


@dataclass(frozen=True)
class GiveUp:
    """All tries at this position are spent."""

    tries: int


Decision = TryAgain | GiveUp


def decide(policy: RetryPolicy, failed_tries: int, retry_after_s: float | None, dice: random.Random) -> Decision:
    """What to do after the `failed_tries`-th failure in a row at one position.

    `retry_after_s` is what the other side asked for; it is honoured in full up to a day, plus a little jitter so that
    jobs which were refused together do not come back together.
    """
    if failed_tries >= policy.tries:
        return GiveUp(failed_tries)
    if retry_after_s is not None:
        bounded = min(max(retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
        return TryAgain(bounded + dice.uniform(0.0, min(1.0, 0.1 * bounded)))
    ceiling = min(policy.cap_s, policy.base_s * 2.0 ** min(failed_tries - 1, 60))
    return TryAgain(dice.uniform(0.0, ceiling))
