"""`/errors` and `/results`: every row of an upload is told of, exactly as the reference pages them (issue 5.4)."""

import csv
import gzip
import io
import json
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from app.api.bulk_schemas import FailedRowSchema, RowResultSchema, StatusSchema
from app.db import upload_verdicts
from app.db.pool import Connection
from app.db.upload_verdicts import RowResult
from app.errors import StorageError
from app.http_client import HttpClient
from app.services import control, retention, verdicts
from tests.fakes.upload_door import MIXED, UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Trouble

NEXT, RETURNED, TOTAL = "elements-next-page-token", "elements-returned-count", "elements-total-count"


def stopped(uploads: UploadDoor, rows: int, after: int = 4) -> int:
    """A job that was handed back after some calls."""
    job_id = uploads.submit(csv_of(emails(rows)))
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= after)
    return job_id


class TestErrors:
    def test_thirty_seven_bad_rows_are_paged_as_the_reference_says(self, uploads: UploadDoor) -> None:
        """Reference 3c: 30, then 7 without a token."""
        good = emails(3)
        job_id = uploads.ended(csv_of([*good, *(f"wrong {n}" for n in range(37))]))

        first = uploads.call("GET", f"/bulk/{job_id}/errors?pageSize=30")
        assert (len(first.get_json()), first.headers[RETURNED], first.headers[TOTAL]) == (30, "30", "37")
        second = uploads.call("GET", f"/bulk/{job_id}/errors?pageSize=30&nextPage={first.headers[NEXT]}")
        assert (len(second.get_json()), second.headers[RETURNED], second.headers[TOTAL]) == (7, "7", "37")
        assert NEXT not in second.headers
        items = [*first.get_json(), *second.get_json()]
        assert [item["rowNumber"] for item in items] == list(range(4, 41))
        assert all(FailedRowSchema().validate(item) == {} for item in items)
        again = uploads.call("GET", f"/bulk/{job_id}/errors?nextPage={first.headers[NEXT]}")
        assert again.get_json() == second.get_json(), "a token carries the size"

    def test_a_page_that_ends_with_the_last_row_has_no_token(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(csv_of(["wrong"] * 4))
        page = uploads.call("GET", f"/bulk/{job_id}/errors?pageSize=4")
        assert (len(page.get_json()), NEXT in page.headers) == (4, False)

    def test_an_item_tells_what_the_vendor_said_and_what_was_sent(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED)

        unreadable, refused, wide = uploads.errors(job_id)
        assert refused == {
            "status": refused["vendorText"],
            "rowNumber": 3,
            "line": 4,
            "verdict": "FAILED",
            "vendorId": None,
            "httpStatus": 422,
            "errorClass": "data",
            "vendorText": refused["vendorText"],
            "record": {"email": "no address", "age": 3},
        }
        assert "is no e-mail address" in refused["status"]
        assert (unreadable["rowNumber"], unreadable["record"], unreadable["vendorText"]) == (2, None, None)
        assert unreadable["excerpt"] == "b@x.test,old"
        assert "'age': 'old' is not of type integer" in unreadable["status"]
        assert (wide["rowNumber"], wide["excerpt"]) == (4, "c@x.test,4,5")

    def test_a_record_keeps_its_digits(self, uploads: UploadDoor) -> None:
        row = b'{"email": "x", "price": 1.10, "long": 123456789012345678901234567890}'
        job_id = uploads.ended(row, format="json")
        assert b'"price": 1.10' in (answer := uploads.call("GET", f"/bulk/{job_id}/errors")).data
        assert b"123456789012345678901234567890" in answer.data

    def test_values_are_masked_where_the_setting_says_so(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED)
        uploads.engine.configure(mask_row_values="yes")

        answer = uploads.call("GET", f"/bulk/{job_id}/errors")
        assert answer.get_json()[1]["record"] == {"email": "********", "age": "********"}
        for value in ("no address", "old", "c@x.test"):
            assert value not in answer.text
        assert "is no e-mail address" in answer.text

    def test_secrets_are_hidden_always(self, uploads: UploadDoor) -> None:
        row = b'{"email": "no address", "login": {"password": "geheim-1"}}'
        job_id = uploads.ended(row, format="json")
        (item,) = uploads.errors(job_id)
        assert item["record"] == {"email": "no address", "login": {"password": "********"}}

    def test_so_are_those_of_a_row_that_is_no_json(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(b'{"password": "geheim-1" "x"}', format="json")
        (item,) = uploads.errors(job_id)
        assert item["excerpt"] == "********"
        assert "geheim-1" not in str(item)

    def test_pages_end_early_where_records_are_large(
        self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verdicts, "MOST_RECORD_BYTES", 1000)
        job_id = uploads.ended(csv_of([str(n) + "x" * 400 for n in range(9)]))
        found, token = [], ""
        while True:
            page = uploads.call("GET", f"/bulk/{job_id}/errors?pageSize=8&nextPage={token}")
            assert 1 <= len(page.get_json()) <= 3
            found += [item["rowNumber"] for item in page.get_json()]
            if NEXT not in page.headers:
                break
            token = page.headers[NEXT]
        assert found == list(range(1, 10))

    def test_they_are_told_while_the_job_runs(self, uploads: UploadDoor) -> None:
        job_id = uploads.submit(csv_of(["wrong", *emails(20)]))
        uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= 4)
        assert not uploads.engine.job(job_id).status.is_terminal
        assert [item["rowNumber"] for item in uploads.errors(job_id)] == [1]

    def test_a_download_has_none(self, uploads: UploadDoor) -> None:
        uploads.tenant = uploads.engine.tenant
        job_id = uploads.engine.submit()
        answer = uploads.call("GET", f"/bulk/{job_id}/errors")
        assert (answer.get_json(), answer.headers[RETURNED], answer.headers[TOTAL]) == ([], "0", "0")

    def test_a_foreign_job_is_none(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED)
        stranger = uploads.engine.tenant
        for path in (f"/bulk/{job_id}/errors", f"/bulk/{job_id}/results"):
            assert uploads.call("GET", path, as_=stranger).status_code == 404
        assert uploads.retry(job_id, as_=stranger).status_code == 404


class TestResults:
    def test_every_row_has_its_verdict_and_id(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED)

        found = uploads.results(job_id)
        assert all(RowResultSchema().validate(row) == {} for row in found)
        assert [(row["rowNumber"], row["line"], row["verdict"], row["vendorId"]) for row in found] == [
            (1, 2, "CREATED", "v-1"),
            (2, 3, "FAILED", None),
            (3, 4, "FAILED", None),
            (4, 5, "FAILED", None),
            (5, 6, "CREATED", "v-2"),
        ]

    @pytest.mark.parametrize("accept", [None, "*/*", "application/jsonl"])
    def test_json_lines_without_a_wish(self, uploads: UploadDoor, accept: str | None) -> None:
        job_id = uploads.ended(MIXED)
        answer = uploads.call("GET", f"/bulk/{job_id}/results", headers={"Accept": accept} if accept else {})
        assert answer.headers["Content-Type"] == "application/jsonl"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="people-{job_id}-results.jsonl"'
        assert answer.data.count(b"\n") == 5

    def test_the_other_formats_say_the_same(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verdicts, "_BATCH", 2)
        job_id = uploads.ended(MIXED)
        path, rows = f"/bulk/{job_id}/results", uploads.results(job_id)

        array = uploads.call("GET", path, headers={"Accept": "application/json"})
        assert (array.headers["Content-Type"], array.get_json()) == ("application/json", rows)
        table = uploads.call("GET", path, headers={"Accept": "text/csv"})
        assert table.headers["Content-Type"] == "text/csv"
        read = list(csv.DictReader(io.StringIO(table.text, newline="")))
        assert read == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
        packed = uploads.call("GET", path, headers={"Accept-Encoding": "gzip"})
        assert (packed.headers["Content-Encoding"], packed.headers["Content-Disposition"][-4:]) == ("gzip", '.gz"')
        assert [json.loads(line) for line in gzip.decompress(packed.data).splitlines()] == rows
        assert uploads.call("GET", path, headers={"Accept": "image/png"}).status_code == 406
        assert uploads.call("HEAD", path).data == b""

    def test_an_upload_without_rows_has_an_empty_answer(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(b"email,age\n")
        assert uploads.results(job_id) == []
        assert uploads.call("GET", f"/bulk/{job_id}/results", headers={"Accept": "application/json"}).get_json() == []

    def test_rows_are_read_in_pages(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        """Never one huge query: the memory is that of a page."""
        job_id = uploads.ended(csv_of(emails(25)))
        sizes: list[int] = []
        read = upload_verdicts.find_results

        def counted(conn: Connection, job: int, after: int, limit: int) -> list[RowResult]:
            sizes.append(len(found := read(conn, job, after, limit)))
            assert limit == 10
            return found

        monkeypatch.setattr(verdicts, "_BATCH", 10)
        monkeypatch.setattr(upload_verdicts, "find_results", counted)
        assert [row["rowNumber"] for row in uploads.results(job_id)] == list(range(1, 26))
        assert sizes == [10, 10, 5, 0]

    def test_not_before_the_first_run_has_ended(self, uploads: UploadDoor) -> None:
        job_id = stopped(uploads, 20)
        answer = uploads.call("GET", f"/bulk/{job_id}/results")
        assert (answer.status_code, "RUNNING" in answer.text) == (409, True)

    def test_what_was_not_sent_says_so(self, uploads: UploadDoor) -> None:
        uploads.engine.configure(retry_tries=1)
        uploads.target.script.extend([None, *[Trouble(is_taken=False, status=503)] * 50])
        job_id = uploads.ended(csv_of(emails(8)))

        assert uploads.engine.job(job_id).status == "ABORTED"
        found = Counter(row["verdict"] for row in uploads.results(job_id))
        assert found["CREATED"] == 1
        assert found["NOT_SENT"] > 0
        assert uploads.errors(job_id) == [], "they are no failures: a restart sends them"
        notice = uploads.call("GET", f"/bulk/{job_id}/results").headers["Elements-Error"]
        assert "ABORTED" in notice
        assert "not read are not listed" in notice
        counts = uploads.status(job_id)["metadata"]["verdicts"]
        assert (counts["NOT_SENT"], counts["CREATED"]) == (found["NOT_SENT"], 1)

    def test_a_restarted_job_tells_what_is_known(self, uploads: UploadDoor) -> None:
        job_id = stopped(uploads, 20)
        control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)
        before = uploads.results(job_id)
        control.restart(uploads.engine.ctx, uploads.tenant.caller, job_id)

        assert uploads.results(job_id) == before
        notice = uploads.call("GET", f"/bulk/{job_id}/results").headers["Elements-Error"]
        assert notice == "Job is CREATED in run 2; rows without a verdict so far are left out."
        uploads.run(job_id)
        assert len(uploads.results(job_id)) == 20

    def test_rows_that_go_while_they_are_read_break_the_answer(
        self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A short list must never look like a whole one."""
        job_id = uploads.ended(csv_of(emails(25)))
        monkeypatch.setattr(verdicts, "_BATCH", 5)
        found = verdicts.open_verdicts(uploads.engine.ctx, uploads.tenant.caller, job_id)
        assert found is not None
        next(found.batches)
        uploads.engine.execute("delete from upload_rows where job_id = %s", job_id)
        with pytest.raises(StorageError, match="removed"):
            list(found.batches)

    def test_of_a_download_it_is_the_object_of_that_name(self, uploads: UploadDoor) -> None:
        """As it was before uploads were there."""
        uploads.tenant = uploads.engine.tenant
        uploads.engine.ctx = replace(uploads.engine.ctx, http=cast("HttpClient", uploads.engine.vendor))
        job_id = uploads.engine.submit()
        assert uploads.call("GET", f"/bulk/{job_id}/results").status_code == 409
        uploads.engine.run(job_id)
        assert uploads.call("GET", f"/bulk/{job_id}/results").data == uploads.engine.vendor.lines()
        assert len(uploads.call("GET", f"/bulk/{job_id}/results/data").get_json()) == 25


@pytest.mark.parametrize("path", ["", "/data", "/people", "/people/data"])
def test_an_upload_has_no_result_of_a_download(uploads: UploadDoor, path: str) -> None:
    job_id = uploads.ended(MIXED)
    answer = uploads.call("GET", f"/bulk/{job_id}{path}")
    assert answer.status_code == 400
    assert f"GET /bulk/{job_id}/results" in answer.get_json()["message"]


class TestStatus:
    def test_counts_and_evidence(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED, callback_payload="abc")

        told = uploads.status(job_id)
        assert StatusSchema(exclude=()).validate({k: v for k, v in told.items() if k != "callback-payload"}) == {}
        assert (told["status"], told["jobStatus"]) == ("COMPLETED", "COMPLETED")
        assert (told["recordsCount"], told["recordCount"]) == (5, 5)
        assert (told["recordsFailedCount"], told["errorCount"]) == (3, 3)
        assert (told["job_direction"], told["jobDirection"]) == ("UPLOAD", "UPLOAD")
        assert told["statusMessage"] == "Successfully uploaded 5 records, 3 of them failed"
        assert told["jobCriteria"]["metaData"] == told["metaData"]
        assert told["metaData"] == {"format": "csv", "action": "create", "callback-payload": "abc"}
        assert told["callback-payload"] == "abc"
        assert told["metadata"]["verdicts"] == Counter(
            row["verdict"] for row in uploads.results(job_id)
        ) | dict.fromkeys(["UPDATED", "UPSERTED", "DELETED", "EXISTED", "UNCERTAIN", "NOT_SENT"], 0)
        assert told["metadata"]["evidence"] == (
            "5 rows read, 3 sent by 3 vendor calls; 2 created; 3 failed, 2 of them since they could not be read;"
            " stopped by EXHAUSTED, nothing left in the file"
        )

    def test_a_file_of_bad_rows_alone_is_completed(self, uploads: UploadDoor) -> None:
        """Reference 2: recordsCount 2, recordsFailedCount 2."""
        told = uploads.status(uploads.ended(csv_of(["wrong", "worse"])))
        assert (told["status"], told["recordsCount"], told["recordsFailedCount"]) == ("COMPLETED", 2, 2)
        assert "error" not in told

    def test_while_it_runs(self, uploads: UploadDoor) -> None:
        job_id = stopped(uploads, 20)
        told = uploads.status(job_id)
        assert told["statusMessage"] == f"Uploaded {told['recordsCount']} records so far"
        count = told["recordsCount"]
        assert 4 <= count == told["metadata"]["verdicts"]["CREATED"] < 20
        assert (
            told["metadata"]["evidence"] == f"{count} rows read, {count} sent by {count} vendor calls; {count} created"
        )

    def test_a_job_cut_off_says_what_is_left(self, uploads: UploadDoor) -> None:
        job_id = stopped(uploads, 20)
        control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)
        told = uploads.status(job_id)
        assert (told["status"], told["jobStatus"]) == ("CANCELLED", "CANCELED")
        assert told["metadata"]["evidence"].endswith("stopped by CANCELLED, ROWS OF THE FILE ARE LEFT")

    def test_uncertain_rows_are_failures_that_are_told_apart(self, uploads: UploadDoor) -> None:
        uploads.target.script.append(Trouble(is_taken=True))
        told = uploads.status(job_id := uploads.ended(csv_of(emails(4))))
        assert (told["recordsFailedCount"], told["metadata"]["verdicts"]["UNCERTAIN"]) == (1, 1)
        assert told["statusMessage"].endswith("1 of them failed (1 may have been taken)")
        assert "1 uncertain" in told["metadata"]["evidence"]
        (item,) = uploads.errors(job_id)
        assert (item["verdict"], item["errorClass"], item["record"]["age"]) == ("UNCERTAIN", "uncertain", 20)

    def test_calls_in_doubt_at_a_cancel_are_counted(self, uploads: UploadDoor) -> None:
        names = uploads.engine.trace(uploads.submit(csv_of(emails(4))))
        uploads.clear()
        job_id = uploads.submit(csv_of(emails(4)))
        uploads.kill_leg(job_id, names.index("after send"))
        in_doubt = uploads.in_doubt(job_id)
        uploads.engine.lose_holder(job_id)
        control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)

        told = uploads.status(job_id)
        assert 0 < in_doubt == told["recordsFailedCount"] == told["metadata"]["verdicts"]["UNCERTAIN"]
        assert len(uploads.errors(job_id)) == in_doubt

    def test_the_callback_says_the_same(self, uploads: UploadDoor) -> None:
        url = "http://127.0.0.1:9/hook"
        job_id = uploads.submit(MIXED, notification_url=url, callback_payload={"any": 1})
        uploads.run(job_id)
        row = uploads.engine.one("select url, body from deliveries where job_id = %s", job_id)
        told = json.loads(bytes(row["body"]))
        assert row["url"] == url
        status = uploads.status(job_id)
        assert status.pop("callback")["state"] == "PENDING"
        assert told == status
        assert (told["recordsCount"], told["recordsFailedCount"], told["callback-payload"]) == (5, 3, {"any": 1})

    @pytest.mark.parametrize(("direction", "count"), [("UPLOAD", 1), ("DOWNLOAD", 0)])
    def test_jobs_can_be_narrowed_to_uploads(self, uploads: UploadDoor, direction: str, count: int) -> None:
        job_id = uploads.ended(MIXED)
        found = uploads.call("GET", "/bulk/jobs", query_string={"where": f"job_direction='{direction}'"}).get_json()
        assert [job["id"] for job in found] == [job_id] * count
        for job in found:
            assert (job["job_direction"], job["record_count"], job["error_count"]) == ("UPLOAD", 5, 3)
            assert job["status_message"] == "Successfully uploaded 5 records, 3 of them failed"


class TestRemoval:
    def test_deleted_files_take_input_and_rows_with_them(self, uploads: UploadDoor) -> None:
        job_id, kept = uploads.ended(MIXED), uploads.ended(MIXED)
        others = uploads.inputs()
        assert uploads.call("DELETE", f"/bulk/{job_id}").status_code == 200
        assert len(others - uploads.inputs()) == 1
        retention.sweep_orphans(uploads.engine.ctx)

        assert uploads.rows(job_id) == []
        for path in ("errors", "results"):
            answer = uploads.call("GET", f"/bulk/{job_id}/{path}")
            assert (answer.status_code, "removed" in answer.text) == (410, True)
        assert uploads.retry(job_id).status_code == 410
        assert uploads.call("PUT", f"/bulk/v3/{job_id}/restart").status_code in {409, 410}
        assert uploads.status(job_id)["recordsFailedCount"] == 3
        assert len(uploads.results(kept)) == 5

    def test_the_retention_does_the_same(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "_UPLOAD_ROWS", 2)
        monkeypatch.setattr(retention, "_ROW_STATEMENTS", 2)
        job_id = uploads.ended(MIXED)
        uploads.engine.execute("update jobs set files_expire_at = now() - interval '1 s'")

        assert retention.sweep_files(uploads.engine.ctx) == 1
        uploads.engine.execute("update jobs set sweep_orphans_at = now()")  # when readers have had their time
        retention.sweep_orphans(uploads.engine.ctx)
        assert uploads.inputs() == set()
        assert len(uploads.rows(job_id)) == 1, "of many rows the rest has its turn later"
        retention.sweep_orphans(uploads.engine.ctx)
        assert uploads.rows(job_id) == []
        assert uploads.call("GET", f"/bulk/{job_id}/results").status_code == 410

    def test_rows_of_long_ago_are_forgotten(self, uploads: UploadDoor) -> None:
        job_id = uploads.ended(MIXED)
        uploads.call("DELETE", f"/bulk/{job_id}")
        retention.sweep_orphans(uploads.engine.ctx)
        uploads.engine.execute("update jobs set files_deleted_at = now() - interval '1 year'")
        retention.forget_rows(uploads.engine.ctx)
        assert uploads.call("GET", f"/bulk/{job_id}/status").status_code == 404
        assert uploads.engine.rows("select 1 from uploads where job_id = %s", job_id) == []
