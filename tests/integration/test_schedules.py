"""Schedules: each due time becomes one run, whatever happens around it."""

import contextlib
import json
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, cast

import pytest

from app.db import schedules
from app.domain.jobs import JobStatus
from app.domain.schedules import RunState
from app.errors import ConflictError, HaulageError, InvalidInputError, NotFoundError, TransientError
from app.services import retention
from app.services.control import restart
from app.services.schedule_runs import take_due
from app.services.schedules import (
    change_schedule,
    delete_schedule,
    get_schedule,
    list_runs,
    list_schedules,
    run_now,
    run_range,
    set_schedule_paused,
)
from app.services.sweep import hint, sweep
from tests.fakes.changing_vendor import BY_ID, ChangingVendor
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.list_vendor import document
from tests.fakes.schedules import Planner, at, wish
from tests.fakes.steps import Killed, Strike, cut, kill
from tests.fixtures.waiting import wait_until


@pytest.fixture
def planner(engine: Engine) -> Planner:
    return Planner(engine, "2026-05-01 00:00")


# Due times -----------------------------------------------------------------------------------------------------------


def test_a_due_time_becomes_one_job_of_the_same_criteria(planner: Planner) -> None:
    schedule_id = planner.create(pageSize=7, cron="0 6 * * *", timeZone="Europe/Berlin")

    assert planner.sweep("2026-05-01 03:59") == at("2026-05-01 04:00"), "so long the sweeper may sleep"
    assert planner.runs(schedule_id) == []
    assert planner.sweep("2026-05-01 04:00") == at("2026-05-02 04:00")
    planner.sweep("2026-05-01 04:00")

    [run] = planner.runs(schedule_id)
    assert (run.due_at, run.state, run.note) == (at("2026-05-01 04:00"), RunState.SUBMITTED, None)
    assert run.job_id is not None
    job = planner.engine.job(run.job_id)
    assert job.criteria == planner.schedule(schedule_id).criteria
    assert (job.page_size, job.instance_id) == (7, planner.engine.tenant.instance_id)
    assert planner.engine.run(job.id).status is JobStatus.COMPLETED
    assert_exact(planner.engine, job.id)


def test_the_sweeper_takes_them_by_the_clock_of_the_database_and_hints_in_the_same_pass(engine: Engine) -> None:
    planner = Planner(engine, "2026-05-01 00:00")
    schedule_id = planner.create()
    engine.execute("update schedules set next_due_at = now() - interval '1 second'")

    done = hint(engine.ctx)

    [run] = planner.runs(schedule_id)
    assert done.hinted == 1
    assert done.next_due_at == planner.schedule(schedule_id).next_due_at
    assert run.due_at < planner.schedule(schedule_id).next_due_at  # type: ignore[operator]
    assert sweep(engine.ctx).next_due_in_s == pytest.approx(done.next_due_in_s, abs=60)


def test_no_run_begins_while_the_one_before_is_under_way(planner: Planner) -> None:
    schedule_id = planner.create(cron="0 * * * *")
    planner.sweep("2026-05-01 01:00")
    for minutes in (0, 30, 60, 90):
        planner.sweep(at("2026-05-01 02:00") + timedelta(minutes=minutes))
    assert planner.told(schedule_id) == ["01 01:00 DUE SUBMITTED 1"]
    assert planner.schedule(schedule_id).is_waiting

    planner.now = at("2026-05-01 03:40")
    planner.end_jobs()
    planner.sweep("2026-05-01 03:41")

    assert planner.told(schedule_id)[1:] == ["01 03:00 DUE SUBMITTED 2"]
    note = planner.runs(schedule_id)[1].note
    assert note is not None
    assert f"Job {planner.job_ids(schedule_id)[0]} of the run before was under way until 2026-05-01T03:40:00Z." in note
    assert "One run for 2 due times since 2026-05-01T02:00:00Z." in note


def test_with_overlap_none_waits(planner: Planner) -> None:
    schedule_id = planner.create(cron="0 * * * *", allowOverlap=True)
    for hour in (1, 2, 3):
        planner.sweep(f"2026-05-01 0{hour}:00")
    assert len(planner.job_ids(schedule_id)) == 3


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", ["01 05:00 DUE SKIPPED 5"]),
        ("one", ["01 05:00 DUE SUBMITTED 5"]),
        (
            "all",
            [
                "01 02:00 DUE SKIPPED 2",
                "01 03:00 DUE SUBMITTED 1",
                "01 04:00 DUE SUBMITTED 1",
                "01 05:00 DUE SUBMITTED 1",
            ],
        ),
    ],
)
def test_missed_times_are_caught_up_by_the_policy(planner: Planner, policy: str, expected: list[str]) -> None:
    schedule_id = planner.create(cron="0 * * * *", catchUp=policy, catchUpLimit=3)
    for _ in range(5):
        planner.sweep("2026-05-01 05:30")
        planner.end_jobs()
    assert planner.told(schedule_id) == expected
    assert planner.schedule(schedule_id).next_due_at == at("2026-05-01 06:00")


def test_without_waiting_a_backlog_is_taken_at_once(planner: Planner) -> None:
    schedule_id = planner.create(cron="0 * * * *", catchUp="all", allowOverlap=True)
    planner.sweep("2026-05-01 04:30")
    assert [each[:8] for each in planner.told(schedule_id)] == ["01 01:00", "01 02:00", "01 03:00", "01 04:00"]


def test_a_backlog_does_not_keep_hints_and_other_schedules_waiting(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.schedule_runs._LOOK_S", 0.0)
    long = planner.create(cron="* * * * * ?", catchUp="all", catchUpLimit=1000, allowOverlap=True)
    other = planner.create(cron="0 1 * * *")
    now = at("2026-05-01 01:00")

    assert take_due(planner.engine.ctx, now) == now, "the sweeper is to come back at once"

    assert [len(planner.job_ids(each)) for each in (long, other)] == [1, 1]
    for _ in range(3):
        take_due(planner.engine.ctx, now)
    assert len(planner.job_ids(long)) == 4


def test_the_last_due_time_of_all_ends_the_schedule(planner: Planner) -> None:
    schedule_id = planner.create(cron="0 0 6 1 5 ? 2026")
    assert planner.sweep("2026-05-01 06:00") is None
    assert planner.sweep("2027-05-01 06:00") is None
    assert planner.told(schedule_id) == ["01 06:00 DUE SUBMITTED 1"]


# What stands against a run -------------------------------------------------------------------------------------------


def test_a_run_that_cannot_be_is_noted_and_does_not_stop_the_others(planner: Planner) -> None:
    engine = planner.engine
    bad, good = planner.create(), planner.create(engine.add_tenant())
    engine.execute("update instances set disabled_at = now() where id = %s", engine.tenant.instance_id)

    planner.sweep("2026-05-01 06:00")

    assert engine.one("select count(*)::int as n from jobs")["n"] == 1
    [run] = planner.runs(bad)
    assert (run.state, run.job_id, run.note) == (
        RunState.FAILED,
        None,
        "The instance is disabled; enable it to submit jobs.",
    )
    assert len(planner.job_ids(good)) == 1

    engine.execute("update instances set disabled_at = null")
    planner.sweep("2026-05-02 06:00")
    assert planner.told(bad)[1:] == ["02 06:00 DUE SUBMITTED 1"]


def test_a_connector_that_has_lost_the_object_is_named(planner: Planner) -> None:
    schedule_id = planner.create()
    planner.engine.execute("update schedules set criteria = jsonb_set(criteria, '{objectName}', '\"gone\"')")
    planner.sweep("2026-05-01 06:00")
    [run] = planner.runs(schedule_id)
    assert run.state is RunState.FAILED
    assert run.note is not None
    assert "'gone'" in run.note


def test_what_nobody_foresaw_fails_once_a_due_time(planner: Planner) -> None:
    bad, good = planner.create(), planner.create()
    planner.engine.execute("update schedules set criteria = '{}' where id = %s", bad)
    for _ in range(3):
        planner.sweep("2026-05-01 06:00")
    assert planner.told(bad) == ["01 06:00 DUE FAILED 1"]
    assert planner.told(good) == ["01 06:00 DUE SUBMITTED 1"]


def test_a_zone_that_is_not_known_here_ends_the_schedule_and_says_so(planner: Planner) -> None:
    schedule_id = planner.create()
    planner.engine.execute("update schedules set time_zone = 'Mars/Base'")
    planner.sweep("2026-05-01 06:00")
    [run] = planner.runs(schedule_id)
    assert run.note is not None
    assert "'Mars/Base'" in run.note
    assert planner.schedule(schedule_id).next_due_at is None


def test_the_schedules_of_a_deleted_instance_rest(planner: Planner) -> None:
    planner.create()
    planner.engine.execute("update instances set deleted_at = now()")
    planner.sweep("2026-05-01 06:00")
    assert planner.engine.rows("select * from schedule_runs") == []


# Incremental ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dated(engine: Engine) -> Planner:
    """A vendor of 25 records with a date."""
    vendor = ChangingVendor(BY_ID, call_s=1.0)
    engine.vendor.listing = vendor  # type: ignore[assignment]
    engine.tenant = engine.add_tenant("cursor")
    for number in range(1, 26):
        vendor.put(number)
    return Planner(engine, "2026-05-01 00:00")


def sync(planner: Planner, day: int, status: str | None = None) -> int:
    """The run of a day, to its end; the job."""
    planner.sweep(f"2026-05-{day:02} 06:00")
    job_id = planner.engine.one("select max(number) as n, (array_agg(id order by number desc))[1] as id from jobs")[
        "id"
    ]
    if status is None:
        planner.engine.run(job_id)
        planner.engine.execute("update jobs set finished_at = %s where id = %s", planner.now, job_id)
    else:
        planner.end_jobs(status)
    return int(job_id)


def ids(planner: Planner, job_id: int) -> list[int]:
    return [json.loads(line)["id"] for line in planner.engine.output(job_id).splitlines()]


def test_each_run_goes_on_from_the_last_success(dated: Planner) -> None:
    schedule_id = dated.create(incremental=True, filterDateField="changed", pageSize=10)
    vendor = cast("ChangingVendor", dated.engine.vendor.listing)
    first = sync(dated, 1)
    assert len(ids(dated, first)) == 25
    vendor.wait(hours=9)
    vendor.put(100)
    second = sync(dated, 2)
    assert ids(dated, second) == [100]
    assert dated.runs(schedule_id)[1].note == f"Goes on from job {first}."
    for day, status in ((3, "ABORTED"), (4, "CANCELLED")):
        vendor.wait(hours=9)
        vendor.put(100 + day)
        sync(dated, day, status)
    after = sync(dated, 5)
    assert sorted(ids(dated, after)) == [103, 104], "what the failed runs would have brought"
    assert [run.note for run in dated.runs(schedule_id)[2:]] == [f"Goes on from job {second}."] * 3
    assert get_schedule(dated.engine.ctx, dated.engine.tenant.caller, schedule_id).success_job_id == after


def test_a_source_that_had_more_goes_on_where_it_stopped(dated: Planner) -> None:
    schedule_id = dated.create(incremental=True, filterDateField="changed", pageSize=10, limit=12)
    found = [ids(dated, sync(dated, day)) for day in (1, 2, 3)]
    assert [len(each) for each in found] == [12, 12, 1]
    assert sorted(chain(*found)) == list(range(1, 26))
    assert ids(dated, sync(dated, 4)) == [], "behind the end of the list: what changed since"
    change_schedule(
        dated.engine.ctx,
        dated.engine.tenant.caller,
        schedule_id,
        lambda _: wish(incremental=True, filterDateField="changed", pageSize=10),
    )
    assert ids(dated, sync(dated, 5)) == []
    assert all(run.state is RunState.SUBMITTED for run in dated.runs(schedule_id))


# A vendor that forgets where a list stopped --------------------------------------------------------------------------


@pytest.fixture
def forgetful(dated: Planner) -> Planner:
    """It keeps a place for an hour; the list has 25 records."""
    dated.engine.tenant = dated.engine.add_tenant("cursor", page={"token_ttl": "1h"})
    return dated


BY_DATE: dict[str, Any] = {"incremental": True, "filterDateField": "changed", "pageSize": 10}


def outage(planner: Planner) -> None:
    planner.engine.execute("update slices set moved_at = now() - interval '2 hours'")


def test_a_list_whose_place_is_lost_is_begun_anew_where_the_next_run_is_in_time(forgetful: Planner) -> None:
    schedule_id = forgetful.create(cron="*/30 * * * *", limit=12, **BY_DATE)
    first = sync(forgetful, 1)
    outage(forgetful)

    found = [ids(forgetful, sync(forgetful, day)) for day in (2, 3, 4)]

    assert sorted({*chain(*found)}) == list(range(1, 26)), "nothing is lost"
    assert ids(forgetful, sync(forgetful, 5)) == [], "and it goes on with what changes"
    runs = forgetful.runs(schedule_id)
    assert {run.state for run in runs} == {RunState.SUBMITTED}
    assert f"Job {first} stopped at " in str(runs[1].note)
    assert str(runs[1].note).endswith("Its list is begun anew; records of it may come again.")
    assert str(runs[2].note).endswith(f"Goes on from job {runs[1].job_id}.")


def test_only_the_pass_whose_place_is_lost_is_begun_anew(forgetful: Planner) -> None:
    """What the passes before it delivered does not come again, nor does what this one is known to have delivered."""
    vendor = cast("ChangingVendor", forgetful.engine.vendor.listing)
    forgetful.create(cron="*/30 * * * *", limit=30, **BY_DATE)
    whole = sync(forgetful, 1)
    assert len(ids(forgetful, whole)) == 25
    vendor.wait(days=1)
    for number in range(1, 41):
        vendor.put(number)
    stopped = sync(forgetful, 2)
    assert len(ids(forgetful, stopped)) == 30
    outage(forgetful)

    again = sync(forgetful, 3)

    assert forgetful.engine.job(again).criteria["continueFromJobId"] == whole
    assert sorted(ids(forgetful, stopped) + ids(forgetful, again)) == list(range(1, 41))
    assert ids(forgetful, sync(forgetful, 4)) == []
    with pytest.raises(ConflictError, match=f"Job {whole} went on otherwise"):
        restart(forgetful.engine.ctx, forgetful.engine.tenant.caller, stopped)


def test_what_would_end_at_the_same_record_is_not_begun_anew_until_something_is_changed(forgetful: Planner) -> None:
    engine = forgetful.engine
    schedule_id = forgetful.create(limit=12, **BY_DATE)
    first = sync(forgetful, 1)
    outage(forgetful)
    for day in (2, 3):
        forgetful.sweep(f"2026-05-{day:02} 06:00")
    failed = forgetful.runs(schedule_id)[1:]
    assert {run.state for run in failed} == {RunState.FAILED}
    for run in failed:
        assert f"Job {first} stopped at " in str(run.note)
        assert "Take limit and apiLimit away or raise them, or let it run more often" in str(run.note)
    with pytest.raises(ConflictError, match="Take limit and apiLimit away"):
        run_now(engine.ctx, engine.tenant.caller, schedule_id)

    change_schedule(engine.ctx, engine.tenant.caller, schedule_id, lambda _: wish(**BY_DATE))

    assert sorted(ids(forgetful, sync(forgetful, 4))) == list(range(1, 26))
    assert ids(forgetful, sync(forgetful, 5)) == []


def test_a_date_that_records_have_not_is_told_with_its_cure(dated: Planner) -> None:
    schedule_id = dated.create(incremental=True, filterDateField="nowhere", pageSize=10)
    sync(dated, 1)
    dated.sweep("2026-05-02 06:00")
    [_, failed] = dated.runs(schedule_id)
    assert failed.state is RunState.FAILED
    assert str(failed.note).endswith("In a schedule: change its filterDateField, and the next run begins anew.")
    change_schedule(dated.engine.ctx, dated.engine.tenant.caller, schedule_id, lambda _: wish(**BY_DATE))
    assert len(ids(dated, sync(dated, 3))) == 25


def test_what_a_user_let_go_on_is_gone_on_from(dated: Planner) -> None:
    dated.create(incremental=True, filterDateField="changed", pageSize=10)
    first = sync(dated, 1)
    own = dated.engine.submit(object_name="", continue_from_job_id=first, given=frozenset({"continueFromJobId"}))
    dated.engine.run(own)
    third = sync(dated, 2)
    assert dated.engine.job(third).criteria["continueFromJobId"] == own


def test_a_run_of_a_range_and_one_whose_job_is_forgotten_are_not_gone_on_from(dated: Planner) -> None:
    engine, caller = dated.engine, dated.engine.tenant.caller
    schedule_id = dated.create(incremental=True, filterDateField="changed", pageSize=10)
    ranged = run_range(engine.ctx, caller, schedule_id, "2020-01-01", "2020-02-01")
    engine.run(ranged.job_id)
    assert engine.job(ranged.job_id).criteria["from"] == "2020-01-01"
    first = sync(dated, 1)
    assert "continueFromJobId" not in engine.job(first).criteria
    engine.execute("delete from jobs where id = %s", first)
    again = sync(dated, 2)
    assert len(ids(dated, again)) == 25
    assert dated.runs(schedule_id)[-1].note == "The last success is forgotten: begun anew."


def test_another_date_begins_anew(dated: Planner) -> None:
    engine, caller = dated.engine, dated.engine.tenant.caller
    schedule_id = dated.create(incremental=True, filterDateField="changed", pageSize=10)
    sync(dated, 1)
    change_schedule(
        engine.ctx, caller, schedule_id, lambda _: wish(incremental=True, filterDateField="other", pageSize=10)
    )
    second = sync(dated, 2)
    assert "continueFromJobId" not in engine.job(second).criteria
    assert dated.runs(schedule_id)[-1].note is None


# What users do -------------------------------------------------------------------------------------------------------


def test_while_it_is_paused_nothing_is_due_and_nothing_is_caught_up(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create(catchUp="all")
    for _ in range(2):
        set_schedule_paused(ctx, caller, schedule_id, paused=True)
    assert planner.sweep("2026-05-09 12:00") is None
    shown = set_schedule_paused(ctx, caller, schedule_id, paused=False)
    with planner.engine.plain_db.connection() as conn:
        now = schedules.clock(conn)
    assert shown.schedule.next_due_at is not None
    assert now < shown.schedule.next_due_at <= now + timedelta(days=1)
    assert planner.runs(schedule_id) == []


def test_a_run_now_counts_for_the_chain_and_does_not_overlap(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create()
    due_at = planner.schedule(schedule_id).next_due_at
    job_id = run_now(ctx, caller, schedule_id, idempotency_key="k").job_id
    assert run_now(ctx, caller, schedule_id, idempotency_key="k").job_id == job_id
    with pytest.raises(ConflictError, match=f"Job {job_id} of the run before is under way"):
        run_now(ctx, caller, schedule_id)
    planner.sweep("2026-05-01 06:00")
    assert [run.kind for run in planner.runs(schedule_id)] == ["NOW"], "what is due waits for it as well"
    assert planner.schedule(schedule_id).next_due_at == due_at
    planner.end_jobs()
    planner.sweep("2026-05-01 06:01")
    assert [run.kind for run in planner.runs(schedule_id)] == ["NOW", "DUE"]


def test_a_run_of_a_range_is_beside_the_others(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create(filterDateField="changed")
    run_now(ctx, caller, schedule_id)
    job_id = run_range(ctx, caller, schedule_id, "2026-01-01", "2026-02-01").job_id
    assert planner.engine.job(job_id).criteria["to"] == "2026-02-01"
    assert planner.schedule(schedule_id).current_job_id != job_id
    with pytest.raises(InvalidInputError, match="nonsense"):
        run_range(ctx, caller, schedule_id, "nonsense", "2026-02-01")
    assert len(planner.runs(schedule_id)) == 2, "a refused run leaves nothing"


def test_another_cron_drops_what_was_due_and_keeps_what_was_taken(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create()
    planner.sweep("2099-05-01 06:00")  # the database's clock was far ahead once
    shown = change_schedule(ctx, caller, schedule_id, lambda _: wish(cron="0 7 * * *"))
    assert shown.schedule.next_due_at == at("2099-05-01 07:00"), "never behind a due time that was taken"
    assert change_schedule(ctx, caller, schedule_id, lambda _: wish(cron="0 7 * * *", name="n")).schedule.name == "n"


def test_a_change_that_another_one_overtook_is_refused(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create()

    def meddle(_: object) -> object:
        planner.engine.execute("update schedules set updated_at = now()")
        return wish()

    with pytest.raises(ConflictError, match="changed at this moment"):
        change_schedule(ctx, caller, schedule_id, meddle)  # type: ignore[arg-type]


def test_a_deleted_schedule_is_not_there_any_more(planner: Planner) -> None:
    ctx, caller = planner.engine.ctx, planner.engine.tenant.caller
    schedule_id = planner.create()
    delete_schedule(ctx, caller, schedule_id)
    planner.sweep("2026-05-01 06:00")
    with pytest.raises(NotFoundError):
        list_runs(ctx, caller, schedule_id, after=0, page_size=10)
    assert list_schedules(ctx, caller, after=0, page_size=10).items == []
    assert planner.engine.rows("select id from jobs") == []


def test_rows_of_long_ago_are_forgotten_with_their_jobs(planner: Planner) -> None:
    """But for the newest that others would go on from."""
    engine, caller = planner.engine, planner.engine.tenant.caller
    schedule_id = planner.create()
    for day in (1, 2, 3):
        planner.sweep(f"2026-05-0{day} 06:00")
        planner.end_jobs()
    set_schedule_paused(engine.ctx, caller, schedule_id, paused=True)
    change_schedule(engine.ctx, caller, schedule_id, lambda _: wish(filterDateField="changed"))
    run_range(engine.ctx, caller, schedule_id, "2020-01-01", "2020-02-01")
    engine.execute("update schedule_runs set created_at = now() - interval '91 days'")
    jobs = planner.job_ids(schedule_id)
    for gone, left in (([], [1, 2, 3, 4]), (jobs[:2], [2, 3, 4]), (jobs, [3])):
        engine.execute("delete from jobs where id = any(%s)", gone)
        retention.forget_rows(engine.ctx)
        assert [run.number for run in planner.runs(schedule_id)] == left


def test_a_schedule_that_rested_for_longer_than_rows_are_kept_says_that_it_begins_anew(dated: Planner) -> None:
    """Once a year, say: the job is forgotten after 90 days, and so would be the row of its run."""
    engine = dated.engine
    schedule_id = dated.create(incremental=True, filterDateField="changed", pageSize=10, cron="0 6 1 * *")
    dated.sweep("2026-06-01 06:00")
    [first] = dated.job_ids(schedule_id)
    engine.run(first)
    engine.execute("update jobs set files_deleted_at = now() - interval '91 days', sweep_orphans_at = null")
    engine.execute("update schedule_runs set created_at = now() - interval '94 days'")
    retention.forget_rows(engine.ctx)
    assert engine.rows("select id from jobs") == []

    dated.sweep("2026-07-01 06:00")

    assert dated.runs(schedule_id)[-1].note == "The last success is forgotten: begun anew."


def test_the_bounds_of_incremental(planner: Planner) -> None:
    for given, named in (
        ({}, "filterDateField"),
        ({"filterDateField": "changed", "to": "2026-01-01"}, "to would"),
        ({"filterDateField": "changed", "allowOverlap": True}, "allowOverlap"),
    ):
        with pytest.raises(HaulageError, match=named):
            planner.create(incremental=True, **given)
    connector = document("page")
    del connector["objects"]["records"]["id"]
    with pytest.raises(InvalidInputError, match="has no `id` in the connector"):
        planner.create(planner.engine.add_tenant_of(connector), incremental=True, filterDateField="changed")


# Deaths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strike", [kill, cut])
def test_whatever_dies_at_any_step_each_due_time_is_taken_once(planner: Planner, strike: Strike) -> None:
    steps = planner.engine.steps
    schedule_id = planner.create(catchUp="all", allowOverlap=True, cron="0 6 * * *")
    steps.arm(-1)
    planner.sweep("2026-05-01 06:00")
    names = list(steps.names)
    assert names.count("after commit") >= 3, "a savepoint for the job, the run, and the look for more"
    for at_step in range(len(names)):
        day = at("2026-05-02 06:00") + timedelta(days=at_step)
        steps.arm(at_step, strike)
        with contextlib.suppress(Killed, TransientError):
            planner.sweep(day)
        steps.arm(-1)
        # A server that has not noticed the cut yet still holds the row, and who finds it held passes it over.
        wait_until(partial(_is_taken, planner, schedule_id, day), "the run of that day")
    runs = planner.runs(schedule_id)
    assert [run.due_at for run in runs] == [at("2026-05-01 06:00") + timedelta(days=n) for n in range(len(names) + 1)]
    assert {run.state for run in runs} == {RunState.SUBMITTED}
    assert planner.engine.one("select count(*)::int as n from jobs")["n"] == len(runs)


def _is_taken(planner: Planner, schedule_id: int, day: datetime) -> bool:
    planner.sweep(day)
    return planner.runs(schedule_id)[-1].due_at == day


def test_a_row_that_was_set_back_makes_no_run_twice(planner: Planner) -> None:
    schedule_id = planner.create(catchUp="all", allowOverlap=True, cron="0 * * * *")
    planner.sweep("2026-05-01 02:00")
    for now in ("2026-05-01 02:30", "2026-05-01 04:00"):
        planner.engine.execute("update schedules set next_due_at = '2026-05-01 01:00Z'")
        planner.sweep(now)
    assert [each[:8] for each in planner.told(schedule_id)] == ["01 01:00", "01 02:00", "01 03:00", "01 04:00"]


def test_sweepers_that_meet_do_not_wait_for_one_another(planner: Planner) -> None:
    schedule_id = planner.create()
    now = at("2026-05-01 06:00")
    with planner.engine.plain_db.transaction() as conn:
        assert schedules.lock_due(conn, schedule_id, now) is not None
        planner.sweep(now)
        assert planner.runs(schedule_id) == []
    planner.sweep(now)
    assert len(planner.runs(schedule_id)) == 1
