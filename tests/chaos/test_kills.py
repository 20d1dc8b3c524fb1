"""Worker children, whole workers and sweepers are killed at each step of their work, several jobs at once."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.sabotage import DELIVERY_STEPS, LEG_STEPS, SWEEPER_STEPS
from tests.fixtures.customer import SubmittedJob
from tests.fixtures.stack import LEASE_S, Stack
from tests.fixtures.vendor import KINDS

PAGES, PAGE = 40, 25
ONCE_A_LEG = ("claim", "plan", "renew", "hand_back", "hint", "finish")
ONLY_IN_LONG_LEGS = ("renew", "hand_back", "hint")
"""Steps that a leg comes to only when it is left alone for a while and nobody else waits."""


def submit_for(stack: Stack, number: int, step: str) -> SubmittedJob:
    """A job that comes by that step."""
    kind = KINDS[1 + number % (len(KINDS) - 1)]
    account: dict[str, Any] = {"records": PAGES * PAGE, "latency_ms": 20, "habits": {"text": "strange"}}
    criteria: dict[str, Any] = {"pageSize": PAGE, "notificationUrl": stack.receiver.url}
    if step.startswith(ONLY_IN_LONG_LEGS):
        account["records"] *= 3
    elif step.startswith("reserve") or number % 3 == 0:
        criteria["apiLimit"] = 3 * PAGES // 2
    if step.startswith("renew"):  # only while nothing is committed
        account["faults"] = [{"calls": "3..", "every": 20, "do": "delay", "seconds": 0.6 * LEASE_S}]
    return stack.customer.submit(kind, account=account, **criteria)


def submit_and_arm(stack: Stack, steps: list[str]) -> tuple[list[SubmittedJob], list[Path]]:
    jobs = [submit_for(stack, number, step) for number, step in enumerate(steps)]
    armed = [
        stack.arm(step, job, at=1 if step.startswith(ONCE_A_LEG) else 3) for step, job in zip(steps, jobs, strict=True)
    ]
    return jobs, armed


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_killed_at_each_step_nothing_is_lost_or_doubled(stack: Stack, pool: str) -> None:
    """With the prefork pool a child dies, with the threads pool the whole worker and every leg in it."""
    late = [step for step in LEG_STEPS if step.startswith(ONLY_IN_LONG_LEGS)]
    armed = [stack.arm(step) for step in (*DELIVERY_STEPS, *SWEEPER_STEPS)]
    jobs, armed_for = submit_and_arm(stack, [step for step in LEG_STEPS if step not in late])
    for _ in range(2):
        stack.keep("worker", pool=pool, slots=3)
    stack.finish(jobs, timeout_s=90)
    more_jobs, armed_late = submit_and_arm(stack, late)
    stack.finish(more_jobs, timeout_s=90)

    stack.wait_until_quiet()
    assert [path.name for path in (*armed, *armed_for, *armed_late) if path.exists()] == []
    stack.audit([*jobs, *more_jobs])
