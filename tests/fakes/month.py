"""A month of a daily sync: what happens at the vendor each day, and a judge who saw everything."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.fakes.changing_vendor import BY_DATE, BY_ID, NEWEST_FIRST, UNSORTED, ChangingVendor, Order, Version

LOOKBACK = timedelta(minutes=5)
Change = Callable[[ChangingVendor, random.Random], None]


def _any_id(dice: random.Random) -> int:
    return dice.randrange(1, 90)


def ordinary(vendor: ChangingVendor, dice: random.Random) -> None:
    """A record comes or changes, dated now."""
    vendor.put(_any_id(dice))


def late(vendor: ChangingVendor, dice: random.Random) -> None:
    """A transaction that began up to five minutes ago commits now, and often one that took all of them."""
    vendor.put(_any_id(dice), vendor.now - dice.choice([dice.random(), 1.0]) * LOOKBACK)


def within_one_second(vendor: ChangingVendor, dice: random.Random) -> None:
    """A record changes several times, and all its states have one date: that of the minute."""
    changed = vendor.now.replace(second=0)
    for _ in range(dice.randrange(1, 4)):
        vendor.put(1 + _any_id(dice) % 5, changed)


def many_at_once(vendor: ChangingVendor, dice: random.Random) -> None:
    """An import gives all its records the date at which it began, and is not through with that."""
    changed = vendor.now.replace(minute=vendor.now.minute // 5 * 5, second=0)
    for _ in range(25):
        vendor.put(_any_id(dice), changed)


def from_2099(vendor: ChangingVendor, dice: random.Random) -> None:
    """One record's date is a typing error; it is changed now and then and stays wrong."""
    if dice.random() < 0.2 or 1000 not in vendor.current:
        vendor.put(1000, datetime(2099, 1, 1, tzinfo=vendor.now.tzinfo) + timedelta(seconds=len(vendor.past)))
    ordinary(vendor, dice)


def deletion(vendor: ChangingVendor, dice: random.Random) -> None:
    """Records go, and most of all the newest one."""
    newest = max(vendor.current.values(), key=lambda each: (each.changed, each.id))
    vendor.remove(newest.id if dice.random() < 0.5 else _any_id(dice))
    if dice.random() < 0.8:
        ordinary(vendor, dice)


def anything(vendor: ChangingVendor, dice: random.Random) -> None:
    """Each of these."""
    dice.choice([ordinary, late, within_one_second, many_at_once, from_2099, deletion])(vendor, dice)


@dataclass(frozen=True)
class Case:
    """What is hard about a vendor. `calls_a_day`: the job's apiLimit."""

    change: Change
    order: Order = UNSORTED
    calls_a_day: int = 40


CASES = {
    "unsorted list": Case(ordinary),
    "late commits": Case(late),
    "late commits, oldest first": Case(late, BY_DATE),
    "three days for one pass": Case(ordinary, calls_a_day=4),
    "three days for one pass, newest first": Case(late, NEWEST_FIRST, calls_a_day=4),
    "changes within one timestamp": Case(within_one_second),
    "one record dated 2099": Case(from_2099, NEWEST_FIRST),
    "many records on one timestamp": Case(many_at_once, BY_DATE),
    "deletions": Case(deletion, BY_ID),
    "all of it in three days": Case(anything, calls_a_day=4),
    "all of it": Case(anything, BY_DATE),
}


@dataclass
class Judge:
    """Compares what came with what was there."""

    vendor: ChangingVendor
    is_wanted: Callable[[Version], bool] = lambda _: True
    """Whether the job is to give such a version at all."""
    delivered: list[tuple[int, int]] = field(default_factory=list)
    pass_began: datetime | None = None

    def job_begins(self) -> None:
        """A job is about to make its first call."""
        self.pass_began = self.pass_began or self.vendor.now

    def job_ended(self, delivered: list[tuple[int, int]], *, is_pass_over: bool) -> None:
        """No version comes twice; and a pass that is over has brought, or its forerunners had, every version that
        the list held from its first call to its last one, if it came into the list no later than the lookback allows.
        """
        self.delivered += delivered
        assert not [each for each, count in Counter(self.delivered).items() if count > 1]
        there = {(each.id, each.number) for each in self.vendor.past if self.is_wanted(each)}
        assert set(self.delivered) <= there
        if is_pass_over:
            assert not self._held() - set(self.delivered)
            self.pass_began = None

    def _held(self) -> set[tuple[int, int]]:
        assert self.pass_began is not None
        end = self.vendor.now
        return {
            (each.id, each.number)
            for each in self.vendor.past
            if self.is_wanted(each)
            and each.shown_at <= self.pass_began
            and self.vendor.gone_at.get((each.id, each.number), end) >= end
            and each.shown_at - each.changed <= LOOKBACK
        }
