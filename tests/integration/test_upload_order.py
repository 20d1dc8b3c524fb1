"""In which order an upload sends rows again, and what it does while it must wait for those in doubt."""

from typing import Any

import pytest

from app.domain.jobs import JobStatus
from app.http_client import Request
from app.services import control
from app.services.upload import UploadLeg
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Taken, Trouble
from tests.fixtures.uploads import CALLS

COUNT = 8
BATCHES = {"batch": {"create": {"path": "/batch", "max": 4, "mode": "atomic", "results": "", "id_at": "/id"}}}


def look_up(after: str) -> dict[str, Any]:
    return {"path": "/people", "params": {"email": "{id}"}, "by": "email", "records": "", "after": after}


@pytest.fixture(autouse=True)
def _no_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, rest = 0, UploadLeg._rest

    def counted(*args: Any) -> bool:
        nonlocal rounds
        rounds += 1
        if rounds > 100:
            pytest.fail("it goes round in circles")
        return rest(*args)

    monkeypatch.setattr(UploadLeg, "_rest", counted)


def leg_of_one_call(uploads: UploadDoor, job_id: int) -> None:
    called = uploads.target.call_count
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count > called)


@pytest.mark.parametrize("status", [500, 503])
def test_a_serial_upload_keeps_the_order_of_the_rows_that_it_sends_again(uploads: UploadDoor, status: int) -> None:
    uploads.declare(**BATCHES)
    uploads.target.script.append(Trouble(is_taken=False, status=status))
    job_id = uploads.submit(csv_of(emails(COUNT)), is_serial=True, resends_uncertain=True)

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert list(uploads.target.rows) == emails(COUNT)


def test_a_serial_upload_keeps_the_order_of_rows_that_a_dead_worker_left(uploads: UploadDoor) -> None:
    uploads.declare(**BATCHES)
    options: dict[str, Any] = {"is_serial": True, "resends_uncertain": True}
    names = uploads.engine.trace(uploads.submit(csv_of(emails(COUNT)), **options))
    uploads.clear()
    job_id = uploads.submit(csv_of(emails(COUNT)), **options)
    uploads.kill_leg(job_id, names.index("before call"))
    uploads.engine.lose_holder(job_id)

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert list(uploads.target.rows) == emails(COUNT)


def test_a_serial_upload_sends_nothing_past_a_row_in_doubt(uploads: UploadDoor) -> None:
    uploads.declare(**BATCHES, look_up=look_up("1h"))
    uploads.target.script.append(Trouble(is_taken=False))
    job_id = uploads.submit(csv_of(emails(COUNT)), identifier="email", is_serial=True)
    uploads.engine.leg(job_id)
    assert uploads.in_doubt(job_id) == 4
    assert uploads.target.rows == {}
    uploads.engine.execute("update upload_rows set doubted_at = now() - interval '1 hour'")

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert list(uploads.target.rows) == emails(COUNT)


@pytest.mark.parametrize("is_serial", [True, False])
def test_rows_in_doubt_that_fill_the_window_are_waited_for_without_a_worker(
    uploads: UploadDoor, is_serial: bool
) -> None:
    uploads.declare(look_up=look_up("1h"))
    most_in_doubt = 1 if is_serial else CALLS
    uploads.target.script.extend([Trouble(is_taken=True)] * most_in_doubt)
    job_id = uploads.submit(csv_of(emails(COUNT)), identifier="email", is_serial=is_serial)

    uploads.engine.leg(job_id)

    assert uploads.in_doubt(job_id) == most_in_doubt
    (waiting,) = uploads.engine.rows(
        "select wait_reason, next_run_at - now() > interval '50 minutes' as is_long from slices"
    )
    assert waiting["is_long"]
    assert "looked up" in waiting["wait_reason"]


def test_batches_that_must_wait_for_another_leg_are_sent_as_batches_again(uploads: UploadDoor) -> None:
    uploads.declare(**BATCHES)
    wait = Trouble(is_taken=False, status=429, headers=(("Retry-After", "60"),))
    uploads.target.script.extend([wait] * 2)
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id)
    assert uploads.target.call_count == 2

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.target.call_count == 2 + COUNT // 4


def test_legs_too_short_to_halve_a_batch_to_its_end_find_the_guilty_row(uploads: UploadDoor) -> None:
    uploads.declare(**BATCHES)
    addresses = ["wrong", *emails(COUNT)]
    job_id = uploads.submit(csv_of(addresses), is_serial=True)
    for _ in range(20):
        leg_of_one_call(uploads, job_id)
        if uploads.engine.job(job_id).status.is_terminal:
            break

    assert uploads.verdicts(job_id) == {"FAILED": 1, "CREATED": COUNT}
    assert list(uploads.target.rows) == emails(COUNT)


def test_a_fault_of_ours_is_not_told_as_the_death_of_a_worker(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    job_id = uploads.submit(csv_of(emails(COUNT)))
    monkeypatch.setattr(UploadLeg, "_wait_for_answers", broken)
    uploads.engine.leg(job_id)
    assert uploads.in_doubt(job_id) == CALLS
    monkeypatch.undo()

    assert uploads.run(job_id) is JobStatus.COMPLETED
    told = {row["detail"] for row in uploads.rows(job_id) if row["verdict"] == "UNCERTAIN"}
    assert told == {"What became of the call was not known when a leg of the job ended."}


@pytest.mark.parametrize("is_other_leg", [True, False])
def test_one_row_a_try_is_spent_on_a_vendor_that_is_down(uploads: UploadDoor, is_other_leg: bool) -> None:
    tries = 8
    uploads.engine.configure(retry_tries=tries, retry_base_s=3600.0 if is_other_leg else 0.0)
    uploads.target.script.extend([Trouble(is_taken=False, status=500)] * 1000)
    job_id = uploads.submit(csv_of(emails(200)))

    assert uploads.run(job_id) is JobStatus.ABORTED
    assert uploads.verdicts(job_id)["UNCERTAIN"] <= 2 * CALLS + tries - 1


def test_a_vendor_that_is_up_again_gets_all_its_calls(uploads: UploadDoor) -> None:
    uploads.target.script.extend([Trouble(is_taken=True, status=500)] * 2 * CALLS)
    job_id = uploads.submit(csv_of(emails(40)))
    under_way: list[int] = []
    wait = uploads.target.wait

    def counted() -> None:
        under_way.append(len(uploads.target._on_the_way))
        wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads.target, "wait", counted)
        assert uploads.run(job_id) is JobStatus.COMPLETED
    assert under_way[-1] < max(under_way[-8:]) == CALLS
    assert sum(uploads.verdicts(job_id).values()) == 40


def test_calls_that_never_left_are_in_no_doubt_once_the_job_is_cancelled(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's address does not answer: nobody there has heard of these rows."""
    start, begun = uploads.target.start, []

    def begin(request: Request) -> Taken:
        begun.append(start(request))
        begun[-1].is_sent = len(begun) == 1
        return begun[-1]

    monkeypatch.setattr(uploads.target, "start", begin)
    monkeypatch.setattr(uploads.target, "wait", lambda: None)
    uploads.engine.configure(cancel_grace_s=0.0)
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id, is_stopping=lambda: len(begun) >= CALLS)
    assert uploads.in_doubt(job_id) == 1
    control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)

    verdicts = uploads.status(job_id)["metadata"]["verdicts"]
    assert (verdicts["UNCERTAIN"], verdicts["NOT_SENT"]) == (1, CALLS - 1)
    assert uploads.engine.job(job_id).call_count == 1
