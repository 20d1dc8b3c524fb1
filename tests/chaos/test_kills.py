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


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_killed_at_each_step_nothing_is_lost_or_doubled(stack: Stack, pool: str) -> None:
    """With the prefork pool a child dies, with the threads pool the whole worker and every leg in it."""
    for step in (*DELIVERY_STEPS, *SWEEPER_STEPS):
        stack.arm(step)
    jobs: list[SubmittedJob] = []
    for number, steps in enumerate(waves()):
        wave = [submit_for(stack, i, step) for i, step in enumerate(steps)]
        for step, job in zip(steps, wave, strict=True):
            stack.arm(step, job, at=1 if step.startswith(ONCE_A_LEG) else 3)
        if number == 0:  # the first steps are armed before anybody can come by
            for _ in range(2):
                stack.keep("worker", pool=pool, slots=3)
        stack.finish(wave, timeout_s=90)
        jobs += wave

    stack.wait_until_quiet()
    assert sorted(armed.name for armed in stack.sabotage.iterdir()) == [], "steps that nobody came by"
    stack.audit(jobs)
