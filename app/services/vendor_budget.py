"""The calls of one plan, sent within what all workers and jobs of its instance may do to the vendor together.

`VendorBudget` stands where the client expects the HTTP client: it asks before each call and listens to each answer.
Without declared limits it asks nobody; then only a vendor that wants to be left alone is heard by all.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog

from app.connectors.allowances import Allowance, Window, allowance_of
from app.connectors.classify import classify_response
from app.connectors.model import Connector, ErrorClass
from app.connectors.objects import find_object
from app.connectors.throttle import (
    QUOTA,
    SLOT_S,
    SLOTS,
    BudgetUnavailableError,
    Grant,
    Refusal,
    Subject,
)
from app.connectors.waits import stated_count, stated_reset_s
from app.db import instance_calls
from app.db.plans import Footing
from app.domain.budgets import block_of_day
from app.domain.retry import LONGEST_RETRY_AFTER_S, PATIENCE_S
from app.errors import DatabaseUnavailableError, HaulageError
from app.http_client import Beat, Request, Response, Sent
from app.services.context import Context
from app.services.lease import Lease

log = structlog.get_logger()

_FRESH_S = 1.0
"""A grant is for a call that is made now: one that took longer to arrive is asked for again."""

_AWAY_S = 5.0
_DATABASE_S = 1.0
_SERVED_S = 1.0
"""How long a leg keeps its slot at the vendor, call after call, while others want one."""

_UNSAID_S = 1.0
"""How long everybody stays away from a vendor that refused a call and did not say for how long."""

_HTTP_ERROR = 400
_UNAVAILABLE = 503
_T = TypeVar("_T")


class BudgetWait(HaulageError):  # noqa: N818 - a signal, not a fault
    """The call may not be made yet; nothing was sent. The message says what is waited for, and until when.

    `wait_s`: when to ask again; `snooze_s`: when, where nobody waits for that long. `window`: whose calls are used up.
    """

    def __init__(
        self, reason: str, wait_s: float, now: datetime, *, snooze_s: float | None = None, window: Window | None = None
    ) -> None:
        self.wait_s = wait_s
        self.snooze_s = wait_s if snooze_s is None else snooze_s
        self.window = window
        self._reason = reason
        self._now = now
        until = (now + timedelta(seconds=self.snooze_s)).astimezone(UTC)
        super().__init__(f"{reason}, until {until:%Y-%m-%dT%H:%M:%SZ}")

    def until_all_is_free(self) -> BudgetWait:
        """The same until a window's calls are all free again, for work that one call at a time does not bring on."""
        if self.window is None:
            return self
        free_s = max(self.snooze_s, self.window.free_after_s)
        return BudgetWait(self._reason, self.wait_s, self._now, snooze_s=free_s, window=self.window)


def in_turn(lease: Lease, start: Callable[[], _T], patience_s: float = PATIENCE_S) -> _T:
    """Run `start`, which begins a call; where the budget is used up, wait for it as long as a task may wait by itself.

    Raises BudgetWait when it takes longer or somebody asks us to stop, and what `start` raises.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            return start()
        except BudgetWait as refused:
            if refused.wait_s > until - time.monotonic() or lease.wait(refused.wait_s) > 0:
                raise


class VendorBudget:
    """For one plan of one leg, and for one thread."""

    def __init__(self, ctx: Context, connector: Connector, footing: Footing) -> None:
        """Raises InvalidInputError for an unknown object."""
        self._ctx = ctx
        self._connector = connector
        allowance = allowance_of(connector, find_object(connector, footing.job.object_name), footing.configuration)
        self._subject = Subject(footing.job.instance_id, footing.instance_created_at, allowance)
        self._is_limited = allowance.is_any
        self._is_told = bool(connector.errors or connector.limits.headers.remaining)
        """A good answer may say something of the budget."""
        self._blocked_until = footing.blocked_until
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self.is_waiting = True
        """Who asks has nothing else to do. See `ahead`."""
        self._ahead = _Ahead(self)
        self._served_since: float | None = None
        self._reserved: deque[tuple[float, Grant]] = deque()
        self._holders: set[_Counted] = set()

    def ahead(self) -> _Ahead:
        """Calls begun inside are for later: one that is refused takes no turn from those who wait."""
        return self._ahead

    def start(self, request: Request) -> _Counted:
        """Send `request` now. Raises BudgetWait, and then it was not sent."""
        self._check_block()
        grant = (self._take_reserved() or self._granted()) if self._is_limited else None
        counted = _Counted(self, self._ctx.http.start(request), grant)
        if grant is not None and grant.slot:
            self._holders.add(counted)
        return counted

    def reserve(self) -> None:
        """Get the grant of a call that `start` makes later, within a second: what must be done before it is sent is
        then not done in vain. Raises BudgetWait.
        """
        self._check_block()
        if self._is_limited:
            self._reserved.append((time.monotonic(), self._granted()))

    def release(self) -> None:
        """Give back what was reserved and not used."""
        while self._reserved:
            self.settle(self._reserved.popleft()[1])

    def _take_reserved(self) -> Grant | None:
        while self._reserved:
            granted_at, grant = self._reserved.popleft()
            if time.monotonic() - granted_at <= _FRESH_S:
                return grant
            self.settle(grant)
        return None

    def together(self) -> AbstractContextManager[None]:
        """As `app.http_client.HttpClient.together`."""
        return self._ctx.http.together()

    def keep_slots(self) -> None:
        """For whoever has many calls under way and waits for none in particular: about once a second."""
        for each in self._holders:
            each.prolong()

    def forget(self, counted: _Counted) -> None:
        """The call has ended."""
        self._holders.discard(counted)

    # Before a call ---------------------------------------------------------------------------------------------------

    def _check_block(self) -> None:
        left_s = self._ctx.throttle.blocked_here_s(self._subject.instance_id)
        if self._blocked_until is not None:
            left_s = max(left_s, (self._blocked_until - self._ctx.now()).total_seconds())
            if left_s <= 0:
                self._blocked_until = None
        if left_s > 0:
            raise BudgetWait(_VENDOR_ASKED, left_s, self._ctx.now())

    def _granted(self) -> Grant:
        refill = 0
        while True:
            asked_at = time.monotonic()
            day = self._day()
            answer = self._ask(day, refill)
            if isinstance(answer, Refusal):
                if answer.by != QUOTA:
                    raise self._refused(answer)
                assert day is not None
                if refill:
                    raise BudgetWait(_DAY_IS_OVER, _DATABASE_S, self._ctx.now())
                refill = self._take_block(day)
            elif time.monotonic() - asked_at <= _FRESH_S:
                self._served_since = self._served_since or asked_at
                return answer
            else:
                self.settle(answer)
                refill = 0

    def _ask(self, day: date | None, refill: int) -> Grant | Refusal:
        served_since = self._served_since
        try:
            return self._ctx.throttle.ask(
                self._subject,
                f"{self._name}-{next(self._numbers)}",
                day="" if day is None else f"{self._allowance.time_zone} {day}",
                refill=refill,
                is_waiting=self.is_waiting,
                is_served=served_since is not None and time.monotonic() - served_since > _SERVED_S,
            )
        except BudgetUnavailableError as error:
            log.warning("budget.unavailable", reason=error.message)
            reason = "The vendor's limits are shared through Redis, which does not answer; asked again"
            raise BudgetWait(reason, _AWAY_S, self._ctx.now()) from None

    def _refused(self, refusal: Refusal) -> BudgetWait:
        now = self._ctx.now()
        if refusal.by == SLOTS:
            self._served_since = None
            reason = f"The vendor's limit of {self._allowance.concurrency} calls at the same time is used up"
            return BudgetWait(reason, refusal.wait_s, now, snooze_s=random.uniform(1.0, 3.0))  # noqa: S311 - jitter
        if isinstance(refusal.by, Window):
            return BudgetWait(f"{_the(refusal.by)} is used up", refusal.wait_s, now, window=refusal.by)
        return BudgetWait(_VENDOR_ASKED, refusal.wait_s, now)

    # The day's quota -------------------------------------------------------------------------------------------------

    @property
    def _allowance(self) -> Allowance:
        return self._subject.allowance

    def _day(self) -> date | None:
        """Today at the vendor; None without a quota."""
        if self._allowance.quota is None:
            return None
        return self._ctx.now().astimezone(ZoneInfo(self._allowance.time_zone)).date()

    def _take_block(self, day: date) -> int:
        """Some more calls of the quota, surely counted before any is made. Raises BudgetWait when none is left."""
        quota, instance_id = self._allowance.quota or 0, self._subject.instance_id
        try:
            with self._ctx.db.connection() as conn:
                while (left := quota - instance_calls.find_taken(conn, instance_id, day)) > 0:
                    block = block_of_day(quota, left)
                    if instance_calls.take(conn, instance_id, day, calls=block, quota=quota):
                        return block
        except DatabaseUnavailableError as error:
            reason = f"The calls of a day are counted in PostgreSQL, which is away ({error.message}); asked again"
            raise BudgetWait(reason, _DATABASE_S, self._ctx.now()) from None
        now, zone = self._ctx.now(), self._allowance.time_zone
        tomorrow = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
        reason = f"The {quota} calls a day that jobs may make of the vendor's daily quota ({zone}) are used up"
        raise BudgetWait(reason, max(0.001, (tomorrow - now).total_seconds()), now)

    # After a call ----------------------------------------------------------------------------------------------------

    def settle(self, grant: Grant, *, prolong_s: float = 0.0) -> None:
        """Give the grant's slot back, or keep it a while longer. What Redis does not hear runs out by itself."""
        if grant.slot:
            with contextlib.suppress(BudgetUnavailableError):
                self._ctx.throttle.settle(self._subject, grant, prolong_s=prolong_s)

    def listen(self, response: Response, grant: Grant | None) -> None:
        """Let everybody know at once what the answer says of the budget, and give the slot back."""
        if grant is None and response.status < _HTTP_ERROR and not self._is_told:
            return
        block_s = 0.0 if response.status < _HTTP_ERROR and not self._connector.errors else self._block_s(response)
        remaining, reset_s = self._remaining(response)
        if remaining == 0 and grant is None:
            block_s = max(block_s, reset_s)
        if block_s > 0:
            self._block(block_s)
        if grant is None or not (grant.slot or block_s > 0 or remaining is not None):
            return
        with contextlib.suppress(BudgetUnavailableError):
            self._ctx.throttle.settle(self._subject, grant, block_s=block_s, remaining=remaining, reset_s=reset_s)

    def _block_s(self, response: Response) -> float:
        """For how long nobody should call, as the answer says; 0 where it says nothing of the kind."""
        verdict = classify_response(self._connector, response.status, response.headers, response.body)
        is_limit = verdict.error_class is ErrorClass.RATE_LIMIT
        if verdict.retry_after_s is not None and (is_limit or response.status == _UNAVAILABLE):
            return min(verdict.retry_after_s, LONGEST_RETRY_AFTER_S)
        return _UNSAID_S if is_limit and self._is_limited else 0.0

    def _remaining(self, response: Response) -> tuple[int | None, float]:
        """(calls left, seconds until the count begins anew) where that is worth telling: when few are left."""
        named = self._connector.limits.headers
        remaining = stated_count(named.remaining, response.headers)
        if remaining is None:
            return None, 0.0
        most = stated_count(named.limit, response.headers) or self._shortest_calls
        if remaining > max(10, most // 4):
            return None, 0.0
        stated_s = stated_reset_s(named.reset, named.reset_is, response.headers, datetime.now(UTC))
        return remaining, _UNSAID_S if stated_s is None else stated_s

    @property
    def _shortest_calls(self) -> int:
        return min((each.limit.calls for each in self._allowance.windows), default=100)

    def _block(self, wait_s: float) -> None:
        """Those in this process hear it now, Redis or not; others by the row, when their next leg begins."""
        instance_id = self._subject.instance_id
        self._ctx.throttle.block_here(instance_id, wait_s)
        if wait_s > PATIENCE_S:
            with contextlib.suppress(DatabaseUnavailableError), self._ctx.db.connection() as conn:
                instance_calls.block(conn, instance_id, wait_s)


_VENDOR_ASKED = "The vendor asked for a pause"
_DAY_IS_OVER = "The day of the vendor's quota is over by another worker's clock; asked again"


def _the(window: Window) -> str:
    return f"The vendor's limit of {window.limit.calls} calls in {window.limit.per_s:g} s"


class _Ahead:
    """A context manager for each page, made once: as a generator it would cost four times as much."""

    def __init__(self, budget: VendorBudget) -> None:
        self._budget = budget

    def __enter__(self) -> None:
        self._budget.is_waiting = False

    def __exit__(self, *_exception: object) -> None:
        self._budget.is_waiting = True


class _Counted:
    """A call under way that holds a grant. However it ends, its slot is given back."""

    def __init__(self, budget: VendorBudget, sent: Sent, grant: Grant | None) -> None:
        self._budget = budget
        self._sent = sent
        self._grant = grant
        self._prolonged_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        """As `app.http_client.Sent.is_over`."""
        return self._sent.is_over

    @property
    def is_sent(self) -> bool:
        """As `app.http_client.Sent.is_sent`."""
        return self._sent.is_sent

    def result(self, beat: Beat | None = None) -> Response:
        """As `app.http_client.Sent.result`."""
        self._budget.forget(self)
        if self._grant is None or not self._grant.slot:
            response = self._sent.result(beat)
        else:
            try:
                response = self._sent.result(lambda: self.prolong() and (beat is None or beat()))
            except BaseException:
                self._budget.settle(self._grant)
                raise
        self._budget.listen(response, self._grant)
        return response

    def abandon(self) -> None:
        """As `app.http_client.Sent.abandon`."""
        self._budget.forget(self)
        self._sent.abandon()
        if self._grant is not None:
            self._budget.settle(self._grant)

    def prolong(self) -> bool:
        """Keep the slot a while longer where it is time; always true."""
        now = time.monotonic()
        if self._grant is not None and now - self._prolonged_at > SLOT_S / 4:
            self._prolonged_at = now
            self._budget.settle(self._grant, prolong_s=SLOT_S)
        return True
