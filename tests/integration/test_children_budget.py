"""Jobs with `child` within the limits of their vendor: who waits inside a look-up goes on, and nothing is lost."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.connectors.throttle import Throttle
from app.db.jobs import Job
from app.domain.criteria import Child
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import status_document
from app.http_client import Request
from app.services import control, listing
from tests.fakes.engine import Engine, Tenant, Vendor
from tests.fakes.family import Family, family_document, with_account, with_notes
from tests.fakes.sending import Unread
from tests.fakes.shared_budget import Clock, most_in_any_window
from tests.fakes.steps import Killed

COUNT = 12
ACCOUNTS = Child("accounts", "id")
NOTES = Child("notes", "id")
READINGS = [pytest.param(ACCOUNTS, with_account, id="referenced"), pytest.param(NOTES, with_notes, id="listed")]
PACES = pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
Nested = Callable[[int], bytes]


class LoggedFamily(Family):
    """`log`: when each call was sent."""

    def __init__(self) -> None:
        super().__init__(COUNT)
        self.log: list[float] = []


def limit(engine: Engine, clock: Clock, **limits: Any) -> LoggedFamily:
    """A vendor with such limits becomes the engine's, and its customer the tenant."""
    engine.tenant = engine.add_tenant_of({**family_document(), "limits": limits})
    made_at = clock.now() + timedelta(days=1)  # younger than all that the server has seen
    engine.execute("update instances set created_at = %s where id = %s", made_at, engine.tenant.instance_id)
    engine.vendor.serve(COUNT)
    engine.vendor.listing = made = LoggedFamily()

    def start(request: Request) -> Unread:
        made.log.append(clock.now_s)
        return Vendor.start(engine.vendor, request)

    engine.vendor.start = start  # type: ignore[method-assign]
    return made


def lines(nested: Nested) -> bytes:
    return b"".join(nested(number) + b"\n" for number in range(1, COUNT + 1))


def waiting_text(engine: Engine, tenant: Tenant, job_id: int) -> str:
    """What `GET .../status` says."""
    found = listing.get_progress(engine.ctx, tenant.caller, job_id)
    return str(status_document(found.job, engine.ctx.now(), found.waiting)["statusMessage"])


def run(engine: Engine, clock: Clock, job_id: int, *, legs: int = 60) -> Job:
    """Each leg when the one before it said; nobody waits in between."""
    for _ in range(legs):
        engine.make_due(job_id)
        engine.leg(job_id)
        if engine.job(job_id).status.is_terminal:
            return engine.job(job_id)
        clock.now_s += 1 + max(0.0, (engine.slice(job_id)["next_run_at"] - datetime.now(UTC)).total_seconds())
    raise AssertionError(f"job {job_id} has not ended after {legs} legs: {engine.job(job_id)}")


@PACES
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_a_job_that_waits_inside_a_look_up_says_so_and_goes_on(
    limited: Engine, clock: Clock, child: Child, nested: Nested
) -> None:
    vendor = limit(limited, clock, windows=[{"calls": 5, "per_s": 60}])
    job_id = limited.submit(child=child)
    limited.leg(job_id)

    assert limited.vendor.call_count == 5
    assert len(vendor.calls) == 1, "it is a look-up that waits"
    row = limited.slice(job_id)
    assert (row["try_count"], row["last_error"], row["lease_expires_at"]) == (0, None, None)
    assert row["wait_reason"].startswith("The vendor's limit of 5 calls in 60 s is used up, until 2027-03-27T22:01:0")
    assert 50 < (row["next_run_at"] - datetime.now(UTC)).total_seconds() < 70
    text = waiting_text(limited, limited.tenant, job_id)
    assert "waiting until 20" in text
    assert row["wait_reason"] in text
    delivered = limited.job(job_id).record_count
    assert 0 < delivered < 10, "the position is inside the page"
    assert limited.output(job_id) == b"".join(lines(nested).splitlines(keepends=True)[:delivered])

    job = run(limited, clock, job_id)
    assert (job.status, job.record_count) == (JobStatus.COMPLETED, COUNT)
    assert limited.output(job_id) == lines(nested)
    assert job.call_count == limited.vendor.call_count == len(vendor.log)
    assert job.calls_written_off == 0
    assert most_in_any_window(vendor.log, 60) <= 5


@PACES
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_an_api_limit_stays_exact_where_look_ups_wait(
    limited: Engine, clock: Clock, child: Child, nested: Nested
) -> None:
    limit(limited, clock, windows=[{"calls": 5, "per_s": 60}])
    job_id = limited.submit(child=child, api_limit=11)
    for run_number in range(1, 20):
        before = limited.vendor.call_count
        job = run(limited, clock, job_id)
        assert (job.status, job.calls_written_off) == (JobStatus.COMPLETED, 0)
        assert job.call_count == limited.vendor.call_count
        if job.stop_reason is StopReason.EXHAUSTED:
            break
        assert limited.vendor.call_count - before == 11, run_number
        control.restart(limited.ctx, limited.tenant.caller, job_id)
    assert job.stop_reason is StopReason.EXHAUSTED
    assert limited.output(job_id) == lines(nested)


@PACES
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_a_days_quota_may_end_inside_a_look_up(limited: Engine, clock: Clock, child: Child, nested: Nested) -> None:
    vendor = limit(limited, clock, quota={"calls": 8, "reserve": 0, "time_zone": "Europe/Berlin"})
    job_id = limited.submit(child=child)
    limited.leg(job_id)
    reason = limited.slice(job_id)["wait_reason"]
    assert reason.startswith("The 8 calls a day that jobs may make of the vendor's daily quota (Europe/Berlin)")
    assert reason.endswith("until 2027-03-27T23:00:00Z")
    run(limited, clock, job_id)
    assert limited.output(job_id) == lines(nested)
    days = Counter(datetime.fromtimestamp(at, ZoneInfo("Europe/Berlin")).date() for at in vendor.log)
    assert max(days.values()) == 8


@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_a_worker_that_dies_where_a_look_up_waits_loses_and_doubles_nothing(
    limited: Engine, clock: Clock, child: Child, nested: Nested
) -> None:
    limit(limited, clock, windows=[{"calls": 4, "per_s": 60}])
    steps = len(limited.trace(limited.submit(child=child, api_limit=90)))
    for number in range(steps):
        limit(limited, clock, windows=[{"calls": 4, "per_s": 60}])
        job_id = limited.submit(child=child, api_limit=90)
        limited.steps.arm(number)
        with contextlib.suppress(Killed):
            limited.leg(job_id)
        limited.steps.arm(-1)
        limited.lose_holder(job_id)
        clock.now_s += 65
        job = run(limited, clock, job_id)
        assert limited.output(job_id) == lines(nested), number
        assert limited.vendor.call_count <= job.call_count + job.calls_written_off <= 90


@PACES
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_calls_that_come_free_one_by_one_are_not_spent_on_the_page_alone(
    limited: Engine, clock: Clock, child: Child, nested: Nested
) -> None:
    """Each leg asks for the page anew: with one call at a time no record would ever get its child."""
    vendor = limit(limited, clock, windows=[{"calls": 4, "per_s": 60}])
    for _ in range(4):
        limited.leg(limited.submit(limit=10, page_size=10), is_stopping=limited.after_calls(1))
        clock.now_s += 15
    clock.now_s += 4
    job = run(limited, clock, limited.submit(child=child))
    assert limited.output(job.id) == lines(nested)
    assert job.call_count == len(vendor.log) - 4
    assert most_in_any_window(vendor.log, 60) <= 4


@pytest.mark.parametrize("calls", [1, 2])
def test_a_record_that_takes_more_calls_than_a_window_has_ends_the_job_with_the_reason(
    limited: Engine, clock: Clock, calls: int
) -> None:
    limit(limited, clock, windows=[{"calls": calls, "per_s": 60}])
    job_id = limited.submit(child=NOTES)
    job = run(limited, clock, job_id)
    assert (job.status, job.stop_reason, job.call_count) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR, 15 * calls)
    assert "One page and the children of one record take more calls than a window allows" in str(job.error)
    assert f"The vendor's limit of {calls} calls in 60 s is used up" in str(job.error)


def test_calls_of_other_jobs_are_no_failed_try(limited: Engine, clock: Clock) -> None:
    """However often they leave too little for a record."""
    limit(limited, clock, windows=[{"calls": 4, "per_s": 60}])
    other, job_id = limited.submit(), limited.submit(child=NOTES)
    for _ in range(20):
        clock.now_s += 65
        limited.execute("update slices set next_run_at = now(), cursor = null, skip = 0 where job_id = %s", other)
        limited.leg(other, is_stopping=limited.after_calls(2))
        limited.make_due(job_id)
        limited.leg(job_id)
        assert limited.slice(job_id)["try_count"] == 0
    assert limited.job(job_id).record_count == 0
    control.cancel(limited.ctx, limited.tenant.caller, other)
    clock.now_s += 65
    run(limited, clock, job_id)
    assert limited.output(job_id) == lines(with_notes)


@PACES
def test_a_short_wait_inside_a_look_up_is_waited_in_the_leg(limited: Engine, broker_url: str, clock: Clock) -> None:
    limited.ctx = replace(limited.ctx, throttle=Throttle(broker_url), now=lambda: datetime.now(UTC))
    limit(limited, clock, windows=[{"calls": 8, "per_s": 0.2}])
    job_id = limited.submit(child=NOTES)
    limited.leg(job_id)
    assert limited.job(job_id).status is JobStatus.COMPLETED
    assert limited.output(job_id) == lines(with_notes)
    limited.ctx.throttle.close()
