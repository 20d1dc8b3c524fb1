"""The campaign as a table: which faults strike how often, in which surroundings."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.campaign import faults
from tests.chaos.campaign.arena import Arena
from tests.chaos.campaign.faults import CUT_STATEMENTS, Fault, meter
from tests.chaos.campaign.steps import STEP_NAMES, strike_at_steps
from tests.chaos.campaign.striking import Plan, one_by_one
from tests.chaos.campaign.workload import Shape, Workload
from tests.fakes.audit import Audit
from tests.fixtures.stack import SETTINGS

SHORT_TIMES = {**SETTINGS, "HAULAGE_LEASE_S": "5", "HAULAGE_LEG_S": "2", "HAULAGE_CHECKPOINT_S": "0.25"}
PRODUCTION_TIMES: Mapping[str, str] = {}
"""Lease 30 s, leg 10 s, sweep 5 s: whatever the product's defaults are."""

Check = Callable[[Arena, Audit], Sequence[str]]


def no_more_checks(_arena: Arena, _audit: Audit) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Phase:
    """One stack, one kind of surroundings, one audit. `strikes`: how many of each fault; they come in drawn order."""

    name: str
    title: str
    strikes: Mapping[Fault, int]
    workers: int = 4
    slots: int = 6
    pool: str = "threads"
    callbacks_pool: str = "threads"
    services_each: int = 1
    """Sweepers and callback workers."""
    at_once: int = 18
    pause_s: float = 0.0
    customers: type[Workload] = Workload
    shape: Shape = field(default_factory=Shape)
    times: Mapping[str, str] = field(default_factory=lambda: SHORT_TIMES)
    settings: Mapping[str, str] = field(default_factory=dict)
    may_abort: bool = False
    strike: Callable[[Arena, Plan], None] = one_by_one
    check: Check = no_more_checks
    limit_s: float = 420


def _slow_now_and_then(dice: random.Random) -> list[dict[str, Any]]:
    """So that a leg comes to prolong its lease: only while nothing is committed."""
    if dice.random() < 0.6:
        return []
    return [{"calls": "3..", "every": 20, "do": "delay", "seconds": 1.6}]


_VENDOR_FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "status", "status": 429, "tell": "retry_after", "wait_s": 1},
    {"do": "status", "status": 500},
    {"do": "status", "status": 503, "body": "html"},
    {"do": "cut"},
    {"do": "drop", "reset": True},
    {"do": "delay", "seconds": 1.5},
    {"do": "truncated_gzip"},
    {"do": "truncated_json"},
    {"do": "html_200"},
    {"do": "garbage"},
)
_FAULT_RATE = 0.025
"""Of each; ten of them strike 22 calls in 100, since the first that strikes is the only one."""
_LEAST_SHARE = 0.2


def _faulty_vendor(dice: random.Random) -> list[dict[str, Any]]:
    return [{**fault, "rate": _FAULT_RATE, "seed": dice.randrange(10**6)} for fault in _VENDOR_FAULTS]


def _share(what: str, part: int, whole: int) -> Sequence[str]:
    if part >= _LEAST_SHARE * whole:
        return ()
    return (f"only {part} of {whole} {what}, not a fifth",)


def a_fifth_faulty(arena: Arena, _audit: Audit) -> Sequence[str]:
    part, whole = faults.vendor_fault_count(arena), faults.vendor_call_count(arena)
    arena.notes["faulty answers, per cent"] = round(100 * part / whole)
    return _share("answers were faulty", part, whole)


def _lost_messages(arena: Arena) -> int:
    return arena.stack.sabotage_count("lost")


def _doubled_messages(arena: Arena) -> int:
    return arena.stack.sabotage_count("sent")


def _a_fifth_lost(arena: Arena, _audit: Audit) -> Sequence[str]:
    lost = _lost_messages(arena)
    # Each process loses its first, sixth, ... message; one that has sent two has lost more than a fifth or none.
    return _share("messages were lost", lost + 5, lost + _doubled_messages(arena))


def _nothing_wasted(_arena: Arena, audit: Audit) -> Sequence[str]:
    """Workers that were asked to stop leave nothing behind."""
    if not audit.written_off_count:
        return ()
    return (f"{audit.written_off_count} calls were written off though nobody died",)


KILL_CHILD = Fault("worker child killed", faults.kill_child)
KILL_GROUP = Fault("worker group killed", faults.kill_worker)
KILL_WORKER = Fault("worker process killed", faults.kill_worker, "worker killed")
FLUSH_BROKER = Fault("broker flushed", faults.flush_broker)
KILL_BROKER = Fault("broker killed, back empty", faults.kill_broker, "broker back")
HALF_OPEN_BROKER = Fault("broker links half-open", faults.half_open_broker)
RESTART_POSTGRES = Fault("PostgreSQL restarted at once", faults.restart_postgres, "PostgreSQL back")
CUTS = {name: Fault(f"reply of {name} cut", faults.cut_reply(name)) for name in CUT_STATEMENTS}
FREEZE = Fault("worker frozen past its lease", faults.freeze_workers)
FREEZE_AT_STEP = Fault("worker frozen at a step", faults.freeze_at_step)
STORAGE = {error: Fault(f"storage: {error}", faults.break_storage(error)) for error in ("EACCES", "EIO", "ENOSPC")}
REPLACE_WORKER = Fault("worker replaced (SIGTERM)", faults.replace_worker)
KILL_WEB = Fault("API killed in a submission", faults.kill_web)
LOSE_MESSAGE = meter("message lost", _lost_messages)
DOUBLE_MESSAGE = meter("message doubled", _doubled_messages)
VENDOR_FAULT = meter("faulty vendor answer", faults.vendor_fault_count)
AT_STEPS = {Fault(name, lambda _: 0): 10 for name in STEP_NAMES}

_COUNTS = (
    Phase(
        "children",
        "children of prefork pools and whole groups are killed",
        {KILL_CHILD: 100, KILL_GROUP: 20},
        pool="prefork",
        workers=3,
        slots=8,
        pause_s=0.4,
    ),
    Phase(
        "workers",
        "worker processes of the thread pool are killed",
        {KILL_WORKER: 100},
        workers=5,
        slots=6,
        at_once=20,
        pause_s=1.0,
    ),
    Phase(
        "steps",
        "processes die at each step of a leg, a finish, a callback and the sweeper",
        AT_STEPS,
        pool="prefork",
        workers=3,
        slots=10,
        callbacks_pool="prefork",
        services_each=2,
        at_once=22,
        shape=Shape(pages=(60, 90, 120), make_faults=_slow_now_and_then),
        strike=strike_at_steps,
    ),
    Phase(
        "broker",
        "the broker is wiped, killed and half-open",
        {FLUSH_BROKER: 10, KILL_BROKER: 10, HALF_OPEN_BROKER: 10},
        slots=8,
        pause_s=0.3,
    ),
    Phase(
        "postgres",
        "PostgreSQL restarts at once and loses the replies of commits",
        {
            RESTART_POSTGRES: 10,
            CUTS["checkpoint"]: 20,
            CUTS["COMMIT"]: 20,
            CUTS["claim"]: 5,
            CUTS["hand-back"]: 5,
        },
        pause_s=0.3,
    ),
    Phase(
        "freezes",
        "workers stand still past their leases, then wake",
        {FREEZE: 10, FREEZE_AT_STEP: 10},
        workers=5,
        slots=7,
        at_once=22,
    ),
    Phase(
        "messages",
        "every message is doubled, a fifth is dropped",
        {LOSE_MESSAGE: 150, DOUBLE_MESSAGE: 600},
        settings={"SABOTAGE_MESSAGES": "2 5 0", "HAULAGE_LEG_S": "0.6"},
        shape=Shape(pages=(60, 90, 120)),
        check=_a_fifth_lost,
    ),
    Phase(
        "storage",
        "storage refuses, fails and is full for a while",
        {STORAGE["EACCES"]: 10, STORAGE["EIO"]: 10, STORAGE["ENOSPC"]: 10},
        may_abort=True,
        pause_s=0.5,
    ),
    Phase(
        "rolling",
        "workers are replaced one after another, as at a deployment",
        {REPLACE_WORKER: 20},
        check=_nothing_wasted,
    ),
    Phase(
        "vendor",
        "a fifth of the vendor's answers is faulty",
        {VENDOR_FAULT: 1000},
        shape=Shape(pages=(60, 90, 120), make_faults=_faulty_vendor),
        at_once=24,
        check=a_fifth_faulty,
    ),
    Phase(
        "web",
        "the API dies in the middle of submissions",
        {KILL_WEB: 10},
    ),
)


def _recovery(name: str, title: str, fault: Fault) -> Phase:
    """Production's settings, one strike after the other, each measured alone."""
    return Phase(name, title, {fault: 30}, slots=8, at_once=16, times=PRODUCTION_TIMES)


RECOVERIES = (
    _recovery("recovery-workers", "recovery of killed workers, production's settings", KILL_WORKER),
    _recovery("recovery-broker", "recovery from a broker that was away, production's settings", KILL_BROKER),
    _recovery("recovery-postgres", "recovery from a PostgreSQL restart, production's settings", RESTART_POSTGRES),
)
PHASES = (*_COUNTS, *RECOVERIES)
