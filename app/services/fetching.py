"""The vendor calls of a leg: each paid for and made with a live lease; several at once where places can be guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice

from app.connectors.ahead import Place
from app.connectors.client import Call, FetchResult, GotPage
from app.db.slices import Position
from app.domain.stalls import CALLING
from app.services.calls import CallBudget
from app.services.lease import Lease
from app.services.nesting import Nesting
from app.services.plan import Plan
from app.services.vendor_budget import BudgetWait, in_turn

_SLOW_S = 0.005
"""A vendor that answers sooner gains nothing from several calls at once."""

_MOST_BYTES_AHEAD = 8 * 1024 * 1024


class Fetching:
    """Begins calls and gives their pages. Between the two the leg may do other work."""

    def __init__(self, plan: Plan, lease: Lease, calls: CallBudget, *, most_calls: int) -> None:
        """`most_calls`: how many may be under way at once, where the places of further pages can be guessed."""
        self._plan = plan
        self._lease = lease
        self._calls = calls
        self._most_calls = most_calls if plan.client.can_guess and not plan.child else 1
        self.nesting = Nesting(plan, plan.child, lease, calls, most_calls=most_calls) if plan.child else None
        """Where records get their children, page by page."""
        self._is_kept_wanted = False
        """The page that waits for children is what was begun last."""
        self._under_way: dict[Place, Call] = {}
        self._placed: tuple[Position | None, Place] = (None, (0, 0))
        self._is_slow = False
        self._is_guess_good = True
        """False once pages came shorter than guessed: from then on the leg asks for one at a time."""
        self._page_bytes = 0

    def is_under_way(self, position: Position) -> bool:
        """The call for that page was begun and its result not asked for."""
        return self._is_kept_wanted or self._place(position) in self._under_way

    def begin(self, position: Position, records_left: int | None = None) -> bool:
        """Send the call for the page at `position`, and those behind it that will surely be wanted.

        `records_left`: so many records at most will be taken from the page at `position` on. False when the run's
        apiLimit is reached. Waits a little for the vendor's budget. Raises BudgetWait, LostClaimError,
        DatabaseUnavailableError; then nothing was sent.
        """
        self._lease.check()
        if self.nesting is not None and self.nesting.page(position) is not None:
            self._is_kept_wanted = True
            return True
        if not in_turn(self._lease, lambda: self._send(position)):
            return False
        with self._plan.budget.ahead():
            self._send_behind(position, records_left)
        return True

    def begin_ahead(self, position: Position, records_left: int | None = None) -> None:
        """As `begin`, as far as calls may be made at once."""
        self._lease.check()
        with self._plan.budget.ahead():
            try:
                if self._send(position):
                    self._send_behind(position, records_left)
            except BudgetWait:
                pass  # whoever needs the page asks again, and waits

    def _send_behind(self, position: Position, records_left: int | None) -> None:
        if not (self._is_slow and self._most_calls > 1) and len(self._under_way) == 1:
            return  # nothing is asked for ahead, and nothing was
        behind = list(islice(self._behind(position, records_left), max(0, self._most_calls - 1)))
        self._drop_all_but(self._place(position), *map(self._place, behind))
        count, room = 1, self._room()
        with contextlib.suppress(BudgetWait):
            for ahead in behind if self._is_guess_good else ():
                if self._place(ahead) not in self._under_way and (count >= room or not self._send(ahead)):
                    break
                count += 1

    def _drop_all_but(self, here: Place, *behind: Place) -> None:
        """Break off what was asked for ahead and is no page of the list: it begins elsewhere, or has another size."""
        for place in self._under_way.keys() - {here, *behind}:
            self._abandon(self._under_way.pop(place))
            self._is_guess_good = self._is_guess_good and place[1] != here[1]

    def _send(self, position: Position) -> bool:
        place = self._place(position)
        if place not in self._under_way:
            if not self._calls.take():
                return False
            try:
                call = self._plan.client.start(position.cursor, position.page_size, self._plan.query)
            except BudgetWait:
                self._calls.give_back()
                raise
            self._under_way[place] = call
        return True

    def _behind(self, position: Position, records_left: int | None) -> Iterator[Position]:
        """Pages that will be wanted, as far as that is sure: a call too many would be missing from an apiLimit."""
        client = self._plan.client
        is_bound = self._calls.is_limited and not client.is_guess_sure
        if (
            not (self._is_slow and self._is_guess_good)
            or is_bound
            or (records_left is not None and self._plan.is_choosy)
        ):
            return
        page_size = (position.cursor or {}).get("learnt", position.page_size)
        covered = page_size - position.skip
        for cursor in client.guesses(position.cursor, position.page_size):
            if records_left is not None and covered >= records_left:
                return
            yield Position(cursor, position.page_size, 0, exhausted=False)
            covered += page_size

    def _room(self) -> int:
        by_size = _MOST_BYTES_AHEAD // self._page_bytes if self._page_bytes else self._most_calls
        return min(self._most_calls, by_size)

    def _place(self, position: Position) -> Place:
        if position is not self._placed[0]:  # asked for several times a page
            self._placed = position, self._plan.client.place(position.cursor, position.page_size)
        return self._placed[1]

    def result(self, position: Position, meanwhile: Callable[[], None]) -> FetchResult:
        """The page at `position`, whose call was begun; `meanwhile` is called about once a second while none comes.

        Raises Interrupted when the lease says stop, and what `meanwhile` raises.
        """
        if self.nesting is not None and (kept := self.nesting.page(position)) is not None:
            self._is_kept_wanted = False
            return kept
        call = self._under_way.pop(self._place(position))

        result = call.result(self._lease.beats_while(CALLING, meanwhile), cursor=position.cursor)
        if isinstance(result, GotPage):
            self._is_slow = self._is_slow or result.elapsed_s >= _SLOW_S
            self._page_bytes = result.body_bytes
            if self._plan.overlap is not None:
                self._plan.overlap.note_call(result)
        return result

    def abandon(self) -> None:
        """Break off what is under way; it stays counted where the vendor may have counted it."""
        while self._under_way:
            self._abandon(self._under_way.popitem()[1])
        if self.nesting is not None:
            self.nesting.abandon()

    def _abandon(self, call: Call) -> None:
        if not call.abandon():
            self._calls.give_back()
