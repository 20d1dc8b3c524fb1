"""A worker that dies at any step of a leg, and a connection to PostgreSQL that dies at any statement."""

from typing import Any

import pytest

from app.domain.jobs import FileFormat, JobStatus
from app.services import retention
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.steps import Killed, cut

COUNT = 25
PLAIN: dict[str, Any] = {}
API_LIMIT = {"api_limit": 20}
CALLBACK = {"notification_url": "http://127.0.0.1:9/callback"}
CASES = [
    pytest.param(PLAIN, 1, id="handed_back"),
    pytest.param(PLAIN, None, id="to_the_end"),
    pytest.param({"file_format": FileFormat.CSV}, 1, id="csv"),
    pytest.param({"limit": 23}, None, id="limit"),
    pytest.param(API_LIMIT, 1, id="api_limit_handed_back"),
    pytest.param(API_LIMIT | CALLBACK, None, id="api_limit_and_callback_to_the_end"),
]


@pytest.fixture
def engine(paced_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr("app.services.lease._PAUSE_S", 0.001)
    return paced_engine


def steps_of(engine: Engine, criteria: dict[str, Any], pages_per_leg: int | None) -> list[str]:
    """What one leg does where nothing goes wrong."""
    engine.vendor.serve(COUNT)
    return engine.trace(engine.submit(**criteria), is_stopping=engine.after_calls(pages_per_leg))


@pytest.mark.parametrize(("criteria", "pages_per_leg"), CASES)
def test_a_worker_killed_at_any_step_neither_loses_nor_doubles_a_record(
    engine: Engine, criteria: dict[str, Any], pages_per_leg: int | None
) -> None:
    names = steps_of(engine, criteria, pages_per_leg)
    assert {"before put", "after put", "before call", "after call"} <= set(names)
    struck: list[str | None] = []
    for number, name in enumerate(names):
        engine.vendor.serve(COUNT)
        job_id = engine.submit(**criteria)
        struck.append(kill_leg(engine, job_id, pages_per_leg, number))
        engine.lose_holder(job_id)
        job = engine.job(job_id) if engine.job(job_id).status.is_terminal else engine.run(job_id)

        assert job.status is JobStatus.COMPLETED, name
        assert_exact(engine, job_id, last=criteria.get("limit"))
        assert engine.vendor.call_count <= criteria.get("api_limit", 1000), name
        sweep_orphans(engine, job_id)
        assert engine.orphans(job_id) == set(), name
        deliveries = engine.rows("select run_number from deliveries where job_id = %s", job_id)
        assert len(deliveries) == ("notification_url" in criteria), name
    if engine.ctx.settings.checkpoint_s:  # overlapped, the order changes, and there may be fewer checkpoints
        assert {"before put", "after put", "before call", "after call"} <= set(struck)
    else:
        assert struck == names


def kill_leg(engine: Engine, job_id: int, pages_per_leg: int | None, number: int) -> str | None:
    """Kill a leg at its step `number`. Returns that step; None if the leg had fewer."""
    engine.steps.arm(number)
    try:
        engine.leg(job_id, is_stopping=engine.after_calls(pages_per_leg))
    except Killed as killed:
        return str(killed)
    finally:
        engine.steps.arm(-1)
    return None


def sweep_orphans(engine: Engine, job_id: int) -> None:
    """The time that an old holder may still be writing is over."""
    engine.execute("update jobs set sweep_orphans_at = now() where id = %s and sweep_orphans_at is not null", job_id)
    retention.sweep_orphans(engine.ctx)


@pytest.mark.parametrize(("criteria", "pages_per_leg"), CASES)
def test_a_connection_cut_at_any_statement_changes_nothing(
    engine: Engine, criteria: dict[str, Any], pages_per_leg: int | None
) -> None:
    """Whether the statement was carried out or not: counts, calls and budgets are as if nothing had happened."""
    names = steps_of(engine, criteria, pages_per_leg)
    for number, name in enumerate(names):
        engine.vendor.serve(COUNT)
        job_id = engine.submit(**criteria)
        engine.steps.arm(number, cut)
        engine.leg(job_id, is_stopping=engine.after_calls(pages_per_leg))
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        job = engine.job(job_id) if engine.job(job_id).status.is_terminal else engine.run(job_id)

        assert job.status is JobStatus.COMPLETED, (number, name)
        assert_exact(engine, job_id, last=criteria.get("limit"))
        assert job.call_count == engine.vendor.call_count, (number, name)
        assert job.calls_written_off == 0, (number, name)
        if "api_limit" in criteria:
            reserved = engine.one("select calls_reserved from runs where job_id = %s", job_id)["calls_reserved"]
            assert reserved == engine.vendor.call_count, (number, name)


@pytest.mark.parametrize("statement", ["after with target", "before with target", "before select", "after select"])
def test_a_leg_that_has_only_begun_outlives_a_restart_of_postgresql(engine: Engine, statement: str) -> None:
    """Its lease must not be left to run out: nobody else could work for so long."""
    names = steps_of(engine, PLAIN, None)
    engine.vendor.serve(COUNT)
    job_id = engine.submit()
    number = next(i for i, name in enumerate(names) if name.startswith(statement))
    engine.steps.arm(number, cut)
    engine.leg(job_id)
    engine.steps.arm(-1)

    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)
