"""The order of strikes within a phase."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.campaign.arena import Arena
from tests.chaos.campaign.faults import Fault


@dataclass(frozen=True)
class Plan:
    """How many strikes of each fault are wanted, and until when (monotonic) they may be made."""

    strikes: Mapping[Fault, int]
    pause_s: float
    ends_at: float
    each_alone: bool = False
    """Wait until everything has recovered before the next strike."""


def one_by_one(arena: Arena, plan: Plan) -> None:
    """Strike after strike, each under at least ten running jobs, until each fault has struck often enough."""
    while missing := [fault for fault in plan.strikes if arena.tallies[fault.name].is_missed]:
        if time.monotonic() > plan.ends_at:
            return
        fault = arena.dice.choice(_each_as_often_as_missed(arena, missing))
        running = len(arena.gather())
        arena.note(fault.name, fault.strike(arena), running)
        if plan.each_alone:
            arena.wait_for_recoveries()
        arena.wait(plan.pause_s)


def _each_as_often_as_missed(arena: Arena, missing: list[Fault]) -> list[Fault]:
    tallies = {fault: arena.tallies[fault.name] for fault in missing}
    return [fault for fault, tally in tallies.items() for _ in range(tally.demanded - tally.counted)]
