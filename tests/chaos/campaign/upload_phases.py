"""The campaign's part about uploads: the same faults, and a vendor that takes records and does not say so."""

import random
from typing import Any

from tests.chaos.campaign import phases
from tests.chaos.campaign.faults import Fault
from tests.chaos.campaign.phases import CUTS, FLUSH_BROKER, KILL_BROKER, KILL_WORKER, RESTART_POSTGRES, Phase
from tests.chaos.campaign.steps import UPLOAD_STEP_NAMES, strike_at_steps
from tests.chaos.campaign.uploads import HastyUploads, Uploads
from tests.chaos.campaign.workload import Shape
from tests.fixtures import uploader

_TIMES = {**phases.SHORT_TIMES, "HAULAGE_LEASE_S": "3"}
_SETTINGS = uploader.SETTINGS
_CALLS = (150, 200, 250)
_LATENCY_MS = 200.0


def _slow_now_and_then(dice: random.Random) -> list[dict[str, Any]]:
    """So that a leg comes to prolong its lease: one that sends row after row hears nothing meanwhile."""
    if dice.random() < 0.4:
        return []
    return [{"calls": "3..", "every": 8, "do": "delay", "seconds": 1.2, "path": "/people"}]


_FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "status", "status": 429, "tell": "retry_after", "wait_s": 1},
    {"do": "status", "status": 503, "body": "html"},
    {"do": "status", "status": 500},
    {"do": "status", "status": 500, "body": "html", "commits": True},
    {"do": "cut"},
    {"do": "drop", "reset": True},
    {"do": "drop", "commits": False},
    {"do": "truncated_json"},
    {"do": "html_200"},
    {"do": "garbage"},
)
_LATE_FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "delay", "seconds": HastyUploads.read_timeout_s + 6},
    {"do": "delay", "seconds": HastyUploads.read_timeout_s + 1, "first": True},
)
"""The answer comes after our timeout; with `first` even the record does, before it may be looked up. libcurl takes the
bytes of a batch that it has sent for signs of life for some seconds.
"""

_RATE, _LATE_RATE = 0.024, 0.008


def _faulty_vendor(dice: random.Random) -> list[dict[str, Any]]:
    rated = [(fault, _RATE) for fault in _FAULTS] + [(fault, _LATE_RATE) for fault in _LATE_FAULTS]
    return [{**fault, "rate": rate, "seed": dice.randrange(10**6)} for fault, rate in rated]


_AT_STEPS = {Fault(name, lambda _: 0): 5 for name in UPLOAD_STEP_NAMES}

UPLOADS = (
    Phase(
        "upload-workers",
        "worker processes are killed, and some stand still past their leases, under uploads",
        {KILL_WORKER: 50, phases.FREEZE: 5},
        workers=5,
        customers=Uploads,
        shape=Shape(pages=_CALLS, latency_ms=_LATENCY_MS),
        times=_TIMES,
        settings=_SETTINGS,
        pause_s=0.8,
    ),
    Phase(
        "upload-steps",
        "workers die at each step of a leg that uploads",
        _AT_STEPS,
        pool="prefork",
        workers=3,
        slots=8,
        at_once=20,
        customers=Uploads,
        shape=Shape(pages=(60, 90, 120), latency_ms=_LATENCY_MS, make_faults=_slow_now_and_then),
        times=_TIMES,
        settings=_SETTINGS,
        strike=strike_at_steps,
    ),
    Phase(
        "upload-servers",
        "broker and PostgreSQL fail under uploads",
        {
            FLUSH_BROKER: 5,
            KILL_BROKER: 5,
            RESTART_POSTGRES: 5,
            CUTS["step of an upload"]: 15,
            CUTS["COMMIT"]: 10,
            CUTS["claim"]: 3,
            CUTS["hand-back"]: 3,
        },
        customers=Uploads,
        shape=Shape(pages=_CALLS, latency_ms=_LATENCY_MS),
        times=_TIMES,
        settings=_SETTINGS,
        pause_s=0.3,
    ),
    Phase(
        "upload-vendor",
        "a fifth of the answers to uploads is faulty, late or lost, and workers are killed",
        {phases.VENDOR_FAULT: 600, KILL_WORKER: 5},
        workers=5,
        customers=HastyUploads,
        shape=Shape(pages=(60, 90, 120), latency_ms=_LATENCY_MS, make_faults=_faulty_vendor),
        at_once=20,
        times=_TIMES,
        settings=_SETTINGS,
        check=phases.a_fifth_faulty,
    ),
)
