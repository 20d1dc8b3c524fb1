"""Every page kind, every size: all records once, in order, byte for byte, stopped and gone on at any position."""

import contextlib
from collections.abc import Callable
from itertools import count, product

import pytest

from app.db import checkpoints
from app.domain.jobs import JobStatus, StopReason
from app.errors import ConflictError
from app.storage.files import FileStore
from tests.fixtures.factories import Workbench
from tests.fixtures.vendor import KINDS, expected_jsonl

PAGE = 4
MANY = 5 * PAGE + 3
COUNTS = (0, 1, PAGE, PAGE + 1, MANY)
STRANGE = {"text": "strange"}
"""Bytes that a decoder and encoder on the way would change."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run_all(workbench: Workbench, job_id: int) -> int:
    """Restart the job until the vendor has nothing left. Returns the number of runs."""
    for run in count(1):
        job = workbench.run_to_end(job_id)
        assert job.status is JobStatus.COMPLETED, job
        if not job.has_more:
            return run
        workbench.restart(job_id)
    raise AssertionError


def test_all_records_arrive_once_and_in_order(workbench: Workbench, kind: str) -> None:
    for records in COUNTS:
        workbench.account.configure(records=records, habits=STRANGE)
        workbench.account.clear_log()
        job_id = workbench.submit(kind, page_size=PAGE)

        job = workbench.run_to_end(job_id)

        assert workbench.result(job_id) == expected_jsonl(workbench.account), f"{records} records"
        assert (job.status, job.stop_reason) == (JobStatus.COMPLETED, StopReason.EXHAUSTED)
        assert (job.record_count, job.has_more) == (records, False)
        assert job.call_count == workbench.account.calls
        with pytest.raises(ConflictError):
            workbench.restart(job_id)


def test_stopped_by_limit_at_every_position_it_goes_on_with_the_same_bytes(workbench: Workbench, kind: str) -> None:
    workbench.account.configure(records=2 * PAGE + 2, habits=STRANGE)
    whole = expected_jsonl(workbench.account)
    lines = whole.splitlines(keepends=True)
    for limit in range(1, len(lines) + 2):
        job_id = workbench.submit(kind, page_size=PAGE, limit=limit)
        workbench.run_to_end(job_id)
        assert workbench.result(job_id) == b"".join(lines[:limit])
        run_all(workbench, job_id)
        assert workbench.result(job_id) == whole, f"limit {limit}"


def test_an_api_limit_is_used_up_exactly_and_never_passed(workbench: Workbench, kind: str) -> None:
    for api_limit in (1, 2, 3):
        workbench.account.configure(records=MANY, habits=STRANGE)
        workbench.account.clear_log()
        job_id = workbench.submit(kind, page_size=PAGE, api_limit=api_limit)
        job = workbench.run_to_end(job_id)
        assert workbench.account.calls == (api_limit if job.has_more else 1)
        runs = run_all(workbench, job_id)
        assert workbench.account.calls <= runs * api_limit
        assert workbench.result(job_id) == expected_jsonl(workbench.account)
        assert workbench.job(job_id).calls_written_off == 0


@pytest.mark.parametrize("encoding", ["deflate", "plain"])
def test_both_stored_forms_give_the_vendors_bytes(workbench: Workbench, encoding: str) -> None:
    bench = workbench.with_settings(segment_encoding=encoding)
    bench.account.configure(records=3000, habits={**STRANGE, "pad_bytes": 2000, "pad_every": 7})
    job_id = bench.submit("records_keyset", page_size=500)
    bench.run_to_end(job_id)
    assert bench.result(job_id) == expected_jsonl(bench.account)
    stored = bench.one("select distinct encoding from segments where job_id = %s", job_id)
    assert stored == {"encoding": encoding}


def stops_at(workbench: Workbench, call: int) -> Callable[[], bool]:
    """A process that is asked to end while the vendor answers that call."""
    return lambda: workbench.account.calls >= call


def test_handed_back_after_any_page_it_goes_on_with_the_same_bytes(workbench: Workbench, kind: str) -> None:
    workbench.account.configure(records=MANY, habits=STRANGE)
    whole = expected_jsonl(workbench.account)
    for call in range(1, 8):
        workbench.account.clear_log()
        job_id = workbench.submit(kind, page_size=PAGE)
        workbench.run_leg(job_id, stops_at(workbench, call))
        job = workbench.run_to_end(job_id)
        assert workbench.result(job_id) == whole, f"stopped at call {call}"
        assert job.call_count == workbench.account.calls


class CrashError(BaseException):
    """The end of the process, as far as the engine can tell."""


def arm(patch: pytest.MonkeyPatch, point: str, number: int) -> None:
    """Let the n-th call of a function end in a crash, before or after it has done its work."""
    name, _, when = point.partition(" ")
    owner = {"advance": checkpoints, "put": FileStore}[name]
    original = getattr(owner, name)
    turn = count(1)

    def crashing(*args: object, **named: object) -> object:
        is_now = next(turn) == number
        if is_now and when == "before":
            raise CrashError
        done = original(*args, **named)
        if is_now:
            raise CrashError
        return done

    patch.setattr(owner, name, crashing)


def test_crashed_around_any_checkpoint_it_goes_on_with_the_same_bytes(workbench: Workbench, kind: str) -> None:
    workbench.account.configure(records=MANY, habits=STRANGE)
    for point, number in product(("put before", "put after", "advance before", "advance after"), (1, 2, 5)):
        job_id = workbench.submit(kind, page_size=PAGE)
        with pytest.MonkeyPatch.context() as patch:
            arm(patch, point, number)
            with contextlib.suppress(CrashError):
                workbench.run_leg(job_id)
        workbench.expire_leases()
        job = workbench.run_to_end(job_id)
        assert workbench.result(job_id) == expected_jsonl(workbench.account), f"crash at the {number}. {point}"
        assert job.record_count == MANY
