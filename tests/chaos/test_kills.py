"""Worker children, whole workers and sweepers are killed at each step of their work, several jobs at once."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.sabotage import DELIVERY_STEPS, LEG_STEPS, SWEEPER_STEPS
from tests.fixtures.customer import SubmittedJob
from tests.fixtures.stack import LEASE_S, Stack
from tests.fixtures.vendor import KINDS

PAGES, PAGE = 40, 25
ONCE_A_LEG = ("claim", "plan", "renew", "hand_back", "hint", "finish")
_PROCESSES = 5
"""web, callbacks, sweeper and two workers"""
_TRIES = 3
CALM = (("renew", "hand_back"), ("hint",))
"""Steps that a leg comes to only when it is left alone for a while; the last one only when nobody else waits."""


def submit_for(stack: Stack, number: int, step: str) -> SubmittedJob:
    """A job that comes by that step."""
    kind = KINDS[1 + number % (len(KINDS) - 1)]
    account: dict[str, Any] = {"records": PAGES * PAGE, "latency_ms": 20, "habits": {"text": "strange"}}
    criteria: dict[str, Any] = {"pageSize": PAGE, "notificationUrl": stack.receiver.url}
    if step.startswith(("renew", "hand_back", "hint")):
        account["records"] *= 3
    elif step.startswith("reserve") or number % 3 == 0:
        criteria["apiLimit"] = 3 * PAGES // 2
    if step.startswith("renew"):  # only while nothing is committed
        account["faults"] = [{"calls": "3..", "every": 20, "do": "delay", "seconds": 0.6 * LEASE_S}]
    return stack.customer.submit(kind, account=account, **criteria)


def waves() -> Iterator[list[str]]:
    """Steps of a leg that are killed at the same time, each in a job of its own."""
    calm = tuple(step for steps in CALM for step in steps)
    yield [step for step in LEG_STEPS if not step.startswith(calm)]
    for steps in CALM:
        yield [step for step in LEG_STEPS if step.startswith(steps)]


def strike(stack: Stack, steps: list[str], pool: str) -> tuple[list[SubmittedJob], list[str]]:
    """A job for each step, killed there. Returns the jobs, and the steps that nobody came by.

    Where the step of one job kills the worker while another is between the last two steps of its own, that one is over.
    """
    jobs = [submit_for(stack, number, step) for number, step in enumerate(steps)]
    armed = [
        stack.arm(step, job, at=1 if step.startswith(ONCE_A_LEG) else 3) for step, job in zip(steps, jobs, strict=True)
    ]
    while len(stack.kept) < _PROCESSES:  # the first steps are armed before anybody can come by
        stack.keep("worker", pool=pool, slots=3)
    stack.finish(jobs, timeout_s=90)
    missed = [step for step, path in zip(steps, armed, strict=True) if path.exists()]
    for path in armed:
        path.unlink(missing_ok=True)
    return jobs, missed


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_killed_at_each_step_nothing_is_lost_or_doubled(stack: Stack, pool: str) -> None:
    """With the prefork pool a child dies, with the threads pool the whole worker and every leg in it."""
    for step in (*DELIVERY_STEPS, *SWEEPER_STEPS):
        stack.arm(step)
    jobs: list[SubmittedJob] = []
    for steps in waves():
        left = steps
        for _ in range(_TRIES):
            wave, left = strike(stack, left, pool)
            jobs += wave
            if not left:
                break
        assert left == [], "steps that nobody came by"
    stack.wait_until_quiet()
    assert sorted(armed.name for armed in stack.sabotage.iterdir()) == [], "steps that nobody came by"
    stack.audit(jobs)
