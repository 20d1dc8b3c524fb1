"""Vendor budgets that all workers share, in Redis: may one call be made now, and what did its answer say of it?

The only module that talks to Redis. Two scripts do the work, each atomic: `grant.lua` and `settle.lua`. Whatever
becomes of Redis, limits are kept: away, it grants nothing; emptied, every window counts as used up; and the calls of a
day's quota come in blocks from PostgreSQL (`app.services.vendor_budget`): what is lost with Redis is not made again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from app.connectors.allowances import Allowance, Window
from app.errors import TransientError

if TYPE_CHECKING:
    from redis import Redis

SLOT_S = 30.0
"""How long a slot of a vendor's concurrency outlives the last sign of life of who holds it."""

VENDOR = "vendor"
SLOTS = "slots"
QUOTA = "quota"
"""What else may refuse, beside a window, by name."""

_LIVES_MS = 26 * 3600 * 1000  # a quota's rest is of use for a day
_REDIS_S = 2.0
_LOCAL_S = 15.0
_LOCAL_MAX = 1000


class BudgetUnavailableError(TransientError):
    """Redis does not answer: whether a call may be made cannot be known, so it may not."""


@dataclass(frozen=True)
class Subject:
    """Whose budget it is. An instance that was `made_at` a time when the server knew all already missed nothing."""

    instance_id: int
    made_at: datetime
    allowance: Allowance


@dataclass(frozen=True)
class Grant:
    """One call may be made, soon. `number` counts an instance's grants; `slot` is empty where none is taken."""

    number: int
    slot: str


@dataclass(frozen=True)
class Refusal:
    """Not now. `by`: the Window, or VENDOR, SLOTS, QUOTA (a block of the day's calls must be fetched first)."""

    wait_s: float
    by: Window | str


class Throttle:
    """One a process; safe for threads. Connects when it is first asked."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None, redis: Redis | None = None) -> None:
        """`clock`: Unix time to use instead of the server's, for tests; `redis`: a client to use instead of `url`."""
        self._url = url
        self._clock = clock
        self._given = redis
        self._run_id: str | None = None
        self._blocked: dict[int, float] = {}
        self._lock = threading.Lock()

    # What is known without asking Redis ------------------------------------------------------------------------------

    def block_here(self, instance_id: int, wait_s: float) -> None:
        """Nobody in this process calls for the instance for a while; the database tells the others, and us later."""
        with self._lock:
            if len(self._blocked) >= _LOCAL_MAX:
                self._blocked.clear()
            until = time.monotonic() + min(wait_s, _LOCAL_S)
            self._blocked[instance_id] = max(until, self._blocked.get(instance_id, 0.0))

    def blocked_here_s(self, instance_id: int) -> float:
        """Seconds left of that; 0 mostly."""
        if not self._blocked:
            return 0.0
        return max(0.0, self._blocked.get(instance_id, 0.0) - time.monotonic())

    def unblock(self) -> None:
        """Forget what `block_here` was told."""
        self._blocked.clear()

    # What everybody shares -------------------------------------------------------------------------------------------

    def ask(
        self,
        subject: Subject,
        name: str,
        *,
        day: str = "",
        refill: int = 0,
        is_waiting: bool = True,
        is_served: bool = False,
    ) -> Grant | Refusal:
        """May one call be made now?

        `name`: of this grant, never used before. `day` (ISO date behind its time zone) and `refill`: of the quota;
        what is for a day before the newest of that zone adds nothing. `is_waiting`: who is refused will wait and ask
        again, so that others get later turns. `is_served`: whoever asks had a slot for some time and leaves it to
        another one who wants it. Raises BudgetUnavailableError.
        """
        allowance = subject.allowance
        slots = allowance.concurrency or 0
        fixed = [slots, round(SLOT_S * 1e6), name, day, refill, int(is_waiting), int(is_served)]
        windows = [value for each in allowance.windows for value in (each.name, each.limit.calls, each.span_us)]
        made_us = round(subject.made_at.timestamp() * 1e6)
        granted, wait_us, by, number = self._run(
            lambda: self._grant(
                keys=[*_keys(subject.instance_id), "haulage:budget:server"],
                args=[self._now(), self._known_run_id(), made_us, _LIVES_MS, *fixed, *windows],
            ),
            is_repeatable=refill == 0,
        )
        if granted:
            return Grant(number, name if slots else "")
        text = by.decode()
        named: dict[str, Window] = {each.name: each for each in allowance.windows}
        return Refusal(wait_us / 1e6, named.get(text, text))

    def settle(
        self,
        subject: Subject,
        grant: Grant,
        *,
        block_s: float = 0.0,
        remaining: int | None = None,
        reset_s: float = 0.0,
        prolong_s: float = 0.0,
    ) -> None:
        """The call is over (or, with `prolong_s`, still under way), and its answer said what is given.

        `block_s`: nobody may call for so long. `remaining`: calls left until `reset_s` from now. Raises
        BudgetUnavailableError; the slot is free after SLOT_S then.
        """
        left = "" if remaining is None else remaining
        lengths = [round(each * 1e6) for each in (prolong_s, block_s, reset_s)]
        self._run(
            lambda: self._settle(
                keys=_keys(subject.instance_id),
                args=[self._now(), _LIVES_MS, grant.slot, lengths[0], lengths[1], left, lengths[2], grant.number],
            )
        )

    def begin(self) -> None:
        """Let the server know from when on it is told everything. Raises BudgetUnavailableError."""
        nobody = Subject(0, datetime.fromtimestamp(0).astimezone(), Allowance())
        self.ask(nobody, "")

    def close(self) -> None:
        """Give the connections back."""
        if "_redis" in self.__dict__:
            self._redis.close()

    def _now(self) -> str:
        return "" if self._clock is None else str(round(self._clock() * 1e6))

    def _run(self, script: Callable[[], Any], *, is_repeatable: bool = True) -> Any:
        """Run a script. Where it met another server than the one it was told of, it is run anew, once, at once.

        So it is where a connection broke: a script that ran and whose reply was lost runs twice then, which only
        counts a call too many. A refill would count calls twice that may be made.
        """
        from redis import ConnectionError as BrokenError
        from redis import RedisError

        for is_last in (not is_repeatable, True):
            try:
                answer = script()
            except (RedisError, OSError) as error:
                self._run_id = None
                if is_last or not isinstance(error, BrokenError):
                    raise BudgetUnavailableError(f"Redis: {type(error).__name__}") from error
            else:
                if is_last or self._run_id is not None:
                    return answer
        raise AssertionError("the second answer is returned or raised")

    def _connected(self, connection: Any) -> None:
        """A new connection may lead to a server that was restarted meanwhile, with the memory of a while ago."""
        connection.on_connect()
        self._run_id = None

    def _known_run_id(self) -> str:
        if self._run_id is None:
            from redis import ResponseError

            try:
                info: Any = self._redis.info("server")
            except ResponseError:  # a stand-in that has no such command
                info = {}
            self._run_id = str(info.get("run_id", "unknown"))
        return self._run_id

    @cached_property
    def _redis(self) -> Redis:
        if self._given is not None:
            return self._given
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(
            f"redis{self._url.removeprefix('valkey')}" if self._url.startswith("valkey") else self._url,
            socket_timeout=_REDIS_S,
            socket_connect_timeout=_REDIS_S,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._connected,
        )

    @cached_property
    def _grant(self) -> Any:
        return self._redis.register_script(_source("grant.lua"))

    @cached_property
    def _settle(self) -> Any:
        return self._redis.register_script(_source("settle.lua"))


def _keys(instance_id: int) -> list[str]:
    return [f"haulage:budget:{instance_id}", f"haulage:slots:{instance_id}"]


def _source(name: str) -> str:
    return resources.files("app.connectors").joinpath(name).read_text("utf-8")
