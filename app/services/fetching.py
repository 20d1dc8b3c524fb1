"""The vendor calls of a leg: each paid for and made with a live lease, at most one under way."""

from __future__ import annotations

from collections.abc import Callable

from app.connectors.client import Call, FetchResult
from app.db.slices import Position
from app.services.calls import CallBudget
from app.services.lease import Lease
from app.services.plan import Plan


class Fetching:
    """Begins a call and gives its page. Between the two the leg may do other work."""

    def __init__(self, plan: Plan, lease: Lease, calls: CallBudget) -> None:
        self._plan = plan
        self._lease = lease
        self._calls = calls
        self._call: Call | None = None

    @property
    def is_under_way(self) -> bool:
        """A call was begun and its result not asked for."""
        return self._call is not None

    def begin(self, position: Position) -> bool:
        """Send the call for the page at `position`; False when the run's apiLimit is reached.

        Raises LostClaimError, DatabaseUnavailableError; then nothing was sent.
        """
        self._lease.check()
        if not self._calls.take():
            return False
        self._call = self._plan.client.start(position.cursor, position.page_size, self._plan.query)
        return True

    def result(self, meanwhile: Callable[[], None]) -> FetchResult:
        """The page of the call that was begun; `meanwhile` is called about once a second while none comes.

        Raises Interrupted when the lease says stop, and what `meanwhile` raises.
        """
        assert self._call is not None
        call, self._call = self._call, None

        def beat() -> bool:
            meanwhile()
            return self._lease.beat()

        return call.result(beat)

    def abandon(self) -> None:
        """Break off what is under way; it stays counted, as the vendor may have counted it."""
        if self._call is not None:
            self._call.abandon()
            self._call = None
