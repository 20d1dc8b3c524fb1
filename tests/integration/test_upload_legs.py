"""Uploads: every row gets one verdict, and none is created twice, whatever breaks (issue 5.3)."""

import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from app.db import upload_rows
from app.domain.jobs import JobStatus, StopReason
from app.domain.uploads import UploadAction
from app.services import control
from tests.fakes.steps import Killed, cut
from tests.fakes.upload_engine import UploadEngine, csv_of, emails, rows_behind_which_the_store_fails
from tests.fakes.write_vendor import Trouble
from tests.fixtures.uploads import CALLS

COUNT = 8
KEYED = {"create": {"method": "POST", "path": "/people", "id_at": "/id", "idempotency": "Idempotency-Key"}}
LOOKED_UP = {
    "look_up": {
        "path": "/people",
        "params": {"email": "{id}"},
        "by": "email",
        "records": "",
        "id_at": "/id",
        "after": "1ms",
    }
}
BATCH = {"batch": {"create": {"path": "/batch", "max": 4, "mode": "atomic", "results": "", "id_at": "/id"}}}


def assert_each_once(uploads: UploadEngine, job_id: int, addresses: list[str]) -> None:
    """Every row has a verdict, and the vendor created none of them twice."""
    rows = uploads.rows(job_id)
    assert [row["number"] for row in rows] == list(range(1, len(addresses) + 1))
    assert None not in {row["verdict"] for row in rows}
    assert max(uploads.target.created.values(), default=0) <= 1
    job = uploads.engine.job(job_id)
    failures = sum(row["verdict"] in {"FAILED", "UNCERTAIN"} for row in rows)
    uncertain = sum(row["verdict"] == "UNCERTAIN" for row in rows)
    assert (job.record_count, job.failed_count, job.uncertain_count) == (len(addresses), failures, uncertain)
    counted = {name: count for name, count in job.verdict_counts.items() if name.isupper() and count}
    assert counted == Counter(row["verdict"] for row in rows)


class TestSending:
    def test_every_row_is_created_once_and_has_its_id(self, uploads: UploadEngine) -> None:
        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.target.created == Counter(emails(COUNT))
        assert uploads.target.rows["p1@example.test"]["age"] == 20
        assert_each_once(uploads, job_id, emails(COUNT))
        assert [row["vendor_id"] for row in uploads.rows(job_id)] == [f"v-{n}" for n in range(1, COUNT + 1)]
        assert {row["record"] for row in uploads.rows(job_id)} == {None}
        job = uploads.engine.job(job_id)
        assert job.status_message == f"Successfully uploaded {COUNT} records"
        assert job.call_count == uploads.target.call_count == COUNT

    @pytest.mark.parametrize("action", [UploadAction.UPDATE, UploadAction.UPSERT, UploadAction.DELETE])
    def test_the_other_actions(self, uploads: UploadEngine, action: UploadAction) -> None:
        uploads.target.rows = {address: {"id": address} for address in emails(COUNT)[::2]}

        job_id = uploads.submit(csv_of(emails(COUNT)), action=action, identifier="email")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        failed = COUNT // 2 if action is not UploadAction.UPSERT else 0
        assert uploads.engine.job(job_id).failed_count == failed
        left = {UploadAction.UPDATE: COUNT // 2, UploadAction.UPSERT: COUNT, UploadAction.DELETE: 0}[action]
        assert len(uploads.target.rows) == left

    def test_bad_rows_fail_and_the_others_go_on(self, uploads: UploadEngine) -> None:
        content = b"email,age\na@x.test,1\nb@x.test,old\nno address,3\nc@x.test,4,5\nd@x.test,6\n"

        job_id = uploads.submit(content)

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert [row["verdict"] for row in uploads.rows(job_id)] == ["CREATED", "FAILED", "FAILED", "FAILED", "CREATED"]
        assert [row["line"] for row in uploads.rows(job_id)] == [2, 3, 4, 5, 6]
        assert "age" in uploads.rows(job_id)[1]["detail"]
        assert "no e-mail address" in uploads.rows(job_id)[2]["detail"]
        assert uploads.engine.job(job_id).record_count == 5
        assert uploads.engine.job(job_id).failed_count == 3

    def test_a_file_of_bad_rows_alone_is_completed(self, uploads: UploadEngine) -> None:
        job_id = uploads.submit(b"email,age\n" + b"x,old\n" * 1200)

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"FAILED": 1200}
        assert uploads.target.call_count == 0

    def test_a_file_that_cannot_be_read_on_aborts_with_line_and_column(self, uploads: UploadEngine) -> None:
        job_id = uploads.submit(b'[{"email": "a@x.test"},\n {"email": "b@x.test"}, oops]', format="json")

        assert uploads.run(job_id) is JobStatus.ABORTED
        job = uploads.engine.job(job_id)
        assert job.stop_reason is StopReason.UNREADABLE_INPUT
        assert "line 2" in (job.error or "")
        assert "column" in (job.error or "")
        assert str(job.status_message).endswith("). 2 records were uploaded before.")
        assert uploads.verdicts(job_id) == {"CREATED": 2}

    def test_a_file_without_rows_is_completed(self, uploads: UploadEngine) -> None:
        job_id = uploads.submit(b"email,age\n")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.engine.job(job_id).record_count == 0

    def test_an_atomic_batch_is_halved_until_the_guilty_stand_alone(self, uploads: UploadEngine) -> None:
        uploads.declare(**BATCH)
        addresses = emails(COUNT)
        addresses[5] = "wrong"

        job_id = uploads.submit(csv_of(addresses))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT - 1, "FAILED": 1}
        assert uploads.rows(job_id)[5]["verdict"] == "FAILED"
        assert_each_once(uploads, job_id, addresses)
        assert uploads.target.call_count < COUNT


class TestDoubt:
    """The vendor took it, and nobody heard."""

    @pytest.mark.parametrize("trouble", [Trouble(is_taken=True), Trouble(is_taken=True, kind="cut")])
    def test_without_any_means_the_row_is_uncertain(self, uploads: UploadEngine, trouble: Trouble) -> None:
        uploads.target.script.append(trouble)

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT - 1, "UNCERTAIN": 1}
        assert_each_once(uploads, job_id, emails(COUNT))
        assert uploads.rows(job_id)[0]["record"] is not None

    def test_an_idempotency_key_settles_it(self, uploads: UploadEngine) -> None:
        uploads.declare(**KEYED)
        uploads.clear(is_keyed=True)
        uploads.target.script.extend([Trouble(is_taken=True), None, Trouble(is_taken=True, status=500)])

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert_each_once(uploads, job_id, emails(COUNT))

    @pytest.mark.parametrize("is_taken", [True, False])
    def test_a_look_up_settles_it(self, uploads: UploadEngine, is_taken: bool) -> None:
        uploads.declare(**LOOKED_UP)
        uploads.target.script.append(Trouble(is_taken=is_taken))

        job_id = uploads.submit(csv_of(emails(COUNT)), identifier="email")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert_each_once(uploads, job_id, emails(COUNT))
        assert ("Found by looking it up" in str(uploads.rows(job_id)[0]["detail"])) is is_taken

    def test_a_row_that_cannot_be_looked_up_stays_uncertain_and_the_job_goes_on(self, uploads: UploadEngine) -> None:
        uploads.declare(look_up={**LOOKED_UP["look_up"], "by": "code"})
        uploads.target.script.append(Trouble(is_taken=True))

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT - 1, "UNCERTAIN": 1}
        assert_each_once(uploads, job_id, emails(COUNT))

    @pytest.mark.parametrize("is_taken", [True, False])
    def test_a_look_up_that_must_wait_for_longer_than_a_leg_comes(self, uploads: UploadEngine, is_taken: bool) -> None:
        uploads.declare(look_up={**LOOKED_UP["look_up"], "after": "1h"})
        uploads.target.script.append(Trouble(is_taken=is_taken))
        job_id = uploads.submit(csv_of(emails(1)), identifier="email")

        for _ in range(3):
            uploads.engine.make_due(job_id)
            uploads.engine.leg(job_id)
            assert uploads.in_doubt(job_id) == 1
        uploads.engine.execute("update upload_rows set doubted_at = doubted_at - interval '1 hour'")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": 1}
        assert_each_once(uploads, job_id, emails(1))

    def test_one_that_stood_still_after_its_step_sends_nothing(
        self, uploads: UploadEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passed_s = 0.0
        advance = upload_rows.advance

        def stand_still(*args: Any, **named: Any) -> Any:
            nonlocal passed_s
            done = advance(*args, **named)
            passed_s = 3600.0
            uploads.engine.execute("update slices set claim = claim + 1")
            return done

        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s, sleep=time.sleep)
        monkeypatch.setattr("app.services.lease.time", clock)
        monkeypatch.setattr("app.db.upload_rows.advance", stand_still)
        job_id = uploads.submit(csv_of(emails(COUNT)))

        uploads.engine.leg(job_id)

        assert uploads.in_doubt(job_id) == CALLS
        assert uploads.target.call_count == 0

    def test_a_delete_that_was_taken_before_is_no_failure_when_sent_again(self, uploads: UploadEngine) -> None:
        uploads.target.rows = {address: {"id": address} for address in emails(COUNT)}
        uploads.target.script.append(Trouble(is_taken=True))

        job_id = uploads.submit(csv_of(emails(COUNT)), action=UploadAction.DELETE, identifier="email")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"DELETED": COUNT}

    def test_a_row_that_appears_after_it_was_looked_for_is_looked_for_again(self, uploads: UploadEngine) -> None:
        uploads.declare(**LOOKED_UP)
        uploads.clear(is_unique=True, is_late=True)
        uploads.target.script.append(Trouble(is_taken=True))

        job_id = uploads.submit(csv_of(emails(COUNT)), identifier="email")

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert_each_once(uploads, job_id, emails(COUNT))

    def test_it_is_sent_again_where_the_job_says_so(self, uploads: UploadEngine) -> None:
        uploads.target.script.append(Trouble(is_taken=True))

        job_id = uploads.submit(csv_of(emails(COUNT)), resends_uncertain=True)

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert uploads.target.created["p1@example.test"] == 2

    def test_what_was_surely_not_taken_is_sent_again(self, uploads: UploadEngine) -> None:
        uploads.target.script.extend([Trouble(is_taken=False, kind="connect"), Trouble(is_taken=False, status=503)])

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert_each_once(uploads, job_id, emails(COUNT))

    def test_credentials_are_renewed_once_for_all_calls_under_way(self, uploads: UploadEngine) -> None:
        uploads.target.script.extend([Trouble(is_taken=False, status=401)] * CALLS)

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}

    def test_credentials_that_are_refused_again_end_the_job(self, uploads: UploadEngine) -> None:
        uploads.target.script.extend([Trouble(is_taken=False, status=401)] * 100)

        job_id = uploads.submit(csv_of(emails(COUNT)))

        assert uploads.run(job_id) is JobStatus.ABORTED
        assert uploads.verdicts(job_id)["CREATED"] == 0
        assert "401" in (uploads.engine.job(job_id).error or "")

    def test_a_store_that_fails_for_a_moment_leaves_no_row_in_doubt(
        self, uploads: UploadEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        all_under_way = rows_behind_which_the_store_fails(CALLS)
        monkeypatch.setattr("app.services.upload.rows_of", all_under_way)
        job_id = uploads.submit(csv_of(emails(COUNT)))
        uploads.engine.leg(job_id)
        assert uploads.in_doubt(job_id) == 0
        monkeypatch.undo()

        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.verdicts(job_id) == {"CREATED": COUNT}
        assert_each_once(uploads, job_id, emails(COUNT))

    def test_rows_are_not_spent_on_a_vendor_that_is_down(self, uploads: UploadEngine) -> None:
        uploads.engine.configure(retry_tries=3)
        uploads.target.script.extend([Trouble(is_taken=False, status=500)] * 1000)

        job_id = uploads.submit(csv_of(emails(200)))

        assert uploads.run(job_id) is JobStatus.ABORTED
        assert uploads.verdicts(job_id)["UNCERTAIN"] <= 3 * (CALLS + 3)


CASES = [
    pytest.param({}, {}, {}, CALLS, id="create"),
    pytest.param(KEYED, {"is_keyed": True}, {}, 0, id="create_with_key"),
    pytest.param(LOOKED_UP, {}, {"identifier": "email"}, 0, id="create_with_look_up"),
    pytest.param({}, {}, {"action": UploadAction.UPSERT, "identifier": "email"}, 0, id="upsert"),
    pytest.param(BATCH, {}, {}, CALLS * 4, id="create_in_batches"),
]


@pytest.mark.parametrize(("connector", "habits", "options", "most_uncertain"), CASES)
class TestCrashes:
    def test_killed_at_any_step_no_row_is_doubled_or_forgotten(
        self,
        uploads: UploadEngine,
        connector: dict[str, Any],
        habits: dict[str, Any],
        options: dict[str, Any],
        most_uncertain: int,
    ) -> None:
        uploads.declare(**connector)
        uploads.clear(**habits)
        content = csv_of(emails(COUNT))
        names = uploads.engine.trace(uploads.submit(content, **options))
        assert {"before call", "after send", "after call"} <= set(names)
        seen_uncertain = 0
        for number, name in enumerate(names):
            uploads.clear(**habits)
            job_id = uploads.submit(content, **options)
            kill_leg(uploads, job_id, number)
            in_doubt = uploads.in_doubt(job_id)
            uploads.engine.lose_holder(job_id)
            if not uploads.engine.job(job_id).status.is_terminal:
                uploads.run(job_id)

            assert uploads.engine.job(job_id).status is JobStatus.COMPLETED, name
            assert_each_once(uploads, job_id, emails(COUNT))
            found = uploads.verdicts(job_id)
            assert found["UNCERTAIN"] <= min(in_doubt, most_uncertain), name
            assert found["UNCERTAIN"] + found["CREATED"] + found["UPSERTED"] == COUNT, (name, found)
            assert set(uploads.target.rows) >= {
                row_address
                for row_address, row in zip(emails(COUNT), uploads.rows(job_id), strict=True)
                if row["verdict"] != "UNCERTAIN"
            }
            seen_uncertain += found["UNCERTAIN"]
        assert (seen_uncertain > 0) is (most_uncertain > 0)

    def test_a_connection_cut_at_any_statement_changes_nothing(
        self,
        uploads: UploadEngine,
        connector: dict[str, Any],
        habits: dict[str, Any],
        options: dict[str, Any],
        most_uncertain: int,  # noqa: ARG002
    ) -> None:
        uploads.declare(**connector)
        uploads.clear(**habits)
        content = csv_of(emails(COUNT))
        names = uploads.engine.trace(uploads.submit(content, **options))
        for number, name in enumerate(names):
            uploads.clear(**habits)
            job_id = uploads.submit(content, **options)
            uploads.engine.steps.arm(number, cut)
            uploads.engine.leg(job_id)
            uploads.engine.steps.arm(-1)
            uploads.engine.lose_holder(job_id)
            if not uploads.engine.job(job_id).status.is_terminal:
                uploads.run(job_id)

            assert uploads.engine.job(job_id).status is JobStatus.COMPLETED, name
            assert_each_once(uploads, job_id, emails(COUNT))
            assert uploads.verdicts(job_id)["UNCERTAIN"] == 0, name
            assert uploads.engine.job(job_id).call_count == uploads.target.call_count, name


def kill_leg(uploads: UploadEngine, job_id: int, number: int) -> None:
    uploads.engine.steps.arm(number)
    try:
        uploads.engine.leg(job_id)
    except Killed:
        pass
    finally:
        uploads.engine.steps.arm(-1)


class TestSteering:
    def test_cancel_records_what_was_under_way_and_a_restart_sends_the_rest(self, uploads: UploadEngine) -> None:
        job_id = uploads.submit(csv_of(emails(COUNT)))
        uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= 4)
        caller = uploads.tenant.caller
        control.cancel(uploads.engine.ctx, caller, job_id)

        assert uploads.engine.job(job_id).status is JobStatus.CANCELLED
        sent = uploads.engine.job(job_id).record_count
        assert 4 <= sent < COUNT
        assert uploads.verdicts(job_id)["CREATED"] == sent

        control.restart(uploads.engine.ctx, caller, job_id)
        assert uploads.run(job_id) is JobStatus.COMPLETED
        assert uploads.target.created == Counter(emails(COUNT))
        assert_each_once(uploads, job_id, emails(COUNT))

    def test_a_job_cancelled_with_calls_in_doubt_calls_them_uncertain(self, uploads: UploadEngine) -> None:
        names = uploads.engine.trace(uploads.submit(csv_of(emails(COUNT))))
        uploads.clear()
        job_id = uploads.submit(csv_of(emails(COUNT)))
        kill_leg(uploads, job_id, names.index("after send"))
        in_doubt = uploads.in_doubt(job_id)
        assert 0 < in_doubt <= CALLS
        uploads.engine.lose_holder(job_id)

        control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)

        assert uploads.verdicts(job_id)["UNCERTAIN"] == in_doubt
        assert uploads.engine.job(job_id).uncertain_count == in_doubt

    def test_serial_uploads_have_one_call_under_way(self, uploads: UploadEngine) -> None:
        names = uploads.engine.trace(uploads.submit(csv_of(emails(COUNT)), is_serial=True))
        uploads.clear()
        job_id = uploads.submit(csv_of(emails(COUNT)), is_serial=True)
        kill_leg(uploads, job_id, names.index("after send"))

        assert uploads.in_doubt(job_id) == 1
