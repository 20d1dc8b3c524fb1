"""A job cut into windows of time: each record once whoever works on what, and one end of the run."""

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db import queue, slices
from app.db.jobs import Job
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.domain.status_document import evidence_line
from app.errors import DatabaseUnavailableError
from app.http_client import Beat, Request, Response
from app.services import control, retention
from app.services.download import run_leg
from app.services.sweep import sweep
from tests.fakes.dated_vendor import DatedVendor, dated_document
from tests.fakes.engine import Engine, Tenant
from tests.fakes.steps import Killed, cut

MakeEngine = Callable[..., Engine]
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
RANGE: dict[str, Any] = {"date_from": "2024-01-01", "date_to": "2024-01-03", "filter_date_field": "at"}
WINDOWS = ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z")


def made(count: int, hours: float = 1.0) -> list[dict[str, Any]]:
    """Records in no order of their dates, a few `hours` apart from the first moment of the range on."""
    numbers = [number * 7 % count for number in range(count)]
    return [{"id": n, "at": (FIRST + timedelta(hours=n * hours)).strftime("%Y-%m-%dT%H:%M:%SZ")} for n in numbers]


def in_windows(records: Sequence[dict[str, Any]]) -> list[int]:
    """Ids as the result must have them: one day after the other, in the vendor's order."""
    days = [f"2024-01-0{day}" for day in (1, 2, 3)]
    return [each["id"] for day in days for each in records if str(each["at"]).startswith(day)]


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    engine = make_engine(retry_base_s=0.0)
    engine.tenant = engine.add_tenant_of(dated_document())
    return engine


def serve(engine: Engine, records: Sequence[dict[str, Any]], **habits: Any) -> DatedVendor:
    vendor = DatedVendor(records=records, **habits)
    engine.vendor.serve(0)
    engine.vendor.listing = vendor
    return vendor


def open_slices(engine: Engine, job_id: int) -> list[int]:
    """Those of the newest run in which something is left to do, in order."""
    rows = engine.rows(
        "select id from slices where job_id = %s and next_run_at is not null order by run_number, number", job_id
    )
    return [row["id"] for row in rows]


def leg(engine: Engine, slice_id: int, *, pages: int | None = None) -> None:
    run_leg(engine.ctx, slice_id, worker_id=1, is_stopping=engine.after_calls(pages))


def run(engine: Engine, job_id: int) -> Job:
    """Legs on all slices in turn until the job has ended."""
    for _ in range(50):
        engine.make_due(job_id)
        for slice_id in open_slices(engine, job_id):
            leg(engine, slice_id)
        if engine.job(job_id).status.is_terminal:
            return engine.job(job_id)
    raise AssertionError(f"job {job_id} has not ended: {engine.job(job_id)}")


def ids(engine: Engine, job_id: int) -> list[int]:
    return [json.loads(line)["id"] for line in engine.output(job_id).splitlines()]


def assert_whole(engine: Engine, job_id: int, records: Sequence[dict[str, Any]]) -> None:
    job, rows = engine.job(job_id), engine.segments(job_id)
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.COMPLETED, StopReason.EXHAUSTED, False)
    assert ids(engine, job_id) == in_windows(records)
    assert job.record_count == sum(row.record_count for row in rows) == len(in_windows(records))
    found = engine.rows("select run_number, slice_number, sequence from segments where job_id = %s", job_id)
    sequences: dict[tuple[int, int], list[int]] = {}
    for row in found:
        sequences.setdefault((row["run_number"], row["slice_number"]), []).append(row["sequence"])
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in sequences.values())


# Submission ----------------------------------------------------------------------------------------------------------


def test_a_submission_stores_its_slices_with_the_job_or_not_at_all(engine: Engine) -> None:
    engine.submit(**RANGE)
    engine.steps.arm(-1)
    engine.submit(**RANGE)
    names = list(engine.steps.names)
    assert len([name for name in names if name.startswith("before ")]) == 3, "no statement more than any other job"
    for number in range(len(names)):
        engine.execute("delete from jobs")
        engine.steps.arm(number, cut)
        with contextlib.suppress(DatabaseUnavailableError):
            engine.submit(**RANGE)
        engine.steps.arm(-1)
        counts = engine.one("select (select count(*) from jobs)::int as jobs, (select count(*) from slices)::int as n")
        assert counts in ({"jobs": 0, "n": 0}, {"jobs": 1, "n": 3})


def test_no_more_slices_than_the_operator_allows(engine: Engine) -> None:
    for setting, expected in ((1, 1), (2, 2), (8, 3)):
        engine.configure(slices=setting)
        job_id = engine.submit(**RANGE)
        assert len(open_slices(engine, job_id)) == engine.job(job_id).slice_count == expected


def test_a_job_with_a_limit_is_one_slice_and_asks_for_its_range(engine: Engine) -> None:
    records = made(90)
    vendor = serve(engine, records)
    job = engine.run(engine.submit(limit=20, **RANGE))
    wanted = [each["id"] for each in records if each["id"] < 72]
    assert ids(engine, job.id) == wanted[:20]
    assert all("since=2024-01-01T00:00:00Z&until=2024-01-04T00:00:00Z" in url for url in vendor.calls)
    assert "from, to asked of the vendor as well" in evidence_line(job)


# Exactness -----------------------------------------------------------------------------------------------------------


def test_each_record_comes_once_and_the_windows_one_after_the_other(engine: Engine) -> None:
    records = made(90)  # three days and a bit; one on each boundary, which the vendor gives to both sides
    vendor = serve(engine, records)
    job_id = engine.submit(**RANGE)
    job = run(engine, job_id)
    assert_whole(engine, job_id, records)
    assert job.call_count == engine.vendor.call_count == len(vendor.calls)
    assert (job.filtered_count, job.undated_count) == (1, 0), "the first moment behind the range, from the last window"
    assert job.vendor_total == 73
    assert job.status_message == "Successfully downloaded 72 records"
    assert "read in 3 slices of at" in evidence_line(job)
    assert {url.partition("since=")[2].partition("&")[0] for url in vendor.calls} == set(WINDOWS)


def test_what_the_legs_take_turns_at_is_the_same(engine: Engine) -> None:
    records = made(90)
    serve(engine, records)
    job_id = engine.submit(**RANGE)
    while engine.job(job_id).status is not JobStatus.COMPLETED:
        for slice_id in reversed(open_slices(engine, job_id)):
            leg(engine, slice_id, pages=1)
    assert_whole(engine, job_id, records)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_empty_window_ends_like_any_other(engine: Engine, missing: int) -> None:
    records = [each for each in made(72) if each["id"] // 24 != missing]
    serve(engine, records)
    job_id = engine.submit(**RANGE)
    run(engine, job_id)
    assert_whole(engine, job_id, records)


def test_a_range_without_a_record(engine: Engine) -> None:
    serve(engine, [])
    job_id = engine.submit(**RANGE)
    run(engine, job_id)
    assert_whole(engine, job_id, [])


def test_a_field_of_mere_dates_and_a_parameter_of_mere_dates(engine: Engine) -> None:
    records = [{"id": n, "at": f"2024-01-0{1 + n % 4}"} for n in range(40)]
    vendor = serve(engine, records)
    tenant = engine.add_tenant_of(dated_document(**{"as": "date"}))
    job_id = engine.submit(tenant, **RANGE)
    job = run(engine, job_id)
    assert_whole(engine, job_id, records)
    assert job.filtered_count == 10
    assert any("since=2024-01-02&until=2024-01-03" in url for url in vendor.calls)


@pytest.mark.parametrize("undated_always", [False, True])
def test_records_without_a_date_are_left_out(engine: Engine, undated_always: bool) -> None:
    records = made(72)
    serve(engine, [*records, {"id": 100}, {"id": 101, "at": "soon"}], undated_always=undated_always)
    job_id = engine.submit(**RANGE)
    job = run(engine, job_id)
    assert_whole(engine, job_id, records)
    assert job.undated_count == (6 if undated_always else 0), "by every slice that gets them"
    assert "differs" not in evidence_line(job)


def test_a_vendor_that_ignores_the_range_costs_calls_and_nothing_else(engine: Engine) -> None:
    records = [*made(90), {"id": 200, "at": "2023-05-05"}]
    tenant = engine.add_tenant_of(dated_document(**{"from": "ignored", "to": "ignored_too"}))
    serve(engine, records)
    job_id = engine.submit(tenant, **RANGE)
    job = run(engine, job_id)
    assert_whole(engine, job_id, records)
    assert job.filtered_count == 19
    assert job.vendor_total == 91
    assert "differs" not in evidence_line(job)


def test_a_csv_has_the_columns_of_every_slice(engine: Engine) -> None:
    records = [{**each, f"day{each['id'] // 24}": 1} for each in made(72)]
    serve(engine, records)
    job_id = engine.submit(**RANGE, file_format=FileFormat.CSV)
    for slice_id in reversed(open_slices(engine, job_id)):
        leg(engine, slice_id)
    assert_whole(engine, job_id, records)
    columns = {name for segment in engine.segments(job_id) for name in segment.columns}
    assert columns == {"id", "at", "day0", "day1", "day2"}


# Crashes -------------------------------------------------------------------------------------------------------------


def steps_of_all(engine: Engine) -> list[str]:
    job_id = engine.submit(**RANGE)
    engine.steps.arm(-1)
    for slice_id in open_slices(engine, job_id):
        leg(engine, slice_id)
    return list(engine.steps.names)


def sweep_orphans(engine: Engine, job_id: int) -> None:
    engine.execute("update jobs set sweep_orphans_at = now() where id = %s and sweep_orphans_at is not null", job_id)
    retention.sweep_orphans(engine.ctx)


def test_a_worker_killed_at_any_step_of_any_slice_neither_loses_nor_doubles_a_record(engine: Engine) -> None:
    records = made(54, hours=1.5)
    serve(engine, records)
    callback: dict[str, Any] = {"notification_url": "http://127.0.0.1:9/callback"}
    for number, name in enumerate(steps_of_all(engine)):
        job_id = engine.submit(**RANGE, **callback)
        engine.steps.arm(number)
        with contextlib.suppress(Killed):
            for slice_id in open_slices(engine, job_id):
                leg(engine, slice_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        if not engine.job(job_id).status.is_terminal:
            run(engine, job_id)
        assert_whole(engine, job_id, records)
        sweep_orphans(engine, job_id)
        assert engine.orphans(job_id) == set(), name
        assert len(engine.rows("select 1 from deliveries where job_id = %s", job_id)) == 1, name


def test_a_connection_cut_at_any_statement_changes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.lease._PAUSE_S", 0.001)
    records = made(54, hours=1.5)
    serve(engine, records)
    for number, name in enumerate(steps_of_all(engine)):
        engine.vendor.call_count = 0
        job_id = engine.submit(**RANGE)
        engine.steps.arm(number, cut)
        for slice_id in open_slices(engine, job_id):
            leg(engine, slice_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        job = engine.job(job_id) if engine.job(job_id).status.is_terminal else run(engine, job_id)
        assert_whole(engine, job_id, records)
        assert job.call_count == engine.vendor.call_count, (number, name)


def test_slices_that_end_at_the_same_time_end_the_run_once(engine: Engine) -> None:
    records = made(72)
    for _ in range(5):
        serve(engine, records)
        job_id = engine.submit(**RANGE, notification_url="http://127.0.0.1:9/callback")
        together = threading.Barrier(3)

        def one(slice_id: int, together: threading.Barrier = together) -> None:
            together.wait()
            leg(engine, slice_id)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(one, open_slices(engine, job_id)))
        assert_whole(engine, job_id, records)
        job = engine.job(job_id)
        assert job.call_count == engine.vendor.call_count
        assert len(engine.rows("select 1 from deliveries where job_id = %s", job_id)) == 1


def test_a_slice_that_ends_does_not_hide_the_others_from_those_who_claim(engine: Engine) -> None:
    """A claim skips rows that somebody locks, and its hint would be lost."""
    serve(engine, made(72))
    for _ in range(2):  # the connector's document is read once a process
        job_id = engine.submit(**RANGE)
        engine.steps.arm(-1)
        leg(engine, open_slices(engine, job_id)[0])
    commits = [number for number, name in enumerate(engine.steps.names) if name == "before commit"]
    assert commits
    job_id = engine.submit(**RANGE)
    first, *others = open_slices(engine, job_id)
    free: list[int] = []

    def look(_name: str, _conn: object) -> None:
        rows = engine.rows("select id from slices where id = any(%s) order by id for update skip locked", others)
        free.extend(row["id"] for row in rows)

    engine.steps.arm(commits[-1], look)
    leg(engine, first)
    engine.steps.arm(-1)
    assert free == others


def test_crashes_count_for_the_slice_on_which_they_happen(make_engine: MakeEngine) -> None:
    engine = make_engine(crash_tries=2)
    engine.tenant = engine.add_tenant_of(dated_document())
    serve(engine, made(72))
    job_id = engine.submit(**RANGE)
    first, second, third = open_slices(engine, job_id)
    for slice_id in (first, second, first, third):
        engine.make_due(job_id)
        with engine.plain_db.connection() as conn:
            assert slices.claim(conn, slice_id, worker_id=1, lease_s=30)
        engine.lose_holder(job_id)
    assert engine.job(job_id).status is JobStatus.STARTED
    engine.lose_holder(job_id)
    leg(engine, second)
    assert engine.job(job_id).status is JobStatus.RUNNING, "one crash, and its end: the job goes on"
    leg(engine, first)
    job = engine.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.CRASHES)
    assert open_slices(engine, job_id) == []


# Abort, cancel, restart ----------------------------------------------------------------------------------------------


def test_an_abort_fences_the_others_and_a_restart_goes_on_where_each_stood(engine: Engine) -> None:
    records = made(72)
    vendor = serve(engine, records)
    job_id = engine.submit(**RANGE)
    first, second, third = open_slices(engine, job_id)
    leg(engine, first, pages=1)
    leg(engine, third)
    with engine.plain_db.connection() as conn:
        held = slices.claim(conn, first, worker_id=None, lease_s=30)
    assert held is not None
    vendor.failing[WINDOWS[1]] = 400
    leg(engine, second)

    job = engine.job(job_id)
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR, True)
    assert job.sweep_orphans_at is not None, "a fenced holder may leave an object"
    with engine.plain_db.connection() as conn:
        assert slices.renew(conn, first, held.number, lease_s=30) is None
    old = engine.output(job_id)
    assert len(old.splitlines()) == 10 + 24

    vendor.failing.clear()
    vendor.calls.clear()
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    numbers = [row["number"] for row in engine.rows("select number from slices where run_number = 2 order by number")]
    assert numbers == [1, 2], "what had reached its end is not asked again"
    job = run(engine, job_id)

    assert (job.status, job.has_more, job.record_count) == (JobStatus.COMPLETED, False, 72)
    assert engine.output(job_id).startswith(old), "an old revision is a prefix of the new one"
    assert sorted(ids(engine, job_id)) == list(range(72))
    assert job.vendor_total == 72
    assert not any("since=2024-01-03" in url for url in vendor.calls)
    assert sum("since=2024-01-01" in url for url in vendor.calls) == 3, "pages 2, 3 and the empty one"


def test_a_cancel_waits_for_every_holder_and_the_last_one_ends_the_run(engine: Engine) -> None:
    records = made(72)
    serve(engine, records)
    job_id = engine.submit(**RANGE)
    first, second, _ = open_slices(engine, job_id)
    seen: list[JobStatus] = []

    def cancel_and_let_another_end(request: Request, beat: Beat | None) -> Response:
        control.cancel(engine.ctx, engine.tenant.caller, job_id)
        leg(engine, first)  # sees the cancel and leaves; `second` is still held
        seen.append(engine.job(job_id).status)
        return engine.vendor.listing.request(request, beat)

    engine.vendor.script.extend([engine.vendor.listing.request, cancel_and_let_another_end])
    leg(engine, second)
    assert seen == [JobStatus.CANCELLATION_PENDING]
    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert engine.job(job_id).call_count == engine.vendor.call_count
    assert open_slices(engine, job_id) == []

    old = engine.output(job_id)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert len(open_slices(engine, job_id)) == 3
    run(engine, job_id)
    assert sorted(ids(engine, job_id)) == list(range(72))
    assert engine.output(job_id).startswith(old)


def test_a_cancel_of_what_nobody_holds_is_at_once(engine: Engine) -> None:
    serve(engine, made(72))
    job_id = engine.submit(**RANGE)
    leg(engine, open_slices(engine, job_id)[0])
    assert control.cancel(engine.ctx, engine.tenant.caller, job_id).status is JobStatus.CANCELLED
    assert open_slices(engine, job_id) == []


def test_a_cancelled_job_whose_last_holder_dies_ends_by_the_sweeper(make_engine: MakeEngine) -> None:
    engine = make_engine(cancel_grace_s=0.0)
    engine.tenant = engine.add_tenant_of(dated_document())
    serve(engine, made(72))
    job_id = engine.submit(**RANGE)
    first, second, _ = open_slices(engine, job_id)
    with engine.plain_db.connection() as conn:
        assert slices.claim(conn, second, worker_id=None, lease_s=30)
    control.cancel(engine.ctx, engine.tenant.caller, job_id)
    leg(engine, first)
    assert engine.job(job_id).status is JobStatus.CANCELLATION_PENDING
    sweep(engine.ctx)
    assert engine.job(job_id).status is JobStatus.CANCELLED


def test_a_job_that_ended_with_every_slice_at_its_end_can_be_restarted(engine: Engine) -> None:
    """Cancelled between the last page and the end of the run."""
    serve(engine, made(72))
    job_id = engine.submit(**RANGE)
    engine.execute("update slices set exhausted = true where job_id = %s", job_id)
    control.cancel(engine.ctx, engine.tenant.caller, job_id)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert run(engine, job_id).status is JobStatus.COMPLETED


# What is told --------------------------------------------------------------------------------------------------------


def test_a_slice_that_waits_is_told_with_how_many_do(engine: Engine) -> None:
    serve(engine, made(72))
    job_id = engine.submit(**RANGE)

    def waiting() -> str | None:
        with engine.plain_db.connection() as conn:
            found = queue.find_waiting(conn, job_id)
        return None if found is None else found.reason

    assert waiting() is None
    statement = "update slices set next_run_at = now() + %s::interval, wait_reason = 'the quota' where id = %s"
    first, *others = open_slices(engine, job_id)
    engine.execute(statement, "2 hours", first)
    assert waiting() == "1 of 3 slices: the quota"
    for each in others:
        engine.execute(statement, "1 hour", each)
    assert waiting() == "the quota"


def test_a_job_of_many_slices_is_one_among_its_instances_jobs(engine: Engine) -> None:
    serve(engine, [])
    sliced, plain, other = engine.submit(**RANGE), engine.submit(), engine.submit()
    many = open_slices(engine, sliced)

    def due() -> list[int]:
        with engine.plain_db.connection() as conn:
            return queue.find_due_slices(conn, fresh_s=3600, limit=100)

    one, two = engine.slice_of(plain), engine.slice_of(other)
    assert due() == [many[0], one, two, many[1], many[2]]
    with engine.plain_db.connection() as conn:
        assert slices.claim(conn, many[0], worker_id=None, lease_s=30)
    assert due() == [one, two, many[1], many[2]], "the one that runs counts"


def test_slices_of_one_tenant_do_not_come_before_another_tenants_job(engine: Engine) -> None:
    serve(engine, [])
    late: Tenant = engine.add_tenant()
    many = open_slices(engine, engine.submit(**RANGE))
    [single] = open_slices(engine, engine.submit(late))
    with engine.plain_db.connection() as conn:
        assert queue.find_due_slices(conn, fresh_s=3600, limit=2) == [many[0], single]
