"""A page whose records get their children: the page waits, and its records go on as their children are complete.

So a position may stand inside the page wherever the leg ends, and what is left of the page is kept for the next try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from app.connectors.client import Failed, GotPage
from app.db.slices import Position
from app.domain.nesting import Slot
from app.http_client import Interrupted
from app.services.calls import CallBudget
from app.services.checkpoints import Checkpoints
from app.services.children import Children, LookupFailedError, OutOfCallsError
from app.services.lease import Lease
from app.services.plan import ChildPlan, Plan
from app.services.vendor_budget import BudgetWait

Behind = Callable[[GotPage, Position, int, int], Position]
"""From a page, the position it was read at, records taken from there on and records there were: the next position."""

_TOGETHER_S = 1.0
_TOGETHER_BYTES = 4 * 1024 * 1024
"""Records go on when so much time has passed, or so much is ready, whichever is first."""


@dataclass(frozen=True)
class Nested:
    """What became of a page's records, and why it were not all."""

    is_any: bool
    """The position moves."""
    records_left: int | None
    failed: Failed | None
    is_out_of_calls: bool
    budget_wait: BudgetWait | None


@dataclass
class _Batch:
    """Records that are ready."""

    filled: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    missing_count: int = 0
    stopped: Exception | None = None


class Nesting:
    """One a leg, for jobs with `child`."""

    def __init__(self, plan: Plan, child: ChildPlan, lease: Lease, calls: CallBudget, *, most_calls: int) -> None:
        """`most_calls`: how many look-ups may be under way at once."""
        self._plan = plan
        self._child = child
        self._children = Children(child, plan.budget, lease, calls, most_calls=most_calls)
        self._kept: GotPage | None = None
        self._kept_at: tuple[object, int] | None = None
        self._is_counted = False

    def page(self, position: Position) -> GotPage | None:
        """The page there, if records of it are left."""
        return self._kept if self._kept_at == (position.cursor, position.page_size) else None

    def take_in(
        self, got: GotPage, position: Position, records_left: int | None, checkpoints: Checkpoints, *, behind: Behind
    ) -> Nested:
        """Take in records of the page behind the position, as many as are ready together, and commit what is due.

        Raises the storage errors, LostClaimError, DatabaseUnavailableError.
        """
        began_at = time.monotonic()
        chosen = [] if got.next.is_discarded else got.page.chosen(position.skip, got.page.count)
        selected = self._plan.select(chosen, records_left)
        slots = [self._child.naming.slot(bytes(record)) for record in selected.records]
        batch = self._fill(slots, checkpoints.keep_up)
        if len(batch.filled) < len(slots):
            selected = self._plan.select(chosen, len(batch.filled))
        is_any = selected.consumed > 0 or not chosen
        if is_any:
            following = behind(got, position, selected.consumed, len(chosen))
            is_first = not (self._is_counted and got is self._kept)
            checkpoints.vendor_total = checkpoints.vendor_total if got.total is None else got.total
            checkpoints.take_in(
                structs.replace(selected, records=self._child.cut(batch.filled)),
                batch.size_bytes,
                following,
                came_packed=False,
                page_s=time.monotonic() - began_at + (got.elapsed_s if is_first else 0.0),
                page_count=int(is_first),
            )
            records_left = None if records_left is None else records_left - len(batch.filled)
        self._keep(got, position, is_more=selected.consumed < len(chosen), is_any=is_any)
        found_count, self._children.found_count = self._children.found_count, 0
        checkpoints.count_children(found_count, batch.missing_count)
        checkpoints.commit_due()
        return _nested(batch, records_left, is_any=is_any)

    def _keep(self, got: GotPage, position: Position, *, is_more: bool, is_any: bool) -> None:
        self._is_counted = is_any or (self._is_counted and got is self._kept)
        self._kept = got if is_more else None
        self._kept_at = (position.cursor, position.page_size) if is_more else None

    def _fill(self, slots: Sequence[Slot], meanwhile: Callable[[], None]) -> _Batch:
        batch, until = _Batch(), time.monotonic() + _TOGETHER_S
        for number, slot in enumerate(slots):
            if batch.size_bytes >= _TOGETHER_BYTES or (batch.filled and time.monotonic() >= until):
                break
            try:
                child = None if slot.key is None else self._children.find(slot.key, _keys(slots, number + 1), meanwhile)
            except (OutOfCallsError, LookupFailedError, BudgetWait, Interrupted) as stopped:
                batch.stopped = stopped
                break
            batch.filled.append(slot.filled(child))
            batch.size_bytes += len(batch.filled[-1])
            batch.missing_count += slot.is_lost or (slot.key is not None and child is None)
        return batch

    def abandon(self) -> None:
        """Break off what is under way."""
        self._children.abandon()


def _nested(batch: _Batch, records_left: int | None, *, is_any: bool) -> Nested:
    failed = batch.stopped.failed if isinstance(batch.stopped, LookupFailedError) else None
    wait = batch.stopped if isinstance(batch.stopped, BudgetWait) else None
    return Nested(is_any, records_left, failed, isinstance(batch.stopped, OutOfCallsError), wait)


def _keys(slots: Sequence[Slot], start: int) -> Iterator[str]:
    return (slot.key for slot in (slots[at] for at in range(start, len(slots))) if slot.key is not None)
