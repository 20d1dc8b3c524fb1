"""A budget with a clock in hand, and what must hold of the calls it lets go, on any Redis."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis import Redis

from app.connectors.allowances import Allowance, Window
from app.connectors.model import RateWindow
from app.connectors.throttle import Grant, Refusal, Subject, Throttle

BEGAN_S = 1_800_000_000.0
_names = itertools.count(1)


def window(calls: int, per_s: float, scope: str = "all") -> Window:
    return Window(f"{scope}:{per_s:g}", RateWindow(calls, per_s))


class Clock:
    """Times for Redis, the workers and the vendor's log, moved by the test."""

    def __init__(self) -> None:
        self.now_s = datetime(2027, 3, 27, 22, 0, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)


@dataclass
class Budget:
    """One instance's, asked at the times that the test says. By default the server has known it from its beginning."""

    redis: Redis
    allowance: Allowance
    now_s: float = BEGAN_S
    instance_id: int = 1
    made_s: float = BEGAN_S + 10**6
    granted_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.throttle = Throttle("", clock=lambda: self.now_s, redis=self.redis)

    @property
    def subject(self) -> Subject:
        return Subject(self.instance_id, datetime.fromtimestamp(self.made_s, UTC), self.allowance)

    def ask(
        self, *, is_waiting: bool = False, is_served: bool = False, day: str = "", refill: int = 0
    ) -> Grant | Refusal:
        name = f"g{next(_names)}"
        answer = self.throttle.ask(
            self.subject, name, day=day, refill=refill, is_waiting=is_waiting, is_served=is_served
        )
        if isinstance(answer, Grant):
            self.granted_at.append(self.now_s)
        return answer

    def grant(self) -> Grant:
        answer = self.ask()
        assert isinstance(answer, Grant), answer
        return answer

    def refusal(self, *, is_waiting: bool = False, is_served: bool = False) -> Refusal:
        answer = self.ask(is_waiting=is_waiting, is_served=is_served)
        assert isinstance(answer, Refusal), answer
        return answer

    def burst(self, count: int) -> int:
        """Ask so often at one moment; how many were let go."""
        return sum(isinstance(self.ask(), Grant) for _ in range(count))


def most_in_any_window(times: Sequence[float], span_s: float) -> int:
    """The largest number of `times` (ascending) in [t, t + span_s), for any t."""
    return max((bisect_left(times, at + span_s) - i for i, at in enumerate(times)), default=0)


def ask_at_random(budget: Budget, seed: int, *, count: int = 200, flush_at: int | None = None) -> None:
    """Bursts, pauses and waits as told, in a random order; all memory of the server may be lost in between."""
    dice = random.Random(seed)
    spans = [each.limit.per_s for each in budget.allowance.windows]
    for number in range(count):
        if number == flush_at:
            budget.redis.flushdb()
        answer = budget.ask(is_waiting=dice.random() < 0.3)
        told_s = answer.wait_s if isinstance(answer, Refusal) else 0.0
        pauses = (0.0, 0.0, told_s, dice.choice(spans) * dice.random() / 4, dice.choice(spans) * dice.random())
        budget.now_s = round(budget.now_s + dice.choice(pauses), 6)
