"""Eight worker processes at one instance: the vendor's own log shows what they did together."""

from __future__ import annotations

from typing import Any

from app.connectors.registry import catalogue
from app.sandbox import Account
from tests.fakes.shared_budget import most_in_any_window
from tests.fixtures.customer import Submission, SubmittedJob
from tests.fixtures.stack import Stack
from tests.fixtures.vendor import expected_jsonl
from tests.fixtures.waiting import wait_until

CALLS, PER_S = 60, 6.0
PAGES, PAGE = 30, 10
JOBS = 8  # together they fill four windows


def submit_all(
    stack: Stack, limits: dict[str, Any], account: Account, count: int = JOBS, object_name: str = "records"
) -> list[SubmittedJob]:
    """So many jobs of one instance of a vendor that says `limits`."""
    answer = stack.customer.insist(
        "POST", "/elements", json={**catalogue()["sandbox"], "key": "strict", "limits": limits}
    )
    assert answer.status_code == 200, answer.text
    authorization = stack.customer.connect(account, element="strict")
    return [
        stack.customer.send(Submission(object_name, account, authorization, {"pageSize": PAGE})) for _ in range(count)
    ]


def start_workers(stack: Stack, count: int = 8) -> None:
    for _ in range(count):
        stack.keep("worker", slots=2)
    wait_until(
        lambda: stack.number("select count(*) from workers where stopped_at is null") >= count,
        "all workers to sign in",
        120,
    )


def busy_s(account: Account) -> float:
    """From the first call to the end of the window of the last one."""
    times = [entry.monotonic_s for entry in account.log()]
    return times[-1] - times[0] + PER_S


def assert_kept(account: Account) -> None:
    """By the vendor's log, and by its own count of calls that were too many."""
    assert most_in_any_window([entry.monotonic_s for entry in account.log()], PER_S) <= CALLS
    assert account.counters["status_429"] == 0


def test_eight_workers_use_a_rate_and_never_pass_it_and_say_what_they_wait_for(stack: Stack) -> None:
    account = stack.vendor.account("rate")
    account.configure(records=PAGES * PAGE, limits=[{"calls": CALLS, "per_s": PER_S}])
    start_workers(stack)
    jobs = submit_all(stack, {"windows": [{"calls": CALLS, "per_s": PER_S}]}, account)
    said: set[str] = set()

    def is_said() -> bool:
        said.update(str(stack.customer.status(job)["statusMessage"]) for job in jobs)
        return any("limit of 60 calls in 6 s is used up, until 2" in text for text in said)

    wait_until(is_said, "a job to say what it waits for", 60)
    stack.wait_for_end(jobs, 120)
    assert_kept(account)
    assert account.calls >= JOBS * PAGES
    assert account.calls >= 0.85 * CALLS * busy_s(account) / PER_S
    assert {stack.customer.result(job) for job in jobs} == {expected_jsonl(account)}
    assert stack.number("select max(try_count) from slices") == 0


def test_a_server_that_is_wiped_in_the_middle_lets_nothing_more_through(stack: Stack) -> None:
    account = stack.vendor.account("wiped")
    account.configure(records=12 * PAGE, limits=[{"calls": CALLS, "per_s": PER_S}])
    start_workers(stack, 4)
    jobs = submit_all(stack, {"windows": [{"calls": CALLS, "per_s": PER_S}]}, account)
    account.wait_for_calls(CALLS // 2)
    stack.valkey.flush()
    stack.wait_for_end(jobs, 120)
    assert_kept(account)
    assert {stack.customer.result(job) for job in jobs} == {expected_jsonl(account)}


def test_calls_at_the_same_time_are_never_more_than_declared(stack: Stack) -> None:
    account = stack.vendor.account("parallel")
    account.configure(records=6 * PAGE, latency_ms=150, concurrent_max=3)
    start_workers(stack, 4)
    jobs = submit_all(stack, {"concurrency": 3}, account, object_name="records_page")  # several pages ahead
    stack.wait_for_end(jobs, 120)
    assert 2 <= account.counters["concurrency_max"] <= 3
    assert account.counters["status_429"] == 0
    assert {stack.customer.result(job) for job in jobs} == {expected_jsonl(account)}
