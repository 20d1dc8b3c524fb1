"""Workers that stand still beyond their lease, and wake up when others have done their work."""

from pathlib import Path

from tests.fixtures.processes import ProductProcess
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

PAGES, PAGE = 40, 20
STEPS = ("fetch.before", "put.before", "advance.before")
"""A zombie that wakes there calls the vendor, writes an object, commits."""


def is_frozen(process: ProductProcess) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(stack: Stack) -> None:
    jobs = [
        stack.customer.submit(
            "records_cursor",
            account={"records": PAGES * PAGE, "latency_ms": 20},
            pageSize=PAGE,
            apiLimit=2 * PAGES,
            notificationUrl=stack.receiver.url,
        )
        for _ in STEPS
    ]
    for step, job in zip(STEPS, jobs, strict=True):
        stack.arm(step, job, action="stop", at=4)
    workers = [stack.keep("worker", slots=2) for _ in range(len(STEPS) + 1)]

    stack.finish(jobs)
    frozen = [kept.process for kept in workers if is_frozen(kept.process)]
    assert frozen
    assert not list(stack.sabotage.iterdir())
    for process in frozen:
        process.thaw()
    for process in frozen:
        wait_until(lambda log=process.log_text: "leg.lost_claim" in log(), "the zombie to notice")  # type: ignore[misc]

    stack.audit(jobs)
    assert [kept.restart_count for kept in workers] == [0] * len(workers)
