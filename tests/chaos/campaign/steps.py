"""Deaths at every single step, several armed at a time, each in whichever job comes by first."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.campaign.arena import AT_LEAST_RUNNING, Arena
from tests.chaos.campaign.striking import Plan
from tests.fakes import sabotage
from tests.fakes.sabotage import DELIVERY_STEPS, LEG_STEPS, PUSH_STEPS, SWEEPER_STEPS, UPLOAD_STEPS

_ROLES = {sabotage.WORKER: (*LEG_STEPS, *DELIVERY_STEPS), sabotage.SWEEPER: SWEEPER_STEPS}
STEP_NAMES = {f"{role} killed at {step}": (role, step) for role, steps in _ROLES.items() for step in steps}
UPLOAD_STEP_NAMES = {f"{sabotage.WORKER} killed at {step}": (sabotage.WORKER, step) for step in UPLOAD_STEPS}
PUSH_STEP_NAMES = {f"{sabotage.WORKER} killed at {step}": (sabotage.WORKER, step) for step in PUSH_STEPS}
_BY_NAME = {**STEP_NAMES, **UPLOAD_STEP_NAMES, **PUSH_STEP_NAMES}
_MANY_PASSES = ("fetch", "take_in", "put", "advance", "reserve", "tell", "write", "hear", "look")
"""Steps that a leg comes by often: the strike need not be at its first pass."""

_ARMED_AT_ONCE = 8
_SPARE = 2
"""So many more than ten must run before a step is armed: the strike comes a moment later, and others fall as well."""

_LOOK_S = 0.05


@dataclass(frozen=True)
class _Armed:
    name: str
    path: Path


def strike_at_steps(arena: Arena, plan: Plan) -> None:
    """Until each step has killed often enough. A death counts if ten jobs ran at the last look before it."""
    armed: list[_Armed] = []
    running = len(arena.gather(more=_SPARE))
    try:
        while time.monotonic() < plan.ends_at and (armed or _missing(arena, armed)):
            struck = [each for each in armed if not each.path.exists()]
            for each in struck:
                arena.note(each.name, 1, running)
            armed = [each for each in armed if each not in struck]
            running = len(arena.running())
            if running >= AT_LEAST_RUNNING + _SPARE and len(armed) < _ARMED_AT_ONCE:
                armed += _arm_one(arena, armed)
            arena.wait(_LOOK_S)
    finally:
        for each in armed:
            each.path.unlink(missing_ok=True)


def _missing(arena: Arena, armed: list[_Armed]) -> list[str]:
    waiting = {each.name for each in armed}
    return [name for name, tally in arena.tallies.items() if tally.is_missed and name not in waiting]


def _arm_one(arena: Arena, armed: list[_Armed]) -> list[_Armed]:
    missing = _missing(arena, armed)
    if not missing:
        return []
    name = arena.dice.choice(missing)
    role, step = _BY_NAME[name]
    at = arena.dice.randint(1, 3) if step.startswith(_MANY_PASSES) else 1
    return [_Armed(name, arena.stack.arm(step, role=role, at=at))]
