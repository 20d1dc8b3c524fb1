"""Legs within the limits of their vendor: who waits says for what, spends nothing, and nothing is ever too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from app.connectors.allowances import Allowance
from app.connectors.spec import digest
from app.connectors.throttle import SLOTS, Grant, Refusal, Throttle
from app.db import connectors, instance_calls
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import status_document
from app.http_client import Headers, Request, Response
from app.local.valkey import ValkeyServer
from app.services import listing
from tests.fakes.engine import Engine, Tenant, assert_exact, doing, status
from tests.fakes.list_vendor import document
from tests.fakes.shared_budget import BEGAN_S, Budget, Clock, ask_at_random, most_in_any_window, window

MakeEngine = Callable[..., Engine]


def tenant_of(engine: Engine, clock: Clock, **limits: Any) -> Tenant:
    made = {**document("page"), "limits": limits}
    tenant = engine.add_tenant_of(made)
    made_at = clock.now() + timedelta(days=1)  # younger than all that the server has seen
    engine.execute("update instances set created_at = %s where id = %s", made_at, tenant.instance_id)
    return tenant


def waiting_text(engine: Engine, tenant: Tenant, job_id: int) -> str:
    """What `GET .../status` says."""
    found = listing.get_progress(engine.ctx, tenant.caller, job_id)
    return str(status_document(found.job, engine.ctx.now(), found.waiting)["statusMessage"])


# A job that waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
def test_a_job_that_waits_says_why_and_until_when_and_spends_no_attempt(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, windows=[{"calls": 2, "per_s": 60}])
    limited.vendor.serve(45)
    job_id = limited.submit(tenant)
    limited.leg(job_id)

    assert limited.vendor.call_count == 2
    row = limited.slice(job_id)
    assert (row["try_count"], row["last_error"], row["lease_expires_at"]) == (0, None, None)
    assert row["wait_reason"].startswith("The vendor's limit of 2 calls in 60 s is used up, until 2027-03-27T22:01:03Z")
    assert 50 < (row["next_run_at"] - datetime.now(UTC)).total_seconds() < 70
    text = waiting_text(limited, tenant, job_id)
    assert "waiting until 20" in text
    assert row["wait_reason"] in text

    for _ in range(10):
        if limited.job(job_id).status.is_terminal:
            break
        clock.now_s += 65
        limited.make_due(job_id)
        limited.leg(job_id)
    job = limited.job(job_id)
    assert (job.status, job.call_count) == (JobStatus.COMPLETED, limited.vendor.call_count)
    assert_exact(limited, job_id)


@pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
def test_a_short_wait_is_waited_in_the_leg(limited: Engine, broker_url: str, clock: Clock) -> None:
    limited.ctx = replace(limited.ctx, throttle=Throttle(broker_url), now=lambda: datetime.now(UTC))
    tenant = tenant_of(limited, clock, windows=[{"calls": 2, "per_s": 0.2}])
    limited.vendor.serve(45)
    job_id = limited.submit(tenant)
    limited.leg(job_id)
    assert limited.job(job_id).status is JobStatus.COMPLETED
    limited.ctx.throttle.close()


def test_a_stop_ends_the_wait_and_a_cancel_the_job(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, windows=[{"calls": 1, "per_s": 1}])
    limited.vendor.serve(45)
    job_id = limited.submit(tenant)
    limited.leg(job_id, is_stopping=limited.after_calls(1))
    assert limited.slice(job_id)["next_run_at"] is not None
    limited.make_due(job_id)
    limited.execute("update jobs set status = 'CANCELLATION_PENDING' where id = %s", job_id)
    limited.leg(job_id)
    assert limited.job(job_id).status is JobStatus.CANCELLED
    assert limited.vendor.call_count == 1


@pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
def test_a_call_that_had_to_wait_is_not_counted_against_the_api_limit(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, windows=[{"calls": 1, "per_s": 60}])
    limited.vendor.serve(95)
    job_id = limited.submit(tenant, api_limit=4)
    for _ in range(30):
        limited.make_due(job_id)
        limited.leg(job_id)
        clock.now_s += 30
    job = limited.job(job_id)
    assert (job.stop_reason, job.call_count, job.calls_written_off) == (StopReason.API_LIMIT, 4, 0)
    assert limited.vendor.call_count == 4
    assert_exact(limited, job_id, last=40)


@pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
def test_jobs_of_one_instance_share_its_limits_and_others_have_their_own(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, windows=[{"calls": 3, "per_s": 60}])
    limited.vendor.serve(95)
    for _ in range(3):
        limited.leg(limited.submit(tenant))
    assert limited.vendor.call_count == 3
    limited.leg(limited.submit(tenant_of(limited, clock, windows=[{"calls": 3, "per_s": 60}])))
    assert limited.vendor.call_count == 6


# A day's quota --------------------------------------------------------------------------------------------------------


def test_a_quota_leaves_its_reserve_and_begins_anew_at_the_vendors_midnight(limited: Engine, clock: Clock) -> None:
    quota = {"calls": 40, "reserve": "25%", "time_zone": "Europe/Berlin"}
    tenant = tenant_of(limited, clock, quota=quota)
    limited.vendor.serve(1000)
    job_id = limited.submit(tenant)
    calls_of_hours: dict[str, int] = {}
    for _ in range(30):  # one leg an hour, from 23:00 in Berlin on the day before its clocks are put forward
        before = limited.vendor.call_count
        limited.make_due(job_id)
        limited.leg(job_id)
        calls_of_hours[f"{clock.now():%d %H}"] = limited.vendor.call_count - before
        clock.now_s += 3600
    made = {hour: calls for hour, calls in calls_of_hours.items() if calls}
    assert made == {"27 22": 30, "27 23": 30, "28 22": 30}, "the 28th has 23 hours in Berlin"
    reason = limited.slice(job_id)["wait_reason"]
    assert reason.startswith("The 30 calls a day that jobs may make of the vendor's daily quota (Europe/Berlin)")
    assert reason.endswith("until 2027-03-29T22:00:00Z")


def test_no_loss_of_redis_brings_a_call_of_the_day_back(limited: Engine, clock: Clock, broker_url: str) -> None:
    tenant = tenant_of(limited, clock, quota={"calls": 400, "reserve": 0})
    limited.vendor.serve(5000)
    job_id = limited.submit(tenant)
    with Redis.from_url(broker_url) as redis:
        for round_number in range(100):
            limited.make_due(job_id)
            limited.leg(job_id, is_stopping=limited.after_calls(7))
            if round_number % 3 == 0:
                redis.flushall()
    job = limited.job(job_id)
    assert not job.status.is_terminal
    taken = limited.one("select calls from instance_calls where instance_id = %s", tenant.instance_id)["calls"]
    assert limited.vendor.call_count <= taken == 400
    assert limited.vendor.call_count >= 0.85 * 400, "each loss costs a block at most"


def test_a_day_in_another_time_zone_is_another_day(limited: Engine, clock: Clock) -> None:
    """Where the connector's zone is changed to one in which the day began later, its calls are not all thrown away."""
    tenant = tenant_of(limited, clock, quota={"calls": 400, "time_zone": "Pacific/Kiritimati"})
    limited.vendor.serve(45)
    assert_exact(limited, limited.run(limited.submit(tenant), legs=1).id)
    changed = {**document("page"), "limits": {"quota": {"calls": 400, "time_zone": "America/New_York"}}}
    connector_id = limited.one("select connector_id as id from instances where id = %s", tenant.instance_id)["id"]
    with limited.plain_db.connection() as conn:
        connectors.add_revision(conn, connector_id, changed, digest(changed))
    job = limited.run(limited.submit(tenant), legs=1)
    assert (job.status, job.call_count) == (JobStatus.COMPLETED, 6)


def test_a_worker_whose_clock_is_behind_at_midnight_takes_one_block_of_the_old_day(
    limited: Engine, clock: Clock
) -> None:
    tenant = tenant_of(limited, clock, quota={"calls": 400, "reserve": 0})
    clock.now_s = datetime(2027, 3, 28, 0, 0, 2, tzinfo=UTC).timestamp()
    limited.vendor.serve(45)
    limited.run(limited.submit(tenant), legs=1)
    limited.ctx = replace(limited.ctx, now=lambda: clock.now() - timedelta(seconds=5))
    job_id = limited.submit(tenant)
    limited.leg(job_id)
    assert "over by another worker's clock" in limited.slice(job_id)["wait_reason"]
    rows = limited.rows("select calls from instance_calls where instance_id = %s order by day", tenant.instance_id)
    old, new = (row["calls"] for row in rows)
    assert limited.vendor.call_count == new, "the vendor counts for the new day already"
    assert old == new, "one block"


def test_a_day_is_never_overdrawn_however_it_is_taken(limited: Engine) -> None:
    instance_id, day = limited.tenant.instance_id, datetime(2027, 1, 15, tzinfo=UTC).date()
    with limited.plain_db.connection() as conn:
        assert instance_calls.take(conn, instance_id, day, calls=60, quota=100)
        assert not instance_calls.take(conn, instance_id, day, calls=60, quota=100)
        assert instance_calls.take(conn, instance_id, day, calls=40, quota=100)
        assert instance_calls.find_taken(conn, instance_id, day) == 100
        assert instance_calls.take(conn, instance_id, day + timedelta(days=50), calls=1, quota=100)
        assert instance_calls.find_taken(conn, instance_id, day) == 0, "old days are forgotten"


# Redis away -----------------------------------------------------------------------------------------------------------


def test_while_redis_is_away_a_job_with_limits_waits_and_another_does_not(
    make_engine: MakeEngine, clock: Clock
) -> None:
    engine = make_engine()
    tenant = tenant_of(engine, clock, windows=[{"calls": 100, "per_s": 1}])
    engine.vendor.serve(25)
    job_id = engine.submit(tenant)
    engine.leg(job_id)
    row = engine.slice(job_id)
    assert engine.vendor.call_count == 0
    assert row["try_count"] == 0
    assert "shared through Redis, which does not answer" in row["wait_reason"]
    engine.run(engine.submit())
    assert engine.vendor.call_count == 4


def test_the_job_goes_on_once_a_restarted_server_has_been_up_for_a_window(
    make_engine: MakeEngine, valkey_server: ValkeyServer, clock: Clock
) -> None:
    throttle = Throttle(valkey_server.url, clock=clock)
    throttle.begin()
    engine = make_engine(throttle=throttle)
    engine.ctx = replace(engine.ctx, now=clock.now)
    tenant = tenant_of(engine, clock, windows=[{"calls": 2, "per_s": 60}])
    engine.execute("update instances set created_at = %s", clock.now())
    engine.vendor.serve(45)
    job_id = engine.submit(tenant)

    def leg_at(seconds: float) -> int:
        """Calls of one leg that begins so much later."""
        before = engine.vendor.call_count
        clock.now_s += seconds
        engine.make_due(job_id)
        engine.leg(job_id)
        return engine.vendor.call_count - before

    assert [leg_at(64), leg_at(64)] == [2, 2]
    valkey_server.kill()
    assert leg_at(64) == 0
    valkey_server.start()
    assert [leg_at(0), leg_at(62), leg_at(1.5)] == [0, 0, 2]
    throttle.close()


# What vendors say -----------------------------------------------------------------------------------------------------


def test_a_pause_that_one_job_hears_of_holds_for_all_jobs_of_the_instance(engine: Engine) -> None:
    engine.vendor.serve(45)
    first, second = engine.submit(), engine.submit()
    engine.vendor.script.append(status(429, {"Retry-After": "600"}))
    engine.leg(first)
    engine.leg(second)
    assert engine.vendor.call_count == 1
    row = engine.slice(second)
    assert row["try_count"] == 0
    assert row["wait_reason"].startswith("The vendor asked for a pause, until ")

    engine.ctx.throttle.unblock()  # as in another process
    engine.execute("update slices set next_run_at = now() where job_id = %s", second)
    engine.leg(second)
    assert engine.vendor.call_count == 1

    engine.make_due(second)
    engine.leg(second)
    assert engine.job(second).status is JobStatus.COMPLETED


def test_another_instance_does_not_wait_and_an_edit_lifts_the_pause(engine: Engine) -> None:
    engine.vendor.serve(5)
    engine.vendor.script.append(status(503, {"Retry-After": "600"}))
    engine.leg(engine.submit())
    other = engine.add_tenant()
    engine.leg(engine.submit(other))
    assert engine.vendor.call_count == 3
    assert engine.one("select count(*) as n from instances where blocked_until > now()")["n"] == 1


@pytest.mark.parametrize(
    ("answer", "is_pause"),
    [
        (status(429, {"Retry-After": "600"}), True),
        (status(503, {"Retry-After": "600"}), True),
        (status(429), False),
        (status(500, {"Retry-After": "600"}), False),
        (status(202, {"Retry-After": "600"}), False),
    ],
)
def test_only_limits_and_outages_are_everybodys_business(engine: Engine, answer: Any, is_pause: bool) -> None:
    engine.vendor.serve(25)
    engine.vendor.script.append(answer)
    engine.leg(engine.submit())
    blocked = engine.one("select count(*) as n from instances where blocked_until is not null")["n"]
    assert bool(blocked) == is_pause


def test_a_connector_without_limits_never_asks_redis(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Throttle, "_run", lambda *_, **__: pytest.fail("Redis was asked"))
    engine.vendor.serve(45)
    engine.vendor.script.append(status(429, {"Retry-After": "600"}))
    assert engine.run(engine.submit()).status is JobStatus.COMPLETED


def told(engine: Engine, **headers: str) -> Callable[[Request, Any], Response]:
    """The list's answer with further headers."""

    def answer(request: Request, beat: Any) -> Response:
        response = engine.vendor.listing.request(request, beat)
        pairs = (*((name.replace("_", "-"), value) for name, value in headers.items()),)
        return Response(response.status, Headers(pairs), response.body, response.url, 0.0)

    return answer


def test_what_an_answer_says_is_left_is_left_to_all(limited: Engine, clock: Clock) -> None:
    headers = {"remaining": "X-Left", "limit": "X-Limit", "reset": "X-Reset"}
    tenant = tenant_of(limited, clock, windows=[{"calls": 1000, "per_s": 10}], headers=headers)
    limited.vendor.serve(200)
    jobs = [limited.submit(tenant), limited.submit(tenant)]
    limited.vendor.script.append(told(limited, X_Left="900", X_Limit="1000", X_Reset="50"))
    limited.vendor.script.append(told(limited, X_Left="3", X_Limit="1000", X_Reset="50"))
    for job_id in jobs:
        limited.leg(job_id)
    assert limited.vendor.call_count == 5
    assert "The vendor asked for a pause, until 2027-03-27T22:00:50Z" in limited.slice(jobs[1])["wait_reason"]
    clock.now_s += 51
    for job_id in jobs:
        limited.run(job_id)
        assert_exact(limited, job_id)


def test_an_answer_that_nothing_is_left_is_heard_without_declared_limits_too(engine: Engine) -> None:
    made = {**document("page"), "limits": {"headers": {"remaining": "X-Left", "reset": "X-Reset"}}}
    tenant = engine.add_tenant_of(made)
    engine.vendor.serve(45)
    engine.vendor.script.append(told(engine, X_Left="0", X_Reset="600"))
    job_id = engine.submit(tenant)
    engine.leg(job_id)
    assert engine.vendor.call_count == 1
    assert "asked for a pause" in engine.slice(job_id)["wait_reason"]


@pytest.mark.parametrize("header", ["X_Left", "X_Limit", "X_Reset"])
@pytest.mark.parametrize("value", ["9" * 5000, "9" * 300, "-1", "1e400", "nan", "many", "٣"])
def test_a_header_that_holds_no_count_says_nothing(limited: Engine, clock: Clock, header: str, value: str) -> None:
    """Python refuses to read a number of more than 4,300 digits: that is no fault of the page."""
    headers = {"remaining": "X-Left", "limit": "X-Limit", "reset": "X-Reset"}
    tenant = tenant_of(limited, clock, windows=[{"calls": 1000, "per_s": 10}], headers=headers)
    limited.vendor.serve(45)
    said = {"X_Left": "9", "X_Limit": "10", "X_Reset": "5", header: value}
    limited.vendor.script.append(told(limited, **said))
    job = limited.run(limited.submit(tenant), legs=1)
    assert (job.status, job.record_count, job.call_count) == (JobStatus.COMPLETED, 45, 6)


# Calls at the same time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limited", [0.0, 0.0001], indirect=True, ids=["step_by_step", "overlapped"])
def test_slots_are_given_back_whatever_becomes_of_a_call(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, concurrency=1)
    limited.vendor.serve(45)
    limited.vendor.script.extend([status(500), told(limited), status(500)])
    assert limited.run(limited.submit(tenant)).status is JobStatus.COMPLETED
    limited.leg(limited.submit(tenant), is_stopping=limited.after_calls(2))
    assert limited.run(limited.submit(tenant)).status is JobStatus.COMPLETED


def test_a_job_that_finds_no_slot_says_so(limited: Engine, clock: Clock) -> None:
    tenant = tenant_of(limited, clock, concurrency=1)
    limited.vendor.serve(45)
    second = limited.submit(tenant)

    def meanwhile() -> None:
        limited.leg(second)
        row = limited.slice(second)
        assert row["wait_reason"].startswith("The vendor's limit of 1 calls at the same time is used up")
        assert row["try_count"] == 0

    limited.vendor.script.append(doing(meanwhile, limited.vendor))
    limited.leg(limited.submit(tenant))
    assert limited.vendor.call_count == 5 + 1


# The script on the real server ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flush_at", [None, 100])
@pytest.mark.parametrize("seed", range(5))
def test_no_window_ever_holds_more_on_the_real_server(broker_url: str, seed: int, flush_at: int | None) -> None:
    windows = (window(3, 0.5), window(10, 5.0), window(60, 60.0))
    with Redis.from_url(broker_url) as redis:
        asked = Budget(redis, Allowance(windows), made_s=BEGAN_S - 1)
        ask_at_random(asked, seed, flush_at=flush_at)
    assert asked.granted_at
    for each in windows:
        assert most_in_any_window(asked.granted_at, 1.05 * each.limit.per_s) <= each.limit.calls


def test_slots_and_keys_on_the_real_server(broker_url: str) -> None:
    with Redis.from_url(broker_url) as redis:
        asked = Budget(redis, Allowance((window(100, 10.0),), concurrency=2))
        first = asked.grant()
        asked.grant()
        assert asked.ask() == Refusal(0.1, SLOTS)
        asked.throttle.settle(asked.subject, first, remaining=1, reset_s=5)
        assert isinstance(asked.ask(), Refusal), "the call under way takes the one that is left"
        asked.now_s += 5
        assert isinstance(asked.ask(), Grant)
        assert all(redis.pttl(key) > 0 for key in redis.keys("haulage:*") if key != b"haulage:budget:server")
