"""One phase from its stack to its audit."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import pytest

from tests.chaos.campaign.arena import Arena, Tally
from tests.chaos.campaign.judgement import short_recoveries
from tests.chaos.campaign.phases import PRODUCTION_TIMES, Phase
from tests.chaos.campaign.recovery import Recoveries
from tests.chaos.campaign.result import PhaseResult
from tests.chaos.campaign.striking import Plan
from tests.chaos.campaign.watch import Watch
from tests.fixtures.stack import Stack

_DRAIN_S = 150.0
_QUIET_S = 200.0
_MISTAKES = ("leg.failed", "sweep.crashed", "sweep.job_not_ended")
"""What is logged where an exception of ours was caught that nobody expected."""


def run_phase(phase: Phase, folder: Path, *, seed: int, scale: float) -> PhaseResult:
    """Never raises for what the product does; all of that is in the result. The folder stays if something is wrong."""
    tallies = {fault.name: Tally(max(1, ceil(count * scale))) for fault, count in phase.strikes.items()}
    promised = frozenset(fault.recovery for fault in phase.strikes if fault.recovery)
    result = PhaseResult(phase.name, phase.title, phase.times is PRODUCTION_TIMES, tallies, promised)
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with Stack(folder, times=phase.times, **phase.settings) as stack:
            _fight(phase, stack, result, seed)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the other phases are run all the same
        result.problems.append(f"{type(error).__name__}: {error}")
    missed = {name: tally for name, tally in tallies.items() if tally.is_missed}
    result.problems += short_recoveries(result, scale)
    result.problems += [f"only {tally.counted} of {tally.demanded} strikes: {name}" for name, tally in missed.items()]
    result.seconds = time.monotonic() - began
    if not result.problems:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _fight(phase: Phase, stack: Stack, result: PhaseResult, seed: int) -> None:
    """Customers and recoveries in threads of their own, strikes in this one; then calm, then the audit."""
    watch, other_watch = Watch(stack.pg.url), Watch(stack.pg.url)
    recoveries = Recoveries(other_watch, result.samples)
    workload = phase.customers(
        stack,
        watch,
        random.Random(f"{seed} {phase.name} jobs"),
        shape=phase.shape,
        at_once=phase.at_once,
        restarts_aborted=phase.may_abort,
    )
    dice = random.Random(f"{seed} {phase.name} faults")
    arena = Arena(
        stack, watch, workload, recoveries, dice, phase.pool, phase.slots, tallies=result.tallies, notes=result.notes
    )
    try:
        _start(phase, arena)
        try:
            _strike(phase, arena)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - what became of the records is told all the same
            result.problems.append(f"{type(error).__name__}: {error}")
        _settle(phase, arena, result)
    finally:
        workload.stop()
        recoveries.stop()
        result.problems += [*workload.problems, *recoveries.problems]
        for each in (watch, other_watch):
            each.close()


def _start(phase: Phase, arena: Arena) -> None:
    for _ in range(phase.services_each - 1):
        arena.stack.keep("sweeper")
        arena.stack.keep("callbacks", pool=phase.callbacks_pool)
    for _ in range(phase.workers):
        arena.start_worker()
    arena.recoveries.start()
    arena.workload.start()


def _strike(phase: Phase, arena: Arena) -> None:
    plan = Plan(
        phase.strikes,
        pause_s=phase.pause_s,
        ends_at=time.monotonic() + phase.limit_s,
        each_alone=phase.times is PRODUCTION_TIMES,
    )
    phase.strike(arena, plan)


def _settle(phase: Phase, arena: Arena, result: PhaseResult) -> None:
    arena.wait_for_recoveries()
    arena.workload.drain(_DRAIN_S)
    try:
        arena.stack.wait_until_quiet(_QUIET_S)
    except pytest.fail.Exception as error:
        result.problems.append(str(error))  # and the audit tells what it did
    result.audit = arena.workload.take_stock()
    result.problems += result.audit.problems
    result.problems += phase.check(arena, result.audit)
    result.problems += own_mistakes(arena.stack.product.folder)


def own_mistakes(folder: Path) -> Iterator[str]:
    """Errors of the product itself, which it survives and logs: a second line of defence has held, the first has not.

    A segment's primary key refuses a zombie whose claim is not looked at, for one.
    """
    for log in sorted(folder.glob("*.log")):
        with log.open(errors="replace") as lines:
            counts = Counter(event for line in lines for event in _MISTAKES if f'"event": "{event}"' in line)
        yield from (f"{count} times {event} in {log.name}" for event, count in counts.items())
