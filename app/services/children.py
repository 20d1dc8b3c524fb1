"""Child look-ups of a leg: by the same budget as pages, several at once, each key once, lists to their end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from app.connectors.classify import Verdict
from app.connectors.client import Call, Failed, GotPage, VendorClient
from app.connectors.model import Action, ErrorClass
from app.domain.recent import Recent
from app.domain.selection import Record
from app.domain.stalls import CALLING
from app.services.calls import CallBudget
from app.services.lease import Lease
from app.services.plan import ChildPlan
from app.services.vendor_budget import BudgetWait, VendorBudget, in_turn

_KNOWN_BYTES = 16 * 1024 * 1024
_LONGEST_BYTES = 32 * 1024 * 1024
"""Of one record's children: they become part of it, and it has to be held in memory."""


class OutOfCallsError(Exception):
    """The run's apiLimit is reached."""


class LookupFailedError(Exception):
    """The vendor did not give what was asked for."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.verdict.message)
        self.failed = failed


@dataclass
class _Lookup:
    """One key: page after page, until the list ends. After a failure it goes on at the page that failed."""

    client: VendorClient
    items: list[Record] = field(default_factory=list)
    size_bytes: int = 0
    cursor: Any = None
    call: Call | None = None


class Children:
    """One a leg, for jobs with `child`."""

    def __init__(
        self, plan: ChildPlan, budget: VendorBudget, lease: Lease, calls: CallBudget, *, most_calls: int
    ) -> None:
        """`most_calls`: how many may be under way at once."""
        self._plan = plan
        self._budget = budget
        self._lease = lease
        self._calls = calls
        # A list may need further calls: those for records behind it would be lost to an apiLimit that comes before.
        self._most_calls = 1 if calls.is_limited and plan.naming.is_list else most_calls
        self._known = Recent(_KNOWN_BYTES)
        self._under_way: dict[str, _Lookup] = {}
        self._is_any_known = False
        self.found_count = 0
        """Look-ups that found something, since somebody set it to 0."""

    def find(self, key: str, behind: Iterable[str], meanwhile: Callable[[], None]) -> bytes | None:
        """The JSON text of the child, or of the list of children; None where the vendor has none of this key.

        `behind`: keys that will be asked for next. `meanwhile` is called about once a second. Raises OutOfCallsError,
        LookupFailedError, BudgetWait, Interrupted, LostClaimError, DatabaseUnavailableError, and what `meanwhile`
        raises; what was found until then is not asked for again.
        """
        if key in self._known:
            return self._known.get(key)
        self._send_in_turn(key)
        if self._is_any_known or not self._plan.naming.is_list:
            # The first list may need all the calls that the vendor's limits leave: with less no leg would get anywhere.
            with self._budget.ahead(), contextlib.suppress(BudgetWait):
                self._send_ahead(behind)
        found = self._whole(key, meanwhile)
        self._is_any_known = True
        del self._under_way[key]
        self._known.put(key, found)
        self.found_count += found is not None
        return found

    def _send_ahead(self, keys: Iterable[str]) -> None:
        for key in keys:
            if len(self._under_way) >= self._most_calls:
                return
            if key not in self._known and not self._send(key):
                return

    def _send(self, key: str) -> bool:
        """See that a call for it is under way; False when the run's apiLimit is reached. Raises LostClaimError."""
        lookup = self._under_way.get(key)
        if lookup is not None and lookup.call is not None:
            return True
        self._lease.check()
        if not self._calls.take():
            return False
        if lookup is None:
            lookup = self._under_way[key] = _Lookup(self._plan.client.of(key))
        try:
            lookup.call = lookup.client.start(lookup.cursor, self._plan.page_size)
        except BudgetWait:
            self._calls.give_back()
            raise
        return True

    def _whole(self, key: str, meanwhile: Callable[[], None]) -> bytes | None:
        lookup = self._under_way[key]
        while True:
            got = self._result(lookup, meanwhile)
            if isinstance(got, Failed):
                if _is_unknown(got):
                    return None
                raise LookupFailedError(self._as_ours(got))
            lookup.items += _living(lookup.client, got.page.records)
            lookup.size_bytes += got.body_bytes
            lookup.cursor = got.next.cursor
            if got.next.is_exhausted:
                return self._plan.joined(lookup.items)
            if lookup.size_bytes > _LONGEST_BYTES:
                raise LookupFailedError(self._too_long(key))
            self._send_in_turn(key)

    def _send_in_turn(self, key: str) -> None:
        """Waits a little for the vendor's budget. Raises OutOfCallsError, BudgetWait, LostClaimError."""
        if not in_turn(self._lease, lambda: self._send(key)):
            raise OutOfCallsError

    def _result(self, lookup: _Lookup, meanwhile: Callable[[], None]) -> GotPage | Failed:
        call, lookup.call = lookup.call, None
        assert call is not None

        return call.result(self._lease.beats_while(CALLING, meanwhile))

    def _as_ours(self, failed: Failed) -> Failed:
        """A page of children is never made smaller."""
        verdict = failed.verdict
        action = verdict.otherwise if verdict.action is Action.SHRINK_PAGE else verdict.action
        message = f"Child {self._plan.name}: {verdict.message}"
        return replace(failed, verdict=replace(verdict, action=action, message=message))

    def _too_long(self, key: str) -> Failed:
        text = f"The {self._plan.name} of one record ({key[:100]}) are more than {_LONGEST_BYTES >> 20} MiB."
        return Failed(Verdict(Action.FAIL, ErrorClass.DATA, text), None, "")

    def abandon(self) -> None:
        """Break off what is under way; it stays counted where the vendor may have counted it."""
        for lookup in self._under_way.values():
            if lookup.call is not None and not lookup.call.abandon():
                self._calls.give_back()
        self._under_way.clear()


def _is_unknown(failed: Failed) -> bool:
    return failed.verdict.action is Action.FAIL and failed.verdict.error_class is ErrorClass.NOT_FOUND


def _living(client: VendorClient, records: list[Record]) -> list[Record]:
    """Without those that the connector leaves out since they are deleted."""
    is_dropped = client.is_dropped
    return records if is_dropped is None else [record for record in records if not is_dropped(record)]
