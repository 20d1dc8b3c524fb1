"""Messages are hints: doubled or lost, they change nothing."""

import pytest

from tests.fixtures.stack import Stack
from tests.fixtures.vendor import KINDS


@pytest.mark.parametrize("stack", [{"SABOTAGE_MESSAGES": "3 4 1"}], indirect=True, ids=["three copies, each 4th lost"])
def test_every_message_is_sent_more_than_once_and_some_never(stack: Stack) -> None:
    workers = [stack.keep("worker", slots=3) for _ in range(2)]
    jobs = [
        stack.customer.submit(
            kind,
            account={"records": 30 * 20, "latency_ms": 25},
            pageSize=20,
            notificationUrl=stack.receiver.url,
            **({"apiLimit": 20} if number % 2 else {}),
        )
        for number, kind in enumerate(KINDS[1:9])
    ]
    stack.finish(jobs)
    stack.audit(jobs)
    received = sum(kept.process.log_text().count("download.leg") for kept in workers)
    assert received > 2 * stack.number("select sum(claim) from slices")
    assert len(stack.receiver.calls) == sum(job.run_count for job in jobs)
