"""A leg where all goes well: every record once, in order, within the limits, whoever works on it."""

from collections.abc import Callable

import pytest

from app.db import checkpoints, slices
from app.domain.jobs import JobStatus, StopReason
from app.services import control
from tests.fakes.engine import Engine, assert_exact, status
from tests.fakes.list_vendor import PAGES

MakeEngine = Callable[..., Engine]
KINDS = sorted(set(PAGES) - {"page_from_0"})
UNAVAILABLE = status(503, {"Retry-After": "0"})


@pytest.fixture
def engine(paced_engine: Engine) -> Engine:
    return paced_engine


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_comes_once_and_in_order(engine: Engine, kind: str) -> None:
    tenant = engine.add_tenant(kind)
    for count in (0, 1, 10, 11, 57):
        engine.vendor.serve(count)
        job = engine.run(engine.submit(tenant))
        assert (job.status, job.stop_reason, job.has_more) == (JobStatus.COMPLETED, StopReason.EXHAUSTED, False)
        assert job.call_count == engine.vendor.call_count
        assert job.status_message == f"Successfully downloaded {count} records"
        assert_exact(engine, job.id)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_changes_hands_after_every_page_gives_the_same_bytes(engine: Engine, kind: str) -> None:
    engine.vendor.serve(57)
    job = engine.run(engine.submit(engine.add_tenant(kind)), pages_per_leg=1)
    assert job.status is JobStatus.COMPLETED
    assert job.call_count == engine.vendor.call_count
    assert_exact(engine, job.id)


@pytest.mark.parametrize("kind", ["page", "cursor", "link", "keyset"])
def test_a_limit_inside_a_page_stops_there_and_a_restart_goes_on_behind_it(engine: Engine, kind: str) -> None:
    engine.vendor.serve(37)
    tenant = engine.add_tenant(kind)
    job_id = engine.submit(tenant, limit=13)

    for run, last in enumerate((13, 26, 37), start=1):
        job = engine.run(job_id)
        assert job.status is JobStatus.COMPLETED
        assert_exact(engine, job_id, last=last)
        assert (job.run_number, job.revision) == (run, run)
        assert job.stop_reason is (StopReason.LIMIT if run < 3 else StopReason.EXHAUSTED)
        assert job.has_more == (run < 3)
        if run < 3:
            control.restart(engine.ctx, tenant.caller, job_id)


def test_a_limit_at_the_vendors_last_record_has_no_more(engine: Engine) -> None:
    engine.vendor.serve(20)
    job = engine.run(engine.submit(engine.add_tenant("page_counted"), limit=20))
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.COMPLETED, StopReason.EXHAUSTED, False)


# apiLimit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages_per_leg", [1, None])
def test_exactly_as_many_calls_as_needed_and_allowed_are_made(engine: Engine, pages_per_leg: int | None) -> None:
    needed = 7  # pages 1 to 6 with records, and the empty one behind them
    for api_limit in (1, 3, 6, 7, 8, 100):
        engine.vendor.serve(57)
        job = engine.run(engine.submit(api_limit=api_limit), pages_per_leg=pages_per_leg)
        calls = min(needed, api_limit)
        assert engine.vendor.call_count == job.call_count == calls
        assert job.calls_written_off == 0
        run = engine.one("select calls_reserved from runs where job_id = %s", job.id)
        assert run["calls_reserved"] == calls
        assert job.status is JobStatus.COMPLETED
        assert job.stop_reason is (StopReason.EXHAUSTED if api_limit >= needed else StopReason.API_LIMIT)
        assert_exact(engine, job.id, last=min(57, 10 * calls))


def test_an_api_limit_may_abort_where_the_operator_says_so(make_engine: MakeEngine) -> None:
    engine = make_engine(api_limit_state="ABORTED")
    engine.vendor.serve(57)
    job = engine.run(engine.submit(api_limit=2))
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.ABORTED, StopReason.API_LIMIT, True)
    assert job.error is not None
    assert "apiLimit of 2" in job.error


def test_a_restart_after_the_api_limit_has_a_new_budget(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit(api_limit=4)
    engine.run(job_id)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    job = engine.run(job_id)
    assert (job.stop_reason, job.call_count, engine.vendor.call_count) == (StopReason.EXHAUSTED, 7, 7)
    assert_exact(engine, job_id)


def test_retries_count_against_the_api_limit(make_engine: MakeEngine) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.serve(57)
    engine.vendor.script.extend([UNAVAILABLE] * 3)
    job = engine.run(engine.submit(api_limit=5))
    assert engine.vendor.call_count == job.call_count == 5
    assert_exact(engine, job.id, last=20)


def test_calls_that_a_dead_worker_held_are_written_off_and_never_made_again(engine: Engine) -> None:
    engine.vendor.serve(1000)
    job_id = engine.submit(api_limit=40)
    with engine.plain_db.connection() as conn:
        claim = slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30)
        assert claim is not None
        assert checkpoints.reserve_calls(conn, claim.slice_id, claim.number, claim.checkpoint, made=0, wanted=5)
    engine.lose_holder(job_id)

    job = engine.run(job_id)

    assert (job.call_count, job.calls_written_off) == (35, 5)
    assert engine.vendor.call_count == 35
    assert_exact(engine, job_id, last=350)
