"""Cancel, restart, sweeper, waits and stalls are the same for uploads as for downloads (issue 5.5)."""

from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.bulk_schemas import StatusSchema
from app.domain.jobs import JobStatus, StopReason
from app.domain.uploads import UploadAction
from app.http_client import Headers, Request, Response
from app.services import control
from app.services.sweep import sweep
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Trouble
from tests.fixtures.uploads import CALLS

COUNT = 8


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.lease._LOOK_S", 0.0)


def step_of(uploads: UploadDoor, name: str) -> int:
    """The number of the first step of that name in a leg of COUNT rows; the vendor is empty again then."""
    names = uploads.engine.trace(uploads.submit(csv_of(emails(COUNT))))
    uploads.clear()
    return names.index(name)


def age(uploads: UploadDoor, job_id: int) -> None:
    statement = "update slices set progressed_at = progressed_at - interval '1000 s' where job_id = %s"
    uploads.engine.execute(statement, job_id)


def told(uploads: UploadDoor, job_id: int) -> dict[str, Any]:
    document = uploads.status(job_id)
    assert StatusSchema().validate(document) == {}
    return document


# Cancel --------------------------------------------------------------------------------------------------------------


def test_a_cancelled_holder_tells_what_was_under_way_before_it_lets_go(uploads: UploadDoor) -> None:
    """Design 5: uploads first record the outcomes in flight."""
    step = step_of(uploads, "after send")
    job_id = uploads.submit(csv_of(emails(COUNT)))

    def cancel(*_: object) -> None:
        uploads.engine.steps.arm(-1)
        answer = uploads.call("PUT", f"/bulk/{job_id}/cancel")
        assert answer.get_json()["status"] == "CANCELLATION_PENDING"

    uploads.engine.steps.arm(step, cancel)
    uploads.engine.leg(job_id)

    document = told(uploads, job_id)
    assert (document["status"], document["metadata"]["stopReason"]) == ("CANCELLED", "CANCELLED")
    assert uploads.verdicts(job_id) == {"CREATED": uploads.target.call_count}
    assert uploads.target.call_count < COUNT


def test_a_holder_that_does_not_let_go_leaves_its_rows_in_doubt(uploads: UploadDoor) -> None:
    step = step_of(uploads, "after send")
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.kill_leg(job_id, step)
    in_doubt = uploads.in_doubt(job_id)
    assert uploads.call("PUT", f"/bulk/{job_id}/cancel").get_json()["status"] == "CANCELLATION_PENDING"

    uploads.engine.configure(cancel_grace_s=0.0)
    assert sweep(uploads.engine.ctx).ended == 1

    document = told(uploads, job_id)
    assert (document["status"], document["recordsFailedCount"]) == ("CANCELLED", in_doubt)
    assert uploads.verdicts(job_id) == {"UNCERTAIN": in_doubt}
    assert 0 < in_doubt <= CALLS
    uploads.call("PUT", f"/bulk/v3/{job_id}/restart")
    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert max(uploads.target.created.values()) == 1
    assert told(uploads, job_id)["recordsCount"] == COUNT


def test_a_complete_upload_is_not_cancelled(uploads: UploadDoor) -> None:
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.run(job_id)
    assert uploads.call("PUT", f"/bulk/{job_id}/cancel").status_code == 409


# Restart and instance ------------------------------------------------------------------------------------------------


def test_a_restart_is_another_run_with_a_callback_of_its_own(uploads: UploadDoor) -> None:
    job_id = uploads.submit(csv_of(emails(COUNT)), notification_url="http://127.0.0.1:9/hook")
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= CALLS)
    uploads.call("PUT", f"/bulk/{job_id}/cancel")
    answer = uploads.call("PUT", f"/bulk/v3/{job_id}/restart")
    assert (answer.status_code, answer.get_json()["runNumber"]) == (200, 2)
    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.target.created == Counter(emails(COUNT))
    rows = uploads.engine.rows("select run_number from deliveries where job_id = %s order by 1", job_id)
    assert [row["run_number"] for row in rows] == [1, 2]
    assert told(uploads, job_id)["metadata"]["verdicts"]["CREATED"] == COUNT


@pytest.mark.parametrize("column", ["disabled_at", "deleted_at"])
def test_an_upload_whose_instance_goes_is_aborted(uploads: UploadDoor, column: str) -> None:
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= CALLS)
    uploads.engine.execute(f"update instances set {column} = now()")
    sweep(uploads.engine.ctx)
    job = uploads.engine.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.INSTANCE_GONE)
    assert job.record_count == uploads.verdicts(job_id)["CREATED"] > 0
    uploads.engine.execute(f"update instances set {column} = null")
    control.restart(uploads.engine.ctx, uploads.tenant.caller, job_id)
    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.target.created == Counter(emails(COUNT))


# Waits and stalls ----------------------------------------------------------------------------------------------------


def test_a_waiting_upload_says_why_and_until_when(uploads: UploadDoor) -> None:
    headers = (("Retry-After", "3000"),)
    uploads.target.script.append(Trouble(is_taken=False, status=503, headers=headers))
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id)

    document = told(uploads, job_id)
    assert "waiting until" in document["statusMessage"]
    assert "HTTP 503" in document["statusMessage"]
    assert "stalled" not in document
    age(uploads, job_id)
    document = told(uploads, job_id)
    assert document["stalled"]["waitsFor"] == "vendor"
    assert "HTTP 503" in document["stalled"]["what"]


def test_an_upload_that_waits_for_a_free_worker_says_so(uploads: UploadDoor) -> None:
    job_id = uploads.submit(csv_of(emails(COUNT)))
    age(uploads, job_id)
    assert told(uploads, job_id)["stalled"]["waitsFor"] == "slot"


def test_an_upload_whose_calls_hang_says_so(uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0
    seen: dict[str, Any] = {}
    job_id = uploads.submit(csv_of(emails(COUNT)))

    answer = uploads.target.wait

    def wait() -> None:
        """The first call that is waited for brings nothing; then it is told that it is waited for."""
        nonlocal waits
        waits += 1
        if waits == 2:
            age(uploads, job_id)
            seen.update(told(uploads, job_id)["stalled"])
        if waits > 1:
            answer()

    monkeypatch.setattr(uploads.target, "wait", wait)
    uploads.engine.leg(job_id)

    assert seen["waitsFor"] == "vendor"
    assert "held by worker 1 since" in seen["what"]
    assert "a vendor call is under way since" in seen["what"]
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_progress_ends_a_stall(uploads: UploadDoor) -> None:
    job_id = uploads.submit(csv_of(emails(COUNT)))
    age(uploads, job_id)
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= CALLS)
    assert "stalled" not in told(uploads, job_id)


# A vendor that gives no answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [UploadAction.CREATE, UploadAction.UPSERT])
def test_what_a_failing_vendor_echoes_is_told_of_the_row_alone(
    uploads: UploadDoor, action: UploadAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def echo(request: Request) -> Response:
        return Response(500, Headers(()), request.body or b"", request.url, 0.0)

    monkeypatch.setattr(uploads.target, "_answered", echo)
    record = b'{"email": "a@x.test", "password": "geheim-1"}\n'
    job_id = uploads.submit(record * COUNT, format="json", action=action, identifier="email")
    with capture_logs() as logs:
        uploads.run(job_id)

    assert "HTTP 500: the vendor does not tell" in str(logs)
    assert "geheim-1" not in str(logs)
    assert "geheim-1" not in str(told(uploads, job_id))


def test_a_row_that_never_gets_an_answer_is_not_sent_for_ever(uploads: UploadDoor) -> None:
    """Its look-up comes after the leg, so that each leg sends it once."""
    look_up = {"path": "/people", "params": {"email": "{id}"}, "by": "email", "records": "", "after": "60s"}
    uploads.declare(look_up=look_up)
    uploads.engine.configure(retry_tries=4)
    uploads.target.script.extend([Trouble(is_taken=False)] * 100)
    job_id = uploads.submit(csv_of(emails(1)))
    for _ in range(20):
        uploads.engine.make_due(job_id)
        uploads.engine.execute("update upload_rows set doubted_at = doubted_at - interval '100 s'")
        uploads.engine.leg(job_id)

    job = uploads.engine.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    assert "4 tries without progress" in str(job.status_message)
    assert uploads.verdicts(job_id) == {"UNCERTAIN": 1}
    assert len(uploads.target.script) == 100 - 4
