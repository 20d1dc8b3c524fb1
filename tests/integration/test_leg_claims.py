"""How a leg begins and ends: hints, deploys, claims that are lost, a store that takes nothing."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from app.db import slices
from app.domain.jobs import JobStatus, StopReason
from app.enqueue import TaskName
from app.errors import StorageError, StorageFullError, StorageUnavailableError
from app.http_client import Beat, Interrupted, Request, Response
from app.services import control
from tests.fakes.engine import Engine, assert_exact, doing
from tests.fixtures.waiting import wait_until

MakeEngine = Callable[..., Engine]


# How a leg ends -------------------------------------------------------------------------------------------------------


def test_a_leg_that_is_asked_to_stop_commits_and_hands_back(make_engine: MakeEngine) -> None:
    engine = make_engine(checkpoint_s=600.0)
    engine.vendor.serve(57)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(3))
    row = engine.slice(job_id)
    assert (row["lease_expires_at"], row["worker_id"], row["crash_count"]) == (None, None, 0)
    assert row["next_run_at"] <= datetime.now(UTC)
    assert engine.job(job_id).status is JobStatus.RUNNING
    assert engine.output(job_id) == engine.vendor.lines(1, 30)
    assert engine.hints.take() == [], "a process that ends does not go on by itself"


def test_a_leg_that_is_over_hints_at_the_next_one(make_engine: MakeEngine) -> None:
    engine = make_engine(leg_s=0.001)
    engine.vendor.serve(5000)
    job_id = engine.submit()
    engine.leg(job_id)
    assert engine.hints.take() == [(TaskName.DOWNLOAD_LEG, engine.slice_of(job_id))]


def test_a_leg_leaves_its_slot_to_others_that_wait(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.lease.turn_s", lambda _: 0.0)
    engine = make_engine()
    engine.vendor.serve(57)
    first, _second = engine.submit(), engine.submit()
    engine.leg(first)
    assert engine.job(first).record_count == 10, "the first checkpoint tells that others wait"
    assert engine.hints.take() == [], "the sweeper says whose turn it is"


def test_a_sign_of_life_tells_how_many_share_the_slots(engine: Engine) -> None:
    held = [engine.slice_of(engine.submit()) for _ in range(2)]
    with engine.plain_db.connection() as conn:
        claims = [slices.claim(conn, each, worker_id=None, lease_s=30) for each in held]

        def shared() -> float | None:
            assert claims[0] is not None
            standing = slices.renew(conn, held[0], claims[0].number, lease_s=30)
            assert standing is not None
            return standing.slots_per_slice

        assert shared() is None, "nobody waits"
        waiting = [engine.submit() for _ in range(3)]
        assert shared() == 2 / 5
        engine.execute("update slices set next_run_at = now() + interval '1 h' where job_id = %s", waiting[0])
        assert shared() == 2 / 4, "what is not due does not wait for a slot"


def test_a_broker_that_is_down_does_not_matter_to_a_leg(make_engine: MakeEngine) -> None:
    engine = make_engine(leg_s=0.001)
    engine.hints.is_down = True
    engine.vendor.serve(57)
    job = engine.run(engine.submit())
    assert job.status is JobStatus.COMPLETED
    assert_exact(engine, job.id)


def test_a_late_or_doubled_hint_does_nothing(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    slice_id = engine.slice_of(job_id)
    engine.vendor.script.append(doing(lambda: engine.leg(job_id), engine.vendor))
    engine.leg(job_id)
    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert engine.vendor.call_count == 4
    claim = engine.slice(job_id)["claim"]
    engine.leg(job_id)
    assert engine.slice(job_id)["claim"] == claim
    assert engine.slice_of(job_id) == slice_id


def test_of_two_workers_with_the_same_hint_one_works(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(10)
        engine.leg(job_id)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert engine.slice(job_id)["claim"] == 2, "one claim, and the fence of the end"
    assert engine.vendor.call_count == 7
    assert_exact(engine, job_id)


# Lost claims ----------------------------------------------------------------------------------------------------------


def test_a_holder_that_slept_past_its_lease_commits_nothing_and_removes_its_objects(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(2))

    def somebody_else_finishes() -> None:
        engine.lose_holder(job_id)
        engine.leg(job_id)

    listed = engine.vendor.listing.request
    engine.vendor.script.extend([listed, doing(somebody_else_finishes, engine.vendor)])
    with capture_logs() as logs:
        engine.leg(job_id)

    assert "leg.lost_claim" in [line["event"] for line in logs]
    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)
    assert engine.orphans(job_id) == set()


def test_a_holder_whose_write_was_slow_is_refused_at_the_commit(engine: Engine) -> None:
    engine.vendor.serve(30)
    first_put = engine.trace(engine.submit()).index("after put")
    job_id = engine.submit()

    def sleep_past_the_lease(_name: str, _conn: object) -> None:
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        engine.leg(job_id)

    engine.steps.arm(first_put, sleep_past_the_lease)
    engine.leg(job_id)

    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)
    assert engine.orphans(job_id) == set()


def test_a_call_is_abandoned_when_the_claim_is_lost(make_engine: MakeEngine) -> None:
    engine = make_engine(lease_s=0.2)
    engine.vendor.serve(25)
    job_id = engine.submit()
    beats: list[bool] = []

    def hang(_: Request, beat: Beat | None) -> Response:
        assert beat is not None
        engine.execute("update slices set claim = claim + 1")
        wait_until(lambda: not beat(), "the beat to say stop", 10)
        beats.append(beat())
        raise Interrupted("the transfer was aborted")

    engine.vendor.script.append(hang)
    engine.leg(job_id)
    assert beats == [False]
    assert engine.segments(job_id) == []
    assert engine.vendor.call_count == 1


# The store ------------------------------------------------------------------------------------------------------------


class _FailingPut:
    """`errors` are raised by the next writes, then all goes well. None: this write goes well."""

    def __init__(self, engine: Engine, errors: Iterable[Exception | None]) -> None:
        self.errors = list(errors)
        self._put = engine.ctx.store.put

    def __call__(self, key: str, chunks: Iterable[bytes]) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self._put(key, chunks)


def fail_puts(engine: Engine, monkeypatch: pytest.MonkeyPatch, *errors: Exception | None) -> _FailingPut:
    failing = _FailingPut(engine, errors)
    monkeypatch.setattr(engine.ctx.store, "put", failing)
    return failing


def test_a_full_store_makes_the_job_wait_and_corrupts_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.vendor.serve(57)
    fail_puts(engine, monkeypatch, None, StorageFullError("the store is full"), StorageFullError("still full"))
    job_id = engine.submit()

    engine.leg(job_id)

    row = engine.slice(job_id)
    assert (row["wait_reason"], row["try_count"], row["lease_expires_at"]) == ("Storage: the store is full", 1, None)
    assert engine.output(job_id) == engine.vendor.lines(1, 10)
    assert engine.job(job_id).status is JobStatus.RUNNING
    job = engine.run(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.call_count == engine.vendor.call_count
    assert_exact(engine, job_id)


def test_a_store_that_fails_fifteen_times_without_progress_ends_the_job(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.vendor.serve(57)
    faults: list[Exception | None] = [StorageUnavailableError("no answer")] * 14
    failing = fail_puts(engine, monkeypatch, None, *faults, None, *faults)
    job_id = engine.submit()
    job = engine.run(job_id)
    assert job.status is JobStatus.COMPLETED, "14 failures, progress, 14 failures"
    assert_exact(engine, job_id)

    failing.errors = [StorageUnavailableError("no answer")] * 15
    engine.vendor.serve(57)
    job = engine.run(engine.submit())
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.CONFIG)
    assert job.error is not None
    assert "15 tries" in job.error


def test_a_store_that_refuses_ends_the_job_and_a_restart_is_exact(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a record of the refused segment may count: the position did not move either."""
    engine.vendor.serve(57)
    fail_puts(engine, monkeypatch, None, StorageError("the bucket is gone"))
    job_id = engine.submit()
    job = engine.run(job_id, legs=1)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.CONFIG)
    assert job.error == "The storage refuses: the bucket is gone"
    assert job.call_count == engine.vendor.call_count
    assert_exact(engine, job_id, last=10)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)
