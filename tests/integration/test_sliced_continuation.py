"""Going on from a job that was cut into windows of time: one mark for all its slices, whoever ends when."""

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.api.bulk_schemas import CriteriaSchema
from app.db.jobs import Job
from app.domain.jobs import JobStatus, StopReason
from app.services import control
from app.services.download import run_leg
from app.services.submit import submit_download
from tests.fakes.changing_vendor import START, ChangingVendor
from tests.fakes.engine import Engine, status
from tests.fakes.steps import Killed

DATES = {"changed": {"from": "since", "to": "until", "slices": {"shortest": "1d"}}}
RANGE = {"from": "2024-02-27", "to": "2024-03-01T09:00:00Z", "filterDateField": "changed"}
DAYS = 4
"""Windows of RANGE: what is left over is spread among them."""


@pytest.fixture
def engine(paced_engine: Engine) -> Engine:
    paced_engine.configure(slices=DAYS)
    paced_engine.tenant = paced_engine.add_tenant("cursor", dates=DATES)
    return paced_engine


@pytest.fixture
def vendor(engine: Engine) -> ChangingVendor:
    """Forty records, two hours apart, the first at the end of the range; the last ones before its beginning."""
    vendor = ChangingVendor(call_s=1.0)
    engine.vendor.listing = vendor  # type: ignore[assignment]
    for number in range(40):
        vendor.put(number, START - timedelta(hours=2 * number))
    return vendor


IN_RANGE = [
    (number, 1) for number in range(40) if START - timedelta(hours=2 * number) >= START.replace(month=2, day=27, hour=0)
]


def ask(engine: Engine, **body: Any) -> int:
    return submit_download(engine.ctx, engine.tenant.caller, CriteriaSchema().load(body)).job_id


def sliced(engine: Engine) -> int:
    job_id = ask(engine, objectName="records", pageSize=5, **RANGE)
    assert engine.job(job_id).slice_count > 1
    return job_id


def open_slices(engine: Engine, job_id: int) -> list[int]:
    rows = engine.rows("select id from slices where job_id = %s and next_run_at is not null order by number", job_id)
    return [row["id"] for row in rows]


def leg(engine: Engine, slice_id: int, *, calls: int | None = None) -> None:
    run_leg(engine.ctx, slice_id, worker_id=1, is_stopping=engine.after_calls(calls))


def run(engine: Engine, job_id: int, *, is_reversed: bool = False) -> Job:
    for _ in range(50):
        engine.make_due(job_id)
        found = open_slices(engine, job_id)
        for slice_id in reversed(found) if is_reversed else found:
            leg(engine, slice_id)
        if engine.job(job_id).status.is_terminal:
            return engine.job(job_id)
    raise AssertionError(f"job {job_id} has not ended: {engine.job(job_id)}")


def run_next(engine: Engine, source: int) -> Job:
    job = engine.run(ask(engine, continueFromJobId=source))
    assert (job.status, job.slice_count) == (JobStatus.COMPLETED, 1)
    return job


def versions(engine: Engine, job_id: int) -> list[tuple[int, int]]:
    lines = [json.loads(line) for line in engine.output(job_id).splitlines()]
    return sorted((line["id"], line["version"]) for line in lines)


def mark(engine: Engine, job_id: int) -> dict[str, Any]:
    return engine.one("select chain_id, floor_us, clock_us, high_us from chain_marks where job_id = %s", job_id)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_only_what_changed_comes_whichever_slice_ends_last(
    engine: Engine, vendor: ChangingVendor, is_reversed: bool
) -> None:
    source = run(engine, sliced(engine), is_reversed=is_reversed)
    assert versions(engine, source.id) == IN_RANGE
    assert mark(engine, source.id)["chain_id"] == source.id
    assert mark(engine, source.id)["high_us"] == START.timestamp() * 1e6
    nothing = run_next(engine, source.id)
    assert nothing.criteria["from"] == "2024-03-01T08:55:00Z", "the highest date of all slices less five minutes"
    assert (nothing.record_count, nothing.repeated_count) == (0, 1)
    assert "to" not in nothing.criteria

    vendor.wait(hours=1)
    changed = [(7, vendor.put(7).number), (39, vendor.put(39).number), (90, vendor.put(90).number)]
    job = run_next(engine, nothing.id)
    assert versions(engine, job.id) == changed
    assert run_next(engine, job.id).record_count == 0


def test_what_lies_behind_the_range_comes_next(engine: Engine, vendor: ChangingVendor) -> None:
    vendor.put(50, START + timedelta(hours=3))
    vendor.now = START + timedelta(days=1)
    source = run(engine, sliced(engine))
    assert versions(engine, source.id) == IN_RANGE
    assert versions(engine, run_next(engine, source.id).id) == [(50, 1)]


def test_a_record_that_changes_between_the_slices_comes_in_its_last_state_once(
    engine: Engine, vendor: ChangingVendor
) -> None:
    """Out of a window that is not read yet, and of one that is."""
    job_id = sliced(engine)
    first, *_ = open_slices(engine, job_id)
    leg(engine, first)
    early, late = IN_RANGE[-1][0], IN_RANGE[0][0]
    moved = sorted([(early, vendor.put(early).number), (late, vendor.put(late).number)])
    source = run(engine, job_id)
    assert versions(engine, source.id) == IN_RANGE[1:]
    assert versions(engine, run_next(engine, source.id).id) == moved


def test_a_worker_may_die_at_any_step_of_any_slice(engine: Engine, vendor: ChangingVendor) -> None:
    vendor.put(60, START)  # two records in the overlap
    job_id = sliced(engine)
    engine.steps.arm(-1)
    for slice_id in open_slices(engine, job_id):
        leg(engine, slice_id)
    for number in range(0, len(engine.steps.names), 3):
        job_id = sliced(engine)
        engine.steps.arm(number)
        with contextlib.suppress(Killed):
            for slice_id in open_slices(engine, job_id):
                leg(engine, slice_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        if not engine.job(job_id).status.is_terminal:
            run(engine, job_id)
        assert versions(engine, job_id) == sorted([*IN_RANGE, (60, 1)])
        following = run_next(engine, job_id)
        assert (following.record_count, following.repeated_count) == (0, 2), number


def test_an_aborted_source_is_restarted_and_then_gone_on_from(engine: Engine, vendor: ChangingVendor) -> None:
    job_id = sliced(engine)
    first, second, *_ = open_slices(engine, job_id)
    leg(engine, first)
    engine.vendor.script.append(status(400))
    leg(engine, second)
    assert (engine.job(job_id).status, engine.job(job_id).stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    source = run(engine, job_id)
    assert versions(engine, source.id) == IN_RANGE
    vendor.wait(days=1)
    assert versions(engine, run_next(engine, source.id).id) == []


def test_a_slice_whose_first_call_came_first_may_commit_last(engine: Engine, vendor: ChangingVendor) -> None:
    """Its clock is that of the pass; what the others noted before has to reach back to it, for a clock that is slow."""
    vendor.now = START.replace(month=2, day=28, hour=0)
    vendor.put(70, vendor.now - timedelta(minutes=3))
    job_id = sliced(engine)
    *others, last = open_slices(engine, job_id)
    names = engine.trace(sliced(engine))
    engine.steps.arm(names.index("after call"), _meanwhile(engine, vendor, others))
    leg(engine, last)
    engine.steps.arm(-1)
    source = run(engine, job_id)
    assert versions(engine, source.id) == sorted([*IN_RANGE, (70, 1)])
    began = mark(engine, source.id)["clock_us"] / 1e6
    assert began < (START.replace(month=2, day=28, hour=0) + timedelta(minutes=1)).timestamp()
    following = run_next(engine, source.id)
    assert (versions(engine, following.id), following.record_count) == ([], 0)


def _meanwhile(engine: Engine, vendor: ChangingVendor, others: list[int]) -> Callable[[str, object], None]:
    def work(_name: str, _conn: object) -> None:
        vendor.wait(minutes=5)
        for slice_id in others:
            leg(engine, slice_id, calls=1)
            leg(engine, slice_id)

    return work
