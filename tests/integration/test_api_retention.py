"""`retentionHours` at the door: in every place where clients may put it, told in the status, and refused above the
ceiling."""

import io
import json
from datetime import datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.fakes.upload_door import UploadDoor
from tests.fixtures.door import Door

SELECT = "select * from records"


def kept_hours(told: dict[str, Any]) -> Any:
    expires = datetime.fromisoformat(told["metadata"]["filesExpireAt"])
    return round((expires.timestamp() - told["completionTime"] / 1000) / 3600, 3)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/bulk/download", {"json": {"objectName": "records", "retentionHours": 5}}),
        ("/bulk/query", {"query_string": {"q": SELECT, "retentionHours": "5"}}),
        ("/bulk/query", {"data": {"q": SELECT, "metaData": json.dumps({"retentionHours": 5})}}),
        ("/bulk/query", {"json": {"q": SELECT, "retentionHours": 5}}),
    ],
)
def test_a_download_is_kept_for_as_long_as_asked_and_the_status_says_until_when(
    door: Door, path: str, options: dict[str, Any]
) -> None:
    job_id = int(door.call("POST", path, **options).get_json()["id"])
    before = door.call("GET", f"/bulk/{job_id}/status").get_json()
    assert before["metadata"]["filesExpireAt"] is None
    assert before["jobCriteria"]["retentionHours"] == 5
    door.finish(job_id)
    assert kept_hours(door.call("GET", f"/bulk/{job_id}/status").get_json()) == 5

    door.call("DELETE", f"/bulk/{job_id}")
    told = door.call("GET", f"/bulk/{job_id}/status").get_json()["metadata"]
    assert told["filesExpireAt"] is None
    assert told["filesDeletedAt"] is not None


def test_without_a_wish_the_setting_holds(door: Door) -> None:
    job_id = door.submit()
    door.finish(job_id)
    told = door.call("GET", f"/bulk/{job_id}/status").get_json()
    assert kept_hours(told) == 72
    assert "retentionHours" not in told["jobCriteria"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (721, "retentionHours 721 is more than HAULAGE_RETENTION_MAX_S allows; 1 to 720 is accepted"),
        (0, "a whole number from 1 to the hours of HAULAGE_RETENTION_MAX_S is accepted"),
        (1.5, "a whole number from 1"),
        ("long", "a whole number from 1"),
        (True, "a whole number from 1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(door: Door, given: object, message: str) -> None:
    answer = door.call("POST", "/bulk/download", json={"objectName": "records", "retentionHours": given})
    assert answer.status_code == 400
    assert message in answer.get_json()["message"]
    assert "retentionHours" in answer.get_json()["message"]
    assert door.call("GET", "/bulk/jobs").get_json() == []


def post(uploads: UploadDoor, about: dict[str, Any] | None = None, query: dict[str, str] | None = None) -> TestResponse:
    parts: dict[str, Any] = {"file": (io.BytesIO(b"email,age\na@b.test,1\nbad,x\n"), "people.csv")}
    if about is not None:
        parts["metaData"] = json.dumps(about)
    return uploads.call("POST", "/bulk/people", data=parts, query_string=query or {})


@pytest.mark.parametrize(
    "call", [{"about": {"retentionHours": 5}}, {"about": {"retentionHours": "5"}}, {"query": {"retentionHours": "5"}}]
)
def test_an_upload_is_kept_for_as_long_as_asked_and_so_is_its_retry(uploads: UploadDoor, call: dict[str, Any]) -> None:
    job_id = int(post(uploads, **call).get_json()["id"])
    uploads.run(job_id)
    assert kept_hours(uploads.status(job_id)) == 5

    uploads.engine.execute("update upload_rows set verdict = 'FAILED', record = '{}' where job_id = %s", job_id)
    uploads.engine.execute("update jobs set failed_count = 1 where id = %s", job_id)
    answer = uploads.call("POST", f"/bulk/{job_id}/retry-failed")
    assert answer.status_code == 200, answer.text
    again = int(answer.get_json()["id"])
    uploads.run(again)
    assert kept_hours(uploads.status(again)) == 5


@pytest.mark.parametrize("call", [{"about": {"retentionHours": 721}}, {"query": {"retentionHours": "721"}}])
def test_an_upload_above_the_ceiling_leaves_nothing(uploads: UploadDoor, call: dict[str, Any]) -> None:
    answer = post(uploads, **call)
    assert answer.status_code == 400
    assert "retentionHours 721" in answer.get_json()["message"]
    assert list(uploads.engine.ctx.store.list()) == []
    assert uploads.engine.rows("select 1 from intakes") == []
