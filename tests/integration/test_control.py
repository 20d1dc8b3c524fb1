"""Submit, cancel, restart and delete: who may do what to a job, and what a race between them leaves."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db import slices
from app.db.slices import Claim
from app.domain.criteria import DownloadCriteria
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.errors import (
    ConflictError,
    DatabaseUnavailableError,
    GoneError,
    IdempotencyMismatchError,
    InvalidInputError,
    NotFoundError,
    UnauthorizedError,
)
from app.http_client import Beat, Interrupted, Request, Response
from app.services import control, retention
from app.services.context import Caller
from app.services.submit import submit_download
from app.services.sweep import sweep
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.steps import cut
from tests.fixtures.waiting import wait_until

MakeEngine = Callable[..., Engine]
RECORDS = DownloadCriteria("records")


def cancel(engine: Engine, job_id: int) -> JobStatus:
    return control.cancel(engine.ctx, engine.tenant.caller, job_id).status


def restart(engine: Engine, job_id: int) -> JobStatus:
    return control.restart(engine.ctx, engine.tenant.caller, job_id).status


def hold(engine: Engine, job_id: int) -> Claim:
    """A worker holds the job's slice and does nothing."""
    with engine.plain_db.connection() as conn:
        claim = slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30)
    assert claim is not None
    return claim


def deliveries_of(engine: Engine, job_id: int) -> list[int]:
    rows = engine.rows("select run_number from deliveries where job_id = %s order by run_number", job_id)
    return [row["run_number"] for row in rows]


# Submit --------------------------------------------------------------------------------------------------------------


def test_a_submission_needs_no_broker_and_wakes_the_sweepers(engine: Engine) -> None:
    engine.hints.is_down = True
    listener = engine.plain_db.dedicated()
    listener.execute("listen haulage_due")

    job = engine.job(engine.submit(file_format=FileFormat.CSV, page_size=7, limit=5, api_limit=3, query={"a": "b"}))

    assert [notice.channel for notice in listener.notifies(timeout=10, stop_after=1)] == ["haulage_due"]
    listener.close()
    assert (job.status, job.run_number, job.revision, job.file_format) == (JobStatus.CREATED, 1, 0, FileFormat.CSV)
    assert job.criteria == {
        "objectName": "records",
        "format": "text/csv",
        "pageSize": 7,
        "limit": 5,
        "apiLimit": 3,
        "query": {"a": "b"},
    }
    run = engine.one("select api_limit, record_limit, calls_reserved from runs where job_id = %s", job.id)
    assert run == {"api_limit": 3, "record_limit": 5, "calls_reserved": 0}
    row = engine.slice(job.id)
    assert (row["cursor"], row["page_size"], row["skip"], row["claim"]) == (None, 7, 0, 0)


def test_a_refused_submission_stores_nothing(engine: Engine) -> None:
    caller = engine.tenant.caller
    with pytest.raises(InvalidInputError) as unknown:
        submit_download(engine.ctx, caller, DownloadCriteria("nonsense"))
    assert unknown.value.field == "objectName"
    with pytest.raises(InvalidInputError, match="notificationUrl"):
        submit_download(engine.ctx, caller, DownloadCriteria("records", notification_url="https://10.0.0.1/x"))
    with pytest.raises(UnauthorizedError):
        submit_download(engine.ctx, Caller(caller.organisation_id, None), RECORDS)
    with pytest.raises(NotFoundError):
        submit_download(engine.ctx, Caller(engine.add_tenant().organisation_id, None, caller.instance_id), RECORDS)
    engine.execute("update instances set disabled_at = now()")
    with pytest.raises(ConflictError):
        submit_download(engine.ctx, caller, RECORDS)
    assert engine.rows("select id from jobs") == []


def submission_steps(engine: Engine) -> list[str]:
    engine.submit()  # the connector's document is read once a process
    engine.steps.arm(-1)
    engine.submit()
    return list(engine.steps.names)


def test_a_submission_takes_two_statements_and_wakes_the_sweeper_behind_them(engine: Engine) -> None:
    names = [name.removeprefix("before ") for name in submission_steps(engine) if name.startswith("before ")]
    wake = "select set_config('synchronous_commit',"
    assert names == ["select instances.connector_id,", "with job", wake]


def test_a_submission_is_whole_or_not_there_wherever_its_connection_dies(engine: Engine) -> None:
    names = submission_steps(engine)
    stored = names.index("after with job")
    for number, name in enumerate(names):
        engine.execute("delete from jobs")
        engine.steps.arm(number, cut)
        try:
            engine.submit()
            answered = True
        except DatabaseUnavailableError:
            answered = False
        engine.steps.arm(-1)
        counts = engine.one(
            "select (select count(*) from jobs) as jobs, (select count(*) from runs) as runs,"
            " (select count(*) from slices) as slices"
        )
        assert set(counts.values()) == {int(number >= stored)}, name
        assert answered == (number > stored), "what stands is not taken back because nobody was woken"


def test_one_idempotency_key_makes_one_job_however_many_ask(engine: Engine) -> None:
    def ask(_: int) -> int | str:
        try:
            return submit_download(
                engine.ctx, engine.tenant.caller, RECORDS, idempotency_key="k", request_digest="d"
            ).job_id
        except ConflictError:
            return "in progress"

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(24)))
    [job] = engine.rows("select id from jobs")
    assert answers - {"in progress"} == {job["id"]}
    assert ask(0) == job["id"]
    with pytest.raises(IdempotencyMismatchError):
        submit_download(engine.ctx, engine.tenant.caller, RECORDS, idempotency_key="k", request_digest="other")


# Cancel --------------------------------------------------------------------------------------------------------------


def test_a_job_that_nobody_holds_is_cancelled_at_once(engine: Engine) -> None:
    job_id = engine.submit(notification_url="http://127.0.0.1:9/callback")
    engine.leg(job_id, is_stopping=engine.after_calls(1))

    assert cancel(engine, job_id) is JobStatus.CANCELLED

    job = engine.job(job_id)
    assert (job.stop_reason, job.has_more, job.revision, job.error) == (StopReason.CANCELLED, True, 1, None)
    assert deliveries_of(engine, job_id) == [1]
    engine.make_due(job_id)
    engine.leg(job_id)
    assert engine.vendor.call_count == 1
    assert_exact(engine, job_id, last=10)
    assert cancel(engine, job_id) is JobStatus.CANCELLED
    assert deliveries_of(engine, job_id) == [1]


def test_a_job_that_is_held_is_let_go_by_its_holder(make_engine: MakeEngine) -> None:
    """The call that is under way is abandoned; what was fetched before counts."""
    engine = make_engine(checkpoint_s=600.0)
    job_id = engine.submit()
    answers = []

    def hang(_: Request, beat: Beat | None) -> Response:
        answers.append(cancel(engine, job_id))
        answers.append(cancel(engine, job_id))
        assert beat is not None
        wait_until(lambda: not beat(), "the beat to say stop")
        raise Interrupted("the transfer was aborted")

    listed = engine.vendor.listing.request
    engine.vendor.script.extend([listed, listed, hang])
    engine.leg(job_id)

    assert answers == [JobStatus.CANCELLATION_PENDING] * 2
    job = engine.job(job_id)
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.CANCELLED, StopReason.CANCELLED, True)
    assert job.call_count == engine.vendor.call_count == 3
    assert_exact(engine, job_id, last=20)


def test_a_holder_that_does_not_let_go_is_fenced_after_the_grace(make_engine: MakeEngine) -> None:
    engine = make_engine(cancel_grace_s=0.0)
    engine.vendor.serve(57)
    job_id = engine.submit(notification_url="http://127.0.0.1:9/callback")
    engine.leg(job_id, is_stopping=engine.after_calls(1))

    def cancel_and_sweep(_name: str, _conn: object) -> None:
        engine.steps.arm(-1)
        assert cancel(engine, job_id) is JobStatus.CANCELLATION_PENDING
        assert sweep(engine.ctx).ended == 1

    first_put = engine.trace(engine.submit(), is_stopping=engine.after_calls(1)).index("after put")
    engine.steps.arm(first_put, cancel_and_sweep)
    engine.leg(job_id)

    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert_exact(engine, job_id, last=10)
    assert engine.orphans(job_id) == set(), "the fenced holder removed what it had written"
    assert engine.job(job_id).sweep_orphans_at is not None, "and had it died, a sweep would have"
    assert deliveries_of(engine, job_id) == [1]


def test_the_grace_is_given(engine: Engine) -> None:
    job_id = engine.submit()
    hold(engine, job_id)
    assert cancel(engine, job_id) is JobStatus.CANCELLATION_PENDING
    assert sweep(engine.ctx).ended == 0
    engine.execute("update jobs set cancel_requested_at = now() - interval '6 s'")
    assert sweep(engine.ctx).ended == 1
    assert engine.job(job_id).status is JobStatus.CANCELLED


def test_whoever_takes_a_cancelled_job_over_makes_no_call(engine: Engine) -> None:
    job_id = engine.submit()
    hold(engine, job_id)
    cancel(engine, job_id)
    engine.lose_holder(job_id)
    engine.leg(job_id)
    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert engine.vendor.call_count == 0


def test_a_cancel_wins_over_an_end_that_it_met_on_the_way(make_engine: MakeEngine) -> None:
    """The user was told that the job is being cancelled."""
    engine = make_engine(crash_tries=1)
    engine.vendor.serve(10)
    job_id = engine.submit()
    hold(engine, job_id)
    cancel(engine, job_id)
    engine.lose_holder(job_id)
    engine.leg(job_id)
    assert engine.job(job_id).status is JobStatus.CANCELLED

    job_id = engine.submit()

    def cancel_now(_name: str, _conn: object) -> None:
        assert cancel(engine, job_id) is JobStatus.CANCELLATION_PENDING

    names = engine.trace(engine.submit())
    last_call = len(names) - 1 - names[::-1].index("after call")
    engine.steps.arm(last_call, cancel_now)
    engine.leg(job_id)
    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert_exact(engine, job_id)


def test_a_dead_holders_objects_are_swept_after_a_cancel(engine: Engine) -> None:
    job_id = engine.submit()
    claim = hold(engine, job_id)
    engine.ctx.store.put(f"jobs/{job_id}/1/1/00000000-{claim.number}-dead.jsonl", [b"{}\n"])
    engine.lose_holder(job_id)

    assert cancel(engine, job_id) is JobStatus.CANCELLED

    assert engine.job(job_id).sweep_orphans_at is not None
    engine.execute("update jobs set sweep_orphans_at = now()")
    retention.sweep_orphans(engine.ctx)
    assert engine.objects(job_id) == set()


def test_an_ended_job_cannot_be_cancelled(engine: Engine) -> None:
    job_id = engine.submit()
    engine.run(job_id)
    with pytest.raises(ConflictError, match="COMPLETED"):
        cancel(engine, job_id)
    engine.vendor.serve(25)
    engine.execute("update jobs set status = 'ABORTED'")
    with pytest.raises(ConflictError, match="ABORTED"):
        cancel(engine, job_id)


def test_a_cancel_that_races_with_the_end_leaves_one_outcome(engine: Engine) -> None:
    outcomes = set()
    for _ in range(25):
        engine.vendor.serve(8)
        job_id = engine.submit(notification_url="http://127.0.0.1:9/callback")
        barrier = threading.Barrier(2)

        def work(job_id: int = job_id, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            engine.leg(job_id)

        worker = threading.Thread(target=work)
        worker.start()
        barrier.wait(10)
        try:
            answer: JobStatus | None = cancel(engine, job_id)
        except ConflictError:
            answer = None
        worker.join(30)

        job = engine.job(job_id)
        outcomes.add(job.status)
        assert job.status is (JobStatus.COMPLETED if answer is None else JobStatus.CANCELLED)
        assert deliveries_of(engine, job_id) == [1]
        assert_exact(engine, job_id, last=job.record_count)
        assert engine.orphans(job_id) == set()
    assert outcomes


# Restart and delete --------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_where_the_run_ended(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit(notification_url="http://127.0.0.1:9/callback")
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    cancel(engine, job_id)

    assert restart(engine, job_id) is JobStatus.CREATED

    job = engine.job(job_id)
    assert (job.run_number, job.revision, job.finished_at, job.stop_reason) == (2, 1, None, None)
    assert job.files_expire_at is None, "a job that works is not swept away"
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert deliveries_of(engine, job_id) == [1, 2]
    assert_exact(engine, job_id)


def test_only_ended_jobs_with_something_left_are_restarted(engine: Engine) -> None:
    job_id = engine.submit()
    with pytest.raises(ConflictError, match="CREATED"):
        restart(engine, job_id)
    hold(engine, job_id)
    cancel(engine, job_id)
    with pytest.raises(ConflictError, match="CANCELLATION_PENDING"):
        restart(engine, job_id)
    engine.lose_holder(job_id)
    engine.leg(job_id)
    assert restart(engine, job_id) is JobStatus.CREATED
    engine.run(job_id)
    with pytest.raises(ConflictError, match="complete"):
        restart(engine, job_id)


def test_restarts_that_race_begin_one_run(engine: Engine) -> None:
    job_id = engine.submit()
    cancel(engine, job_id)

    def ask(_: int) -> bool:
        try:
            restart(engine, job_id)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask, range(6))) == 1
    assert engine.job(job_id).run_number == 2
    assert len(engine.rows("select id from slices where next_run_at is not null")) == 1


def test_deleted_files_are_gone_and_the_row_stays(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    with pytest.raises(ConflictError):
        control.delete_files(engine.ctx, engine.tenant.caller, job_id)
    cancel(engine, job_id)

    job = control.delete_files(engine.ctx, engine.tenant.caller, job_id)

    assert job.files_deleted_at is not None
    assert (engine.objects(job_id), engine.segments(job_id)) == (set(), [])
    assert control.delete_files(engine.ctx, engine.tenant.caller, job_id).files_deleted_at == job.files_deleted_at
    with pytest.raises(GoneError):
        restart(engine, job_id)


@pytest.mark.parametrize("act", [control.cancel, control.restart, control.delete_files])
def test_another_tenants_job_is_no_job(engine: Engine, act: Callable[..., object]) -> None:
    job_id = engine.submit()
    other_instance = Caller(engine.tenant.organisation_id, None, engine.add_instance(engine.tenant.organisation_id))
    messages = set()
    for caller, asked in ((engine.add_tenant().caller, job_id), (other_instance, job_id)):
        with pytest.raises(NotFoundError) as refused:
            act(engine.ctx, caller, asked)
        messages.add(refused.value.message.replace(str(asked), "ID"))
    with pytest.raises(NotFoundError) as unknown:
        act(engine.ctx, engine.tenant.caller, 1)
    assert messages == {unknown.value.message.replace(" 1.", " ID.")}
    assert engine.job(job_id).status is JobStatus.CREATED
