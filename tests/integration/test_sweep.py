"""The sweeper: what is due gets hints, what is over gets an end, whatever is broken."""

from collections.abc import Callable

import pytest

from app.db import slices, workers
from app.domain.jobs import JobStatus, StopReason
from app.enqueue import QueueName, TaskName
from app.services import control
from app.services.sweep import hint, sweep
from tests.fakes.engine import Engine, assert_exact
from tests.fixtures.waiting import wait_until

MakeEngine = Callable[..., Engine]


def hinted(engine: Engine) -> list[int]:
    return [row_id for task, row_id in engine.hints.take() if task is TaskName.DOWNLOAD_LEG]


def age_hints(engine: Engine, seconds: float) -> None:
    engine.execute("update slices set nudged_at = nudged_at - make_interval(secs => %s)", seconds)


def hold(engine: Engine, job_id: int, worker_id: int | None = None) -> None:
    with engine.plain_db.connection() as conn:
        assert slices.claim(conn, engine.slice_of(job_id), worker_id=worker_id, lease_s=30) is not None


def test_a_submitted_job_is_hinted_at_once_and_done_by_whoever_hears_it(engine: Engine) -> None:
    job_id = engine.submit()
    done = sweep(engine.ctx)
    assert done.hinted == 1
    assert hinted(engine) == [engine.slice_of(job_id)]
    assert sweep(engine.ctx).hinted == 0, "the hint is fresh"
    engine.leg(job_id)
    age_hints(engine, 100)
    assert sweep(engine.ctx).hinted == 0
    assert_exact(engine, job_id)


def test_a_lost_hint_is_sent_again(engine: Engine) -> None:
    slice_id = engine.slice_of(engine.submit())
    sweep(engine.ctx)
    age_hints(engine, 2)
    engine.hints.queued = {QueueName.DOWNLOADS: 3}
    engine.hints.take()
    assert sweep(engine.ctx).hinted == 0, "it may be one of the three that wait"
    engine.hints.queued = {}
    sweep(engine.ctx)
    assert hinted(engine) == [slice_id], "the queue is empty: it was lost"
    engine.hints.queued = {QueueName.DOWNLOADS: 3}
    age_hints(engine, 31)
    sweep(engine.ctx)
    assert hinted(engine) == [slice_id], "it led to nothing for half a minute"


def test_the_queue_is_topped_up_and_not_flooded(engine: Engine) -> None:
    for _ in range(30):
        engine.submit()
    assert sweep(engine.ctx).hinted == 8, "with no worker known, a few"
    with engine.plain_db.connection() as conn:
        workers.register(conn, name="w", slots=10, version="1")
    engine.hints.queued = {QueueName.DOWNLOADS: 8}
    assert sweep(engine.ctx).hinted == 12, "twice the free slots less those that wait"
    engine.hints.queued = {QueueName.DOWNLOADS: 20}
    assert sweep(engine.ctx).hinted == 0
    engine.hints.queued = {QueueName.DOWNLOADS: 15}
    hint(engine.ctx)
    assert len(set(hinted(engine))) == 25


def test_held_slots_are_not_free(engine: Engine) -> None:
    with engine.plain_db.connection() as conn:
        workers.register(conn, name="w", slots=10, version="1")
    for _ in range(4):
        hold(engine, engine.submit())
    for _ in range(30):
        engine.submit()
    assert sweep(engine.ctx).hinted == 12


def test_an_expired_lease_and_a_wait_that_is_over_are_hinted_at(engine: Engine) -> None:
    crashed, waiting = engine.submit(), engine.submit()
    hold(engine, crashed)
    engine.execute("update slices set next_run_at = now() + interval '1 hour' where job_id = %s", waiting)
    assert sweep(engine.ctx).hinted == 0
    engine.lose_holder(crashed)
    engine.make_due(waiting)
    sweep(engine.ctx)
    assert sorted(hinted(engine)) == sorted([engine.slice_of(crashed), engine.slice_of(waiting)])


def test_a_broker_that_is_down_harms_nothing(engine: Engine) -> None:
    job_id = engine.submit()
    engine.hints.is_down = True
    done = sweep(engine.ctx)
    assert (done.hinted, hinted(engine)) == (0, [])
    engine.hints.is_down = False
    sweep(engine.ctx)
    assert hinted(engine) == [engine.slice_of(job_id)], "a hint that could not be sent is not taken for sent"


def test_a_broker_that_dies_on_the_way_leaves_the_rest_unhinted(engine: Engine) -> None:
    ids = [engine.slice_of(engine.submit()) for _ in range(5)]
    engine.hints.fails_after = 2
    sweep(engine.ctx)
    assert hinted(engine) == ids[:2]
    engine.hints.is_down, engine.hints.fails_after = False, None
    engine.hints.queued = {QueueName.DOWNLOADS: 2}
    sweep(engine.ctx)
    assert hinted(engine) == ids[2:]


@pytest.mark.parametrize("column", ["deleted_at", "disabled_at"])
def test_jobs_of_a_dead_instance_are_ended_even_when_they_wait(engine: Engine, column: str) -> None:
    waiting, held = engine.submit(), engine.submit()
    engine.execute("update slices set next_run_at = now() + interval '1 hour' where job_id = %s", waiting)
    hold(engine, held)
    other = engine.submit(engine.add_tenant())
    engine.execute(f"update instances set {column} = now() where id = %s", engine.tenant.instance_id)

    assert sweep(engine.ctx).ended == 2

    for job_id in (waiting, held):
        job = engine.job(job_id)
        assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.INSTANCE_GONE)
        assert job.sweep_orphans_at is not None
    assert engine.job(other).status is JobStatus.CREATED
    assert sweep(engine.ctx).ended == 0


def test_a_row_that_makes_no_sense_does_not_keep_the_others_waiting(make_engine: MakeEngine) -> None:
    engine = make_engine(cancel_grace_s=0.0)
    bad, good, waiting = engine.submit(), engine.submit(), engine.submit()
    for job_id in (bad, good):
        hold(engine, job_id)
        control.cancel(engine.ctx, engine.tenant.caller, job_id)
    engine.execute("update jobs set file_format = 'nonsense' where id = %s", bad)

    done = sweep(engine.ctx)

    assert engine.job(good).status is JobStatus.CANCELLED
    assert (done.ended, hinted(engine)) == (1, [engine.slice_of(waiting)])
    assert engine.one("select status from jobs where id = %s", bad)["status"] == "CANCELLATION_PENDING"


def test_an_ended_job_is_never_ended_again(make_engine: MakeEngine) -> None:
    """The list of due jobs is a moment old when they are looked at."""
    engine = make_engine(cancel_grace_s=0.0)
    job_id = engine.submit(notification_url="http://127.0.0.1:9/callback")
    hold(engine, job_id)
    control.cancel(engine.ctx, engine.tenant.caller, job_id)

    def holder_ends_it(name: str, _conn: object) -> None:
        assert name == "after select id"
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        engine.leg(job_id)
        control.restart(engine.ctx, engine.tenant.caller, job_id)

    engine.steps.arm(3, holder_ends_it)
    assert sweep(engine.ctx).ended == 0
    job = engine.job(job_id)
    assert (job.status, job.run_number, job.revision) == (JobStatus.CREATED, 2, 1)


def test_a_dead_workers_slices_are_free_at_once_and_a_living_ones_are_not(engine: Engine) -> None:
    dead, living = engine.plain_db.dedicated(), engine.plain_db.dedicated()
    ids = [workers.register(conn, name="w", slots=4, version="1") for conn in (dead, living)]
    jobs = [engine.submit(), engine.submit()]
    for job_id, worker_id in zip(jobs, ids, strict=True):
        hold(engine, job_id, worker_id)
    engine.execute("update workers set seen_at = now() - interval '3 s'")
    wait_until(
        lambda: engine.one("select pg_postmaster_start_time() < now() - interval '10 s' as old")["old"],
        "a server that is not new",
    )
    assert sweep(engine.ctx).expired == 0, "both hold their locks"

    dead.close()

    def expired() -> int:
        return sweep(engine.ctx).expired

    assert wait_until(expired, "the lock of the dead to go") == 1
    assert hinted(engine)[0] == engine.slice_of(jobs[0])
    engine.leg(jobs[0])
    assert engine.job(jobs[0]).status is JobStatus.COMPLETED
    assert engine.slice(jobs[1])["lease_expires_at"] > engine.one("select now() as now")["now"]
    living.close()


def test_a_worker_that_was_silent_for_a_moment_is_not_dead(engine: Engine) -> None:
    conn = engine.plain_db.dedicated()
    worker_id = workers.register(conn, name="w", slots=4, version="1")
    hold(engine, engine.submit(), worker_id)
    conn.close()
    assert sweep(engine.ctx).expired == 0


def test_the_pass_tells_when_to_come_back(engine: Engine) -> None:
    job_id = engine.submit()
    done = sweep(engine.ctx)
    assert (done.next_due_at, done.is_anything_held) == (None, False)
    hold(engine, job_id)
    done = sweep(engine.ctx)
    assert done.is_anything_held
    assert done.next_due_at == engine.slice(job_id)["lease_expires_at"]
