"""Workers are killed at each step of a leg that uploads, and the vendor takes records without saying so."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from tests.fakes import upload_audit
from tests.fakes.row_counts import RowCounts
from tests.fakes.sabotage import UPLOAD_STEPS
from tests.fixtures import uploader
from tests.fixtures.stack import LEASE_S, Stack
from tests.fixtures.uploader import CALLS, KINDS, SubmittedUpload, UploadKind

ROWS = 60
MANY_PASSES = ("tell", "write", "hear")
ONLY_IN_DOUBT = ("look",)
CALM = (("renew", "hand_back"), ("hint",))
"""Steps that a leg comes to only when it is left alone for a while; the last one only when nobody else waits."""

_PROCESSES = 5
"""web, callbacks, sweeper and two workers"""
_TRIES = 3
LOOKED_UP = next(kind for kind in KINDS if kind.settles == "look-up")
SERIAL = next(kind for kind in KINDS if kind.is_serial)
LOST = {"calls": 4, "do": "drop"}
"""The vendor takes the row, and its answer never comes."""


def waves() -> Iterator[list[str]]:
    """Steps that are killed at the same time, each in a job of its own."""
    calm = tuple(step for steps in CALM for step in steps)
    yield [step for step in UPLOAD_STEPS if not step.startswith(calm)]
    for steps in CALM:
        yield [step for step in UPLOAD_STEPS if step.startswith(steps)]


def submit_for(stack: Stack, step: str, kind: UploadKind) -> SubmittedUpload:
    """A job that comes by that step."""
    account: dict[str, Any] = {"latency_ms": 40}
    rows = ROWS
    if step.startswith(ONLY_IN_DOUBT):
        kind, account["faults"] = LOOKED_UP, [LOST]
    elif step.startswith("renew"):  # only while nothing is told
        kind, account["faults"] = SERIAL, [{"every": 5, "do": "delay", "seconds": 0.6 * LEASE_S}]
    elif step.startswith(("hand_back", "hint")):
        rows *= 3
    calls = rows // CALLS if kind.is_serial else rows
    return uploader.upload(
        stack.customer,
        kind,
        row_count=calls * kind.rows_a_call,
        account=account,
        callback_url=stack.receiver.url,
    )


def strike(stack: Stack, steps: list[str], kinds: Iterator[UploadKind]) -> tuple[list[SubmittedUpload], list[str]]:
    """A job for each step, killed there. Returns the jobs, and the steps that nobody came by."""
    jobs = [submit_for(stack, step, next(kinds)) for step in steps]
    armed = [
        stack.arm(step, job, at=3 if step.startswith(MANY_PASSES) else 1) for step, job in zip(steps, jobs, strict=True)
    ]
    while len(stack.kept) < _PROCESSES:  # the first steps are armed before anybody can come by
        stack.keep("worker", pool="prefork", slots=4)
    stack.wait_for_end(jobs, timeout_s=90)
    missed = [step for step, path in zip(steps, armed, strict=True) if path.exists()]
    for path in armed:
        path.unlink(missing_ok=True)
    return jobs, missed


def audited(stack: Stack, jobs: list[SubmittedUpload]) -> RowCounts:
    stack.wait_until_quiet()
    found = stack.take_stock_of_uploads(jobs)
    assert not found.problems, "\n".join(found.problems)
    return found.uploads


@pytest.fixture
def uploads(stack: Stack) -> Stack:
    with stack.rows() as connection:
        upload_audit.install(connection)
    return stack


@pytest.mark.parametrize("stack", [uploader.SETTINGS], indirect=True, ids=["few calls at once"])
def test_killed_at_each_step_no_row_is_doubled_or_forgotten(uploads: Stack) -> None:
    uploader.declare(uploads.customer)
    jobs: list[SubmittedUpload] = []
    kinds = cycle(KINDS)
    for steps in waves():
        left = steps
        for _ in range(_TRIES):
            wave, left = strike(uploads, left, kinds)
            jobs += wave
            if not left:
                break
        assert left == [], "steps that nobody came by"
    counts = audited(uploads, jobs)
    assert counts.uncertain == counts.lost_hold > 0


@pytest.mark.parametrize("stack", [uploader.SETTINGS], indirect=True, ids=["few calls at once"])
def test_what_the_vendor_took_without_saying_so_is_settled_or_uncertain(uploads: Stack) -> None:
    """Late, cut, lost, and a 500: of each kind of upload four calls that were carried out.

    Atomic batches are halved for their bad rows, so how many a faulty call holds differs.
    """
    faults = [
        {"calls": 3, "do": "delay", "seconds": 10},  # libcurl looks at its speed over some seconds, sending included
        {"calls": 6, "do": "cut"},
        LOST | {"calls": 9},
        {"calls": 12, "do": "status", "status": 500, "commits": True},
    ]
    uploader.declare(uploads.customer, read_timeout_s=1.0, settled_s=0.5)
    uploads.keep("worker", slots=len(KINDS))
    jobs = [
        uploader.upload(uploads.customer, kind, row_count=15 * kind.rows_a_call, account={"faults": faults})
        for kind in KINDS
    ]
    uploads.wait_for_end(jobs)
    audited(uploads, jobs)
    for job in jobs:
        if job.kind.object_name in {"blind", "blind_partial"}:
            uncertain = "select count(*) from upload_rows where verdict = 'UNCERTAIN' and job_id = %s"
            most = len(faults) * job.kind.rows_a_call  # a call at the end of a turn may hold fewer
            assert most - job.kind.rows_a_call < uploads.number(uncertain, job.id) <= most
