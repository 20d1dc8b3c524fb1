"""A deployment in the middle of the work: nothing is lost, nothing is done twice, nobody has to be killed."""

import pytest

from tests.fixtures.stack import Stack

PAGES, PAGE, JOBS = 100, 20, 4


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_workers_replaced_one_by_one_hand_back_what_they_hold(stack: Stack, pool: str) -> None:
    workers = [stack.keep("worker", pool=pool, slots=2) for _ in range(2)]
    jobs = [
        stack.customer.submit(
            "records_cursor",
            account={"records": PAGES * PAGE, "latency_ms": 50},
            pageSize=PAGE,
            apiLimit=PAGES,
            notificationUrl=stack.receiver.url,
        )
        for _ in range(JOBS)
    ]
    for progress in (5, 30):
        for job in jobs:
            job.account.wait_for_calls(progress)
        old = stack.let_go(workers.pop(0))
        workers.append(stack.keep("worker", pool=pool, slots=2))
        assert old.terminate() == 0
    stack.finish(jobs)
    stack.audit(jobs)
    for job in jobs:
        metadata = stack.customer.status(job)["metadata"]
        assert (job.account.calls, metadata["apiCallsWrittenOff"], job.run_count) == (PAGES, 0, 1)
