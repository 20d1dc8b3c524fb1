"""The campaign's part about pushes: workers die while outputs are on their way."""

from tests.chaos.campaign.faults import Fault
from tests.chaos.campaign.phases import CUTS, FLUSH_BROKER, KILL_WORKER, RESTART_POSTGRES, Phase
from tests.chaos.campaign.pushes import PushedDownloads
from tests.chaos.campaign.steps import PUSH_STEP_NAMES, strike_at_steps
from tests.chaos.campaign.workload import Shape

_SHAPE = Shape(pages=(30, 45, 60), latency_ms=80)
_TRIES = {"HAULAGE_CRASH_TRIES": "1000"}
"""Many die in a row here, and that is not the push's fault."""

PUSHES = (
    Phase(
        "push-steps",
        "workers die at each step of a push",
        {Fault(name, lambda _: 0): 10 for name in PUSH_STEP_NAMES},
        pool="prefork",
        workers=3,
        slots=8,
        at_once=20,
        customers=PushedDownloads,
        shape=_SHAPE,
        settings=_TRIES,
        strike=strike_at_steps,
    ),
    Phase(
        "push-servers",
        "workers are killed, PostgreSQL and broker fail while outputs are pushed",
        {KILL_WORKER: 30, FLUSH_BROKER: 5, RESTART_POSTGRES: 5, CUTS["COMMIT"]: 10},
        workers=5,
        at_once=20,
        customers=PushedDownloads,
        shape=_SHAPE,
        settings=_TRIES,
        pause_s=0.6,
    ),
)
