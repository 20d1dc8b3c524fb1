"""Broker and database are wiped, killed, restarted and cut off under several jobs at once."""

import pytest

from tests.fixtures.customer import SubmittedJob
from tests.fixtures.stack import Stack
from tests.fixtures.vendor import KINDS

PAGES, PAGE = 60, 20
JOBS = 6


def submit_jobs(stack: Stack, *, pages: int = PAGES) -> list[SubmittedJob]:
    """One for each of several page kinds, slow enough to be met by a fault; every second with an apiLimit."""
    return [
        stack.customer.submit(
            KINDS[1 + number],
            account={"records": pages * PAGE, "latency_ms": 25},
            pageSize=PAGE,
            notificationUrl=stack.receiver.url,
            **({"apiLimit": pages * 3 // 4} if number % 2 else {}),
        )
        for number in range(JOBS)
    ]


def wait_for_progress(stack: Stack, jobs: list[SubmittedJob], calls: int) -> None:
    for job in jobs:
        job.account.wait_for_calls(calls)


def test_a_broker_that_loses_everything_loses_nothing(stack: Stack) -> None:
    stack.keep("worker", slots=4)
    jobs = submit_jobs(stack)
    wait_for_progress(stack, jobs[:4], 5)
    stack.valkey.flush()
    stack.valkey.kill()
    late = submit_jobs(stack, pages=10)
    stack.valkey.start()
    wait_for_progress(stack, late[:1], 1)
    stack.valkey.flush()
    stack.finish(jobs + late)
    stack.audit(jobs + late)


def test_postgres_restarted_at_once_loses_nothing(stack: Stack) -> None:
    for _ in range(2):
        stack.keep("worker", slots=3)
    jobs = submit_jobs(stack)
    for calls in (4, 20):
        wait_for_progress(stack, jobs[:2], calls)
        stack.pg.restart_immediately()
    stack.finish(jobs)
    stack.audit(jobs)


@pytest.mark.parametrize("part", ["reply", "request"])
def test_statements_in_doubt_count_once(stack: Stack, part: str) -> None:
    """Whether the statement was carried out or not, the connection ends without a word."""
    stack.keep("worker", slots=4)
    cut = stack.pg_proxy.cut_replies if part == "reply" else stack.pg_proxy.cut_requests
    cut("insert into segments", times=6)
    cut("set calls_held =", times=3)
    cut("set lease_expires_at = null, worker_id = null", times=3)
    cut("claim = claim + 1, worker_id", times=3)
    jobs = submit_jobs(stack)
    wait_for_progress(stack, jobs[:1], 3)
    cut("COMMIT", times=6)
    stack.finish(jobs)
    stack.audit(jobs)
    assert stack.pg_proxy.watch_count == 0
