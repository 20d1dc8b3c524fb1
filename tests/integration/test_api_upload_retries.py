"""`POST /bulk/{id}/retry-failed`: only what failed is sent again, no row twice, doubt under its own key (issue 5.4)."""

import json
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from app.db import upload_verdicts
from app.domain.jobs import JobStatus
from app.domain.uploads import UploadAction
from app.errors import DatabaseUnavailableError, HaulageError
from app.services import control, retention, retrying, upload_job
from tests.fakes.steps import Killed, Strike, cut, kill
from tests.fakes.upload_door import MIXED, UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Trouble

KEYED = {"create": {"method": "POST", "path": "/people", "id_at": "/id", "idempotency": "Idempotency-Key"}}


def refused_by_the_vendor(uploads: UploadDoor, count: int = 6) -> int:
    """A job of which the vendor refused every row: 422, and would take them now."""
    uploads.target.script.extend([Trouble(is_taken=False, status=422)] * count)
    return uploads.ended(csv_of(emails(count)))


def unsent(uploads: UploadDoor, rows: int = 8) -> int:
    """A job that was given up with rows that were read and surely not taken."""
    uploads.engine.configure(retry_tries=1)
    uploads.target.script.extend([None, *[Trouble(is_taken=False, status=503)] * 3])
    job_id = uploads.ended(csv_of(emails(rows)))
    assert uploads.engine.job(job_id).status is JobStatus.ABORTED
    uploads.engine.configure(retry_tries=15)
    return job_id


def refusal(uploads: UploadDoor, job_id: int, status: int = 409, body: Any = None) -> str:
    """Nothing is stored."""
    jobs, inputs = uploads.engine.one("select count(*) as n from jobs")["n"], uploads.inputs()
    answer = uploads.retry(job_id, body)
    assert answer.status_code == status, answer.text
    assert uploads.engine.one("select count(*) as n from jobs")["n"] == jobs
    assert uploads.inputs() == inputs
    assert uploads.engine.rows("select 1 from intakes") == []
    return str(answer.get_json()["message"])


class TestWhichRows:
    def test_only_failed_rows_are_sent_again(self, uploads: UploadDoor) -> None:
        uploads.target.script.extend([None, Trouble(is_taken=False, status=422), None])
        first = uploads.ended(csv_of(emails(6)))
        assert [item["rowNumber"] for item in uploads.errors(first)] == [2]

        second = uploads.retried(first)
        assert uploads.run(second) is JobStatus.COMPLETED

        assert uploads.target.created == Counter(emails(6))
        assert uploads.results(second) == [
            {"rowNumber": 2, "line": 3, "verdict": "CREATED", "vendorId": "v-6", "httpStatus": 201, "errorClass": None}
        ]
        told = uploads.status(second)
        assert (told["recordsCount"], told["recordsFailedCount"]) == (1, 0)
        assert told["jobCriteria"]["retryOfJobId"] == first
        assert f"the rows come from job {first}" in told["metadata"]["evidence"]
        assert uploads.engine.one("select source_job_id from uploads where job_id = %s", second) == {
            "source_job_id": first
        }

    def test_the_new_job_is_as_the_old_one(self, uploads: UploadDoor) -> None:
        url = "http://127.0.0.1:9/hook"
        options = {"action": UploadAction.UPSERT, "identifier": "email", "is_serial": True, "callback_payload": "x"}
        uploads.target.script.append(Trouble(is_taken=False, status=422))
        first = uploads.ended(csv_of(emails(2)), notification_url=url, **options)
        old, new = (uploads.engine.job(job_id) for job_id in (first, uploads.retried(first)))
        assert new.criteria == old.criteria | {"retryOfJobId": first}
        assert (new.object_name, new.direction, new.engine) == (old.object_name, "UPLOAD", "V2")
        assert (new.notification_url, new.file_format, new.instance_id) == (url, old.file_format, old.instance_id)

    def test_rows_keep_number_line_and_bytes(self, uploads: UploadDoor) -> None:
        rows = [b'{"email": "x%d",  "price": 1.10, "t": "\\u00e9\xc3\xa9"}' % n for n in range(3)]
        first = uploads.ended(b"\n".join(rows), format="json")
        before = uploads.rows(first)
        second = uploads.retried(first)
        uploads.run(second)
        assert [(row["number"], row["line"], row["record"]) for row in uploads.rows(second)] == [
            (row["number"], row["line"], row["record"]) for row in before
        ]

    def test_rows_that_could_not_be_read_are_left_out_and_told_of(self, uploads: UploadDoor) -> None:
        first = uploads.ended(MIXED)
        answer = uploads.retry(first)
        assert answer.get_json() == {
            "id": answer.get_json()["id"],
            "instanceId": uploads.tenant.instance_id,
            "status": "CREATED",
        }
        assert answer.headers["Elements-Error"].startswith("2 rows could not be read and are left out")
        second = int(answer.get_json()["id"])
        uploads.run(second)
        assert [(item["rowNumber"], item["record"]["age"]) for item in uploads.errors(second)] == [(3, 3)]

    def test_rows_that_were_not_sent_go_too_and_never_again_by_the_first(self, uploads: UploadDoor) -> None:
        first = unsent(uploads)
        left = [row["rowNumber"] for row in uploads.results(first) if row["verdict"] == "NOT_SENT"]
        assert left

        answer = uploads.retry(first)
        assert "restart that job for the rest" in answer.headers["Elements-Error"]
        second = int(answer.get_json()["id"])
        assert [item["rowNumber"] for item in uploads.errors(first)] == left
        assert f"job {second} sends it" in uploads.errors(first)[0]["status"]
        assert uploads.status(first)["recordsFailedCount"] == len(left)
        control.restart(uploads.engine.ctx, uploads.tenant.caller, first)
        assert uploads.run(first) is JobStatus.COMPLETED
        assert uploads.run(second) is JobStatus.COMPLETED

        assert [row["rowNumber"] for row in uploads.results(second)] == left
        assert uploads.target.created == Counter(emails(8))
        told = uploads.status(first)
        assert (told["recordsCount"], told["recordsFailedCount"]) == (8, len(left))
        assert told["metadata"]["verdicts"]["NOT_SENT"] == len(left)

    def test_many_rows_in_pages_and_in_order(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retrying, "_BATCH", 7)
        monkeypatch.setattr(retrying, "MOST_RECORD_BYTES", 200)
        first = refused_by_the_vendor(uploads, 40)
        second = uploads.retried(first)
        uploads.run(second)
        assert uploads.target.created == Counter(emails(40))
        assert [row["rowNumber"] for row in uploads.results(second)] == list(range(1, 41))


class TestDoubt:
    """The vendor took the first row, and nobody heard."""

    def test_uncertain_rows_only_where_asked(self, uploads: UploadDoor) -> None:
        uploads.target.script.extend([Trouble(is_taken=True), Trouble(is_taken=False, status=422)])
        first = uploads.ended(csv_of(emails(4)))
        answer = uploads.retry(first)
        assert answer.headers["Elements-Error"] == (
            "1 rows that the vendor may have taken are left out; includeUncertain sends them."
        )
        uploads.run(int(answer.get_json()["id"]))
        assert uploads.target.created == Counter(emails(4))

        third = uploads.retried(first, {"includeUncertain": True})
        uploads.run(third)
        assert [row["rowNumber"] for row in uploads.results(third)] == [1], "the others were given away already"
        assert uploads.target.created["p1@example.test"] == 2, "as was asked for"

    def test_they_keep_their_idempotency_key(self, uploads: UploadDoor) -> None:
        """Through crashes, and through a retry of the retry."""
        uploads.declare(**KEYED)
        uploads.clear(is_keyed=True)
        names = uploads.engine.trace(uploads.submit(csv_of(emails(4))))
        step = names.index("after send")
        uploads.clear(is_keyed=True)
        job_id = uploads.submit(csv_of(emails(4)))
        for _ in range(3):
            uploads.kill_leg(job_id, step)
            assert uploads.in_doubt(job_id) > 0
            uploads.engine.lose_holder(job_id)
            control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)
            assert uploads.verdicts(job_id)["UNCERTAIN"] > 0
            job_id = uploads.retried(job_id, {"includeUncertain": True})
        uploads.kill_leg(job_id, step)
        uploads.engine.lose_holder(job_id)
        assert uploads.run(job_id) is JobStatus.COMPLETED

        assert uploads.verdicts(job_id)["CREATED"] > 0
        assert max(uploads.target.created.values()) == 1

    def test_rows_that_surely_failed_have_a_new_key(self, uploads: UploadDoor) -> None:
        """A vendor may answer a key again as it did before, with the same refusal."""
        uploads.declare(**KEYED)
        uploads.clear(is_keyed=True)
        first = uploads.ended(csv_of(["wrong"]))
        second = uploads.retried(first)
        uploads.run(second)
        assert len(uploads.target.answers) == 2


class TestOnce:
    def test_no_row_is_given_away_twice(self, uploads: UploadDoor) -> None:
        first = refused_by_the_vendor(uploads)
        second = uploads.retried(first)
        assert f"Job {second} took over" in refusal(uploads, first)
        assert f"Job {second} took over" in refusal(uploads, first, body={"includeUncertain": True})

    def test_what_fails_in_a_later_run_can_be_retried(self, uploads: UploadDoor) -> None:
        uploads.target.script.append(Trouble(is_taken=False, status=422))
        first = uploads.submit(csv_of(emails(20)))
        uploads.engine.leg(first, is_stopping=lambda: uploads.target.call_count >= 4)
        control.cancel(uploads.engine.ctx, uploads.tenant.caller, first)
        second = uploads.retried(first)
        control.restart(uploads.engine.ctx, uploads.tenant.caller, first)
        uploads.target.script.append(Trouble(is_taken=False, status=422))
        uploads.run(first)
        third = uploads.retried(first)
        for job_id in (second, third):
            uploads.run(job_id)
        assert uploads.target.created == Counter(emails(20))

    def test_the_same_key_gives_the_same_job(self, uploads: UploadDoor) -> None:
        first = refused_by_the_vendor(uploads)
        headers = {"Idempotency-Key": "k"}
        second = uploads.retried(first, headers=headers)
        inputs = uploads.inputs()
        assert uploads.retried(first, {"includeUncertain": False}, headers=headers) == second
        assert uploads.inputs() == inputs
        assert uploads.retry(first, {"includeUncertain": True}, headers=headers).status_code == 422

    def test_a_restart_at_that_moment_wins(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rows were read before: they may be others now."""
        first = unsent(uploads)
        find = upload_job.find_target
        calls: list[int] = []

        def restarted(*args: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                found = find(*args)
                control.restart(uploads.engine.ctx, uploads.tenant.caller, first)
                return found
            return find(*args)

        monkeypatch.setattr("app.services.retrying.find_target", restarted)
        assert "restarted" in refusal(uploads, first)
        uploads.run(first)
        assert uploads.target.created == Counter(emails(8))

    def test_nothing_stays_of_a_call_that_fails(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        first = unsent(uploads)
        before = uploads.rows(first)

        def broken(*_: Any) -> None:
            raise DatabaseUnavailableError("gone")

        monkeypatch.setattr(upload_verdicts, "give_away", broken)
        refusal(uploads, first, 503)
        assert uploads.rows(first) == before


@pytest.mark.parametrize("strike", [kill, cut])
def test_broken_off_anywhere_there_is_one_job_or_none(uploads: UploadDoor, strike: Strike) -> None:
    """And nothing is left of it that nobody knows of; rows are given away with the job that takes them."""
    ctx, caller, steps = uploads.engine.ctx, uploads.tenant.caller, uploads.engine.steps
    first = unsent(uploads)
    steps.arm(-1)
    retrying.retry_failed(ctx, caller, first, is_uncertain_too=False, idempotency_key="traced")
    names = list(steps.names)
    assert {"before put", "before commit", "after commit"} <= set(names)
    made_count = 0
    for number, name in enumerate(names):
        uploads.clear()
        first = unsent(uploads)
        steps.arm(number, strike)
        with suppress(Killed, HaulageError):
            retrying.retry_failed(ctx, caller, first, is_uncertain_too=False, idempotency_key=f"{strike}{number}")
        steps.arm(-1)
        uploads.engine.execute("update intakes set created_at = now() - interval '1 day'")
        retention.sweep_intakes(ctx)

        made = uploads.engine.rows("select job_id from uploads where source_job_id = %s", first)
        made_count += len(made)
        assert len(made) <= 1, name
        assert (uploads.verdicts(first)["None"] == 0) is bool(made), name
        known = {row["object_key"] for row in uploads.engine.rows("select object_key from uploads")}
        assert uploads.inputs() == known, name
        second = made[0]["job_id"] if made else uploads.retried(first)
        for job_id in (second, first):
            if job_id == first:
                control.restart(ctx, caller, first)
            assert uploads.run(job_id) is JobStatus.COMPLETED, name
        assert uploads.target.created == Counter(emails(8)), name
    assert 0 < made_count < len(names)


class TestRefusals:
    def test_a_job_under_way(self, uploads: UploadDoor) -> None:
        assert "has ended" in refusal(uploads, uploads.submit(MIXED))

    def test_a_job_without_failed_rows(self, uploads: UploadDoor) -> None:
        assert "no failed rows" in refusal(uploads, uploads.ended(csv_of(emails(3))))

    def test_a_job_of_unreadable_rows_alone(self, uploads: UploadDoor) -> None:
        assert "2 rows could not be read" in refusal(uploads, uploads.ended(b"email,age\na,b\nc,d\n"))

    def test_a_job_of_uncertain_rows_alone(self, uploads: UploadDoor) -> None:
        uploads.target.script.append(Trouble(is_taken=True))
        assert "includeUncertain" in refusal(uploads, uploads.ended(csv_of(emails(3))))

    def test_a_download(self, uploads: UploadDoor) -> None:
        uploads.tenant = uploads.engine.tenant
        assert "is a download" in refusal(uploads, uploads.engine.submit(), 400)

    @pytest.mark.parametrize("body", [{"includeUncertain": 1}, {"includeUncertain": "maybe"}, {"all": True}, [1]])
    def test_a_body_that_means_nothing(self, uploads: UploadDoor, body: Any) -> None:
        first = refused_by_the_vendor(uploads)
        assert "accepted" in refusal(uploads, first, 400, body)

    @pytest.mark.parametrize("body", [None, {}, {"includeUncertain": None}])
    def test_a_body_is_not_needed(self, uploads: UploadDoor, body: Any) -> None:
        first = refused_by_the_vendor(uploads)
        options: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        assert uploads.call("POST", f"/bulk/{first}/retry-failed", **options).status_code == 200

    def test_a_disabled_instance(self, uploads: UploadDoor) -> None:
        first = refused_by_the_vendor(uploads)
        uploads.engine.execute("update instances set disabled_at = now()")
        assert uploads.retry(first).status_code in {401, 403, 409}


def test_a_complete_upload_names_the_retry_when_it_is_restarted(uploads: UploadDoor) -> None:
    first = refused_by_the_vendor(uploads)
    answer = uploads.call("PUT", f"/bulk/v3/{first}/restart")
    assert (answer.status_code, "retry-failed" in answer.text) == (409, True)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_rows_and_counters_agree(uploads: UploadDoor, seed: int) -> None:
    """Troubles of every kind, cancels and restarts, retries of retries: at the end each row was created once."""
    dice = random.Random(seed)
    troubles = [
        None,
        None,
        Trouble(is_taken=False, status=422),
        Trouble(is_taken=False, status=503),
        Trouble(is_taken=False, kind="connect"),
    ]
    addresses = emails(20)
    job_ids = [uploads.submit(csv_of(addresses))]
    for turn in range(6):
        uploads.target.script = deque(dice.choices(troubles, k=12) if turn < 4 else [])
        for job_id in job_ids:
            if not uploads.engine.job(job_id).status.is_terminal:
                uploads.engine.make_due(job_id)
                uploads.engine.leg(job_id, is_stopping=after_calls(uploads, dice.randint(1, 9)))
            if not uploads.engine.job(job_id).status.is_terminal and dice.random() < 0.5:
                control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)
        for job_id in list(job_ids):
            assert_counted(uploads, job_id)
            answer = uploads.retry(job_id) if dice.random() < 0.6 else None
            if answer is not None and answer.status_code == 200:
                job_ids.append(int(answer.get_json()["id"]))
            job = uploads.engine.job(job_id)
            if job.status.is_terminal and job.status is not JobStatus.COMPLETED and dice.random() < 0.7:
                control.restart(uploads.engine.ctx, uploads.tenant.caller, job_id)
    finish(uploads, job_ids)
    assert uploads.target.created == Counter(addresses)


def after_calls(uploads: UploadDoor, count: int) -> Callable[[], bool]:
    stop_at = uploads.target.call_count + count
    return lambda: uploads.target.call_count >= stop_at


def finish(uploads: UploadDoor, job_ids: list[int]) -> None:
    """Until every job is complete and no failed row is left that nobody has taken over."""
    uploads.target.script.clear()
    for job_id in job_ids:  # grows as it goes
        job = uploads.engine.job(job_id)
        if job.status.is_terminal and job.status is not JobStatus.COMPLETED:
            control.restart(uploads.engine.ctx, uploads.tenant.caller, job_id)
        if job.status is not JobStatus.COMPLETED:
            assert uploads.run(job_id) is JobStatus.COMPLETED
        assert_counted(uploads, job_id)
        answer = uploads.retry(job_id)
        if answer.status_code == 200:
            job_ids.append(int(answer.get_json()["id"]))


def assert_counted(uploads: UploadDoor, job_id: int) -> None:
    """What the status, the errors and the results tell are the rows."""
    found, document = uploads.verdicts(job_id), uploads.status(job_id)
    open_count = found.pop("None", 0)
    failed_count = found["FAILED"] + found["UNCERTAIN"] + found["NOT_SENT"]
    assert (document["recordsCount"], document["recordsFailedCount"]) == (found.total(), failed_count)
    assert len(uploads.errors(job_id)) == failed_count
    told = {name: count for name, count in document["metadata"]["verdicts"].items() if count}
    if uploads.engine.job(job_id).status.is_terminal:
        found["NOT_SENT"] += open_count
        assert Counter(row["verdict"] for row in uploads.results(job_id)) == found
    assert told == +found
