from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.api.bulk_schemas import JobItemSchema, RunFiguresSchema, StatusSchema
from app.db.jobs import Job
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.domain.status_document import evidence_line, job_item, status_document, submission_document

START = datetime(2021, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
NOW = START + timedelta(hours=1)


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": 41000001,
        "number": 1,
        "organisation_id": 11,
        "user_id": 31,
        "instance_id": 400123,
        "connector_id": 501,
        "connector_revision_id": 1,
        "engine": "V3",
        "direction": "DOWNLOAD",
        "object_name": "contacts",
        "file_format": FileFormat.JSONL,
        "criteria": {"objectName": "contacts", "format": "application/jsonl"},
        "pushed": None,
        "notification_url": None,
        "status": JobStatus.COMPLETED,
        "status_message": "Successfully downloaded 100 records",
        "stop_reason": StopReason.EXHAUSTED,
        "error": None,
        "has_more": False,
        "run_number": 1,
        "revision": 1,
        "record_count": 100,
        "page_count": 2,
        "call_count": 3,
        "calls_written_off": 0,
        "plain_bytes": 48211,
        "vendor_total": 100,
        "filtered_count": 0,
        "undated_count": 0,
        "slice_count": 1,
        "asked_of_vendor": [],
        "repeated_count": 0,
        "seen_before": 0,
        "created_at": START,
        "started_at": START + timedelta(seconds=1),
        "finished_at": START + timedelta(seconds=47.1),
        "cancel_requested_at": None,
        "files_expire_at": None,
        "files_deleted_at": None,
        "sweep_orphans_at": None,
    }
    return Job(**(values | changes))


def unfinished(**changes: Any) -> Job:
    return job(
        **({"status": JobStatus.RUNNING, "status_message": None, "stop_reason": None, "finished_at": None} | changes)
    )


def test_both_vocabularies_tell_the_same_facts() -> None:
    told = status_document(job(), NOW)

    assert told["jobStatus"] == told["status"] == "COMPLETED"
    assert told["recordCount"] == told["recordsCount"] == 100
    assert told["errorCount"] == told["recordsFailedCount"] == 0
    assert told["objectName"] == told["object_name"] == "contacts"
    assert told["jobDirection"] == told["job_direction"] == "DOWNLOAD"
    assert told["createdDate"] == 1614592800123
    assert told["completionTime"] == 1614592847223
    assert told["bulk_start_time"] == "2021-03-01T10:00:01.123Z"
    assert told["bulk_finish_time"] == "2021-03-01T10:00:47.223Z"
    assert told["fileFormat"] == "JSONL"
    assert told["fileSize"] == 48211
    assert told["metaData"] == {}
    assert told["metadata"]["totalApiCallCount"] == 3
    assert told["metadata"]["elapsedTime"] == 46100
    assert told["jobCriteria"] == {"objectName": "contacts", "format": "application/jsonl"}
    assert told["runNumber"] == 1


def test_a_cancelled_job_is_spelled_as_each_vocabulary_does() -> None:
    told = status_document(job(status=JobStatus.CANCELLED), NOW)

    assert (told["jobStatus"], told["status"]) == ("CANCELED", "CANCELLED")
    assert job_item(job(status=JobStatus.CANCELLED))["job_status"] == "CANCELLED"


def test_keys_that_clients_test_for_are_absent_until_they_mean_something() -> None:
    told = status_document(unfinished(), NOW)

    assert "error" not in told
    assert "bulk_finish_time" not in told
    assert told["completionTime"] is None
    assert status_document(job(error="Forbidden"), NOW)["error"] == "Forbidden"


def test_a_running_job_tells_how_far_it_is() -> None:
    assert status_document(unfinished(), NOW)["statusMessage"] == "Downloaded 100 records so far"
    assert status_document(unfinished(), NOW)["metadata"]["elapsedTime"] == 3599000
    waiting = unfinished(status=JobStatus.CREATED, started_at=None)
    assert status_document(waiting, NOW)["metadata"]["elapsedTime"] == 0
    assert status_document(waiting, NOW)["statusMessage"] == "Waiting for a worker"


@pytest.mark.parametrize(
    "one", [job(), unfinished(), job(error="x", user_id=None, notification_url="https://a.example")]
)
def test_the_documented_schemas_are_what_is_sent(one: Job) -> None:
    told = status_document(one, NOW)

    assert StatusSchema().validate(told) == {}
    assert RunFiguresSchema().validate(told["metadata"]) == {}
    assert JobItemSchema().validate(job_item(one)) == {}
    assert set(job_item(one)) == set(JobItemSchema().fields)


def test_the_status_tells_how_long_the_files_are_kept() -> None:
    at = datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
    told = status_document(job(files_expire_at=at), NOW)["metadata"]
    assert (told["filesExpireAt"], told["filesDeletedAt"]) == ("2024-03-04T05:06:07.000Z", None)
    told = status_document(job(files_deleted_at=at), NOW)["metadata"]
    assert (told["filesExpireAt"], told["filesDeletedAt"]) == (None, "2024-03-04T05:06:07.000Z")


def test_a_submission_gives_the_id_as_text() -> None:
    assert submission_document(400123, 41000001, JobStatus.CREATED) == {
        "instanceId": 400123,
        "id": "41000001",
        "status": "CREATED",
    }


def test_the_evidence_says_where_the_vendors_total_differs() -> None:
    assert "the vendor's total is 100" in evidence_line(job())
    assert "TOTAL IS 120, which differs" in evidence_line(job(vendor_total=120))
    assert "states no total" in evidence_line(job(vendor_total=None))
    limited = job(vendor_total=120, stop_reason=StopReason.LIMIT, has_more=True)
    assert "differs" not in evidence_line(limited)
    assert "has or may have more" in evidence_line(limited)


def test_what_we_left_out_is_no_difference_to_the_vendors_total() -> None:
    criteria = {"where": "a=1", "from": "2024-01-01", "filterDateField": "changed"}
    line = evidence_line(job(vendor_total=112, filtered_count=9, undated_count=3, criteria=criteria))
    assert "9 more left out by from, where" in line
    assert "3 LEFT OUT SINCE changed HOLDS NO DATE" in line
    assert "the vendor's total is 112" in line
    assert "differs" in evidence_line(job(vendor_total=112, filtered_count=9, criteria=criteria))


def test_what_was_given_for_the_callback_comes_back() -> None:
    about = {"callback-payload": {"a": [1]}, "fileName": "x"}
    told = status_document(job(criteria={"metaData": about}), NOW)
    assert told["callback-payload"] == {"a": [1]}
    assert told["metaData"] == about
    assert "callback-payload" not in status_document(job(), NOW)


def test_the_evidence_says_what_was_filtered_and_what_was_lost() -> None:
    line = evidence_line(job(calls_written_off=5, criteria={"query": {"group": "a"}}))

    assert "5 reserved calls written off" in line
    assert "filtered at the vendor by group" in line


def test_the_evidence_says_what_the_vendor_was_asked_for() -> None:
    told = evidence_line(job(pushed={"params": {"$filter": "x"}, "vendor": "a = 1", "here": "b = 'x\ny'"}))
    assert "; the vendor was asked for a = 1; applied here alone: b = 'x y'; " in told
    assert len(evidence_line(job(pushed={"params": {}, "vendor": "", "here": "b = 1 OR " * 1000}))) < 500
    assert "applied here" not in evidence_line(job(pushed={"params": {"a": "1"}, "vendor": "a = 1", "here": ""}))


def test_a_query_job_is_told_as_the_older_engine_did() -> None:
    of_query = job(engine="V2", file_format=FileFormat.CSV, criteria={"q": "select * from contacts"})
    told = status_document(of_query, NOW)
    assert (told["fileFormat"], told["fileSize"]) == ("csv", 48211)
    assert (job_item(of_query)["fileFormat"], job_item(of_query)["job_query"]) == ("csv", "select * from contacts")
    assert status_document(job(file_format=FileFormat.CSV), NOW)["fileSize"] is None
