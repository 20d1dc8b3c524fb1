import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.api.wsgi import create_app
from app.db.pool import Database
from app.domain.jobs import FileFormat
from app.errors import StorageUnavailableError
from app.storage.objects import ObjectStore
from tests.fixtures.door import PREFIX, Door

ERRORS_HAVE = {"requestId", "message"}


def refused(answer: TestResponse, status: int) -> str:
    """The message of an error that has the vendor's form."""
    assert answer.status_code == status, answer.text
    body = answer.get_json()
    assert set(body) == ERRORS_HAVE
    assert body["requestId"] == answer.headers["Elements-Request-Id"]
    return str(body["message"])


@pytest.mark.parametrize("path", ["/bulk/download", "/hubs/crm/bulk/download"])
def test_a_submission_is_accepted_with_the_broker_down(door: Door, path: str) -> None:
    answer = door.call("POST", path, json={"objectName": "records"})

    assert answer.status_code == 200
    body = answer.get_json()
    assert body == {"instanceId": door.acme.instance_id, "id": body["id"], "status": "CREATED"}
    assert body["id"].isdigit()
    assert isinstance(body["id"], str)


def test_user_and_element_alone_may_make_bulk_calls(door: Door) -> None:
    as_ = f"Element {door.acme.element_token}, User {door.acme.user_secret}"

    assert door.call("GET", "/bulk/jobs", as_=as_).status_code == 200


def test_a_job_is_told_from_submission_to_end(door: Door) -> None:
    door.vendor.account("acme").configure(records=25)
    job_id = door.submit(pageSize=10)
    assert door.call("GET", f"/bulk/{job_id}/status").get_json()["status"] == "CREATED"

    door.finish(job_id)

    told = door.call("GET", f"/hubs/any/bulk/{job_id}/status").get_json()
    assert told["jobStatus"] == told["status"] == "COMPLETED"
    assert told["recordsCount"] == 25
    assert told["id"] == job_id
    assert told["instanceId"] == door.acme.instance_id
    assert told["metadata"]["stopReason"] == "EXHAUSTED"
    assert told["metadata"]["totalApiCallCount"] == 3


def test_a_waiting_job_says_why_and_until_when(door: Door) -> None:
    trouble = {"do": "status", "status": 429, "wait_s": 3600, "tell": "retry_after"}
    door.vendor.account("acme").configure(records=5, faults=[trouble])
    job_id = door.submit()
    door.run_leg(job_id)

    message = door.call("GET", f"/bulk/{job_id}/status").get_json()["statusMessage"]

    assert "waiting until" in message
    assert message.count("429") == 1


def test_a_query_that_paging_would_overwrite_is_refused_by_name(door: Door) -> None:
    for criteria, name in (
        ({"objectName": "records_page", "query": {"group": "a", "per_page": "7"}}, "per_page"),
        ({"objectName": "records_page", "query": {"page": "7"}}, "page"),
    ):
        message = refused(door.call("POST", "/bulk/download", json=criteria), 400)
        assert f"query.{name} is set by the paging of 'records_page'" in message
        assert "pageSize" in message


def test_a_query_may_give_the_first_position_that_paging_leaves_open(door: Door) -> None:
    door.vendor.account("acme").configure(records=25)
    job_id = door.submit(objectName="records_keyset", query={"after_id": "20"})
    door.run_leg(job_id)

    assert door.call("GET", f"/bulk/{job_id}/status").get_json()["recordCount"] == 5


@pytest.mark.parametrize(
    "path", ["/bulk/{id}", "/bulk/{id}/records", "/bulk/{id}/otherName", "/hubs/crm/bulk/{id}/records"]
)
def test_the_result_is_read_under_every_path(door: Door, path: str) -> None:
    job_id = door.fetched(records=25)

    answer = door.call("GET", path.format(id=job_id))

    assert answer.data == b"".join(line + b"\n" for line in door.vendor.account("acme").expected())
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="records-{job_id}.jsonl"'


@pytest.mark.parametrize(
    ("file_format", "content_type"),
    [("application/jsonl", "application/jsonl"), ("application/json", "application/json"), ("txt/csv", "text/csv")],
)
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_head_tells_what_get_would_send(door: Door, file_format: str, content_type: str, encoding: str) -> None:
    job_id = door.fetched(format=file_format)
    headers = {"Accept-Encoding": encoding} if encoding else {}
    got = door.call("GET", f"/bulk/{job_id}/records", headers=headers)
    headed = door.call("HEAD", f"/bulk/{job_id}/records", headers=headers)

    assert got.headers["Content-Type"] == content_type
    assert headed.data == b""
    assert sorted(without_id(headed)) == sorted(without_id(got))
    if encoding:
        assert got.headers["Content-Encoding"] == "gzip"
        assert ".gz" in got.headers["Content-Disposition"]
        assert gzip.decompress(got.data)


def without_id(answer: TestResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name != "Elements-Request-Id"]


def test_only_a_lone_gzip_directive_compresses(door: Door) -> None:
    job_id = door.fetched()

    for directives in ("gzip, deflate", "deflate, gzip;q=1.0, *;q=0.5", "gzip, zip", "identity", "gzip;q=0", "*"):
        answer = door.call("GET", f"/bulk/{job_id}", headers={"Accept-Encoding": directives})
        assert "Content-Encoding" not in answer.headers, directives
        assert len(answer.data.splitlines()) == 25


@pytest.mark.parametrize("accept", ["application/jsonl", "*/*", "application/*", "text/html, */*;q=0.1"])
def test_accept_that_covers_the_format_is_fine(door: Door, accept: str) -> None:
    assert door.call("GET", f"/bulk/{door.fetched()}", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", ["text/csv", "application/json", "application/jsonl;q=0"])
def test_another_format_than_the_jobs_is_a_bad_request(door: Door, accept: str) -> None:
    answer = door.call("GET", f"/bulk/{door.fetched()}/records", headers={"Accept": accept})

    assert "application/jsonl" in refused(answer, 400)


def test_an_unchanged_result_is_not_sent_again(door: Door) -> None:
    job_id = door.fetched()
    etag = door.call("GET", f"/bulk/{job_id}").headers["ETag"]
    assert not etag.startswith("W/")

    again = door.call("GET", f"/bulk/{job_id}", headers={"If-None-Match": etag})

    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    compressed = door.call("GET", f"/bulk/{job_id}", headers={"If-None-Match": etag, "Accept-Encoding": "gzip"})
    assert compressed.status_code == 200


def test_the_result_can_be_read_once_the_job_has_ended(door: Door) -> None:
    job_id = door.submit()
    for path in ("", "/records", "/data", "/records/data"):
        assert "CREATED" in refused(door.call("GET", f"/bulk/{job_id}{path}"), 409)
    assert door.call("PUT", f"/bulk/{job_id}/cancel").get_json()["status"] == "CANCELLED"

    answer = door.call("GET", f"/bulk/{job_id}")

    assert (answer.status_code, answer.data) == (200, b"")
    assert "Partial result" in answer.headers["Elements-Error"]


def test_a_restarted_job_shows_its_last_revision_while_it_runs(door: Door) -> None:
    job_id = door.fetched(records=25, limit=10)
    first = door.call("GET", f"/bulk/{job_id}").data
    told = door.call("PUT", f"/bulk/v3/{job_id}/restart").get_json()
    assert (told["status"], told["runNumber"]) == ("CREATED", 2)

    meanwhile = door.call("GET", f"/bulk/{job_id}")
    assert meanwhile.data == first
    assert "run 2" in meanwhile.headers["Elements-Error"]

    door.finish(job_id)
    after = door.call("GET", f"/bulk/{job_id}")
    assert after.data.startswith(first)
    assert len(after.data.splitlines()) == 20


def test_an_api_limit_is_told_with_the_result(door: Door) -> None:
    job_id = door.fetched(records=25, pageSize=10, apiLimit=1)

    assert "apiLimit" in door.call("GET", f"/bulk/{job_id}").headers["Elements-Error"]
    assert "Elements-Error" not in door.call("GET", f"/bulk/{door.fetched(limit=5)}").headers


def test_deleted_files_are_gone_and_the_job_stays(door: Door) -> None:
    job_id = door.fetched()
    assert door.call("DELETE", f"/bulk/{job_id}").get_json()["status"] == "COMPLETED"

    for path in ("", "/records", "/data"):
        assert "submit a new job" in refused(door.call("GET", f"/bulk/{job_id}{path}"), 410)
    assert door.call("GET", f"/bulk/{job_id}/status").status_code == 200


def test_records_are_paged_as_json_whatever_the_format(door: Door) -> None:
    job_id = door.fetched(records=25, format="text/csv")
    path, records, pages = f"/bulk/{job_id}/records/data?pageSize=10", [], []
    while True:
        answer = door.call("GET", path)
        assert answer.headers["Content-Type"] == "application/json"
        records += answer.get_json()
        pages.append((answer.headers["elements-returned-count"], answer.headers["elements-total-count"]))
        token = answer.headers.get("elements-next-page-token")
        if token is None:
            break
        path = f"/bulk/{job_id}/data?nextPage={token}"

    assert records == [json.loads(line) for line in door.vendor.account("acme").expected()]
    assert pages == [("10", "25"), ("10", "25"), ("5", "25")]


@pytest.mark.parametrize("records", [0, 1, 10])
def test_the_last_page_has_no_token(door: Door, records: int) -> None:
    answer = door.call("GET", f"/bulk/{door.fetched(records=records)}/data?pageSize=10")

    assert len(answer.get_json()) == records
    assert "elements-next-page-token" not in answer.headers


def test_a_page_size_over_the_maximum_is_capped_and_told(door: Door) -> None:
    answer = door.call("GET", "/bulk/jobs?pageSize=5001")

    assert answer.status_code == 200
    assert "5000" in answer.headers["Elements-Error"]
    assert "pageSize" in refused(door.call("GET", "/bulk/jobs?pageSize=0"), 400)
    assert "nextPage" in refused(door.call("GET", "/bulk/jobs?nextPage=abc"), 400)


def test_jobs_are_listed_newest_first_page_by_page(door: Door) -> None:
    made = [door.submit(objectName=name) for name in ("records", "records_page", "records")]
    door.submit(as_=door.globex.element)

    first = door.call("GET", "/bulk/jobs?pageSize=2")
    token = first.headers["elements-next-page-token"]
    second = door.call("GET", f"/bulk/jobs?nextPage={token}")

    assert [each["job_id"] for each in first.get_json() + second.get_json()] == made[::-1]
    assert "elements-next-page-token" not in second.headers
    carried = json.loads(base64.urlsafe_b64decode(token + "=="))
    assert carried == {"pageSize": 2, "after": made[1]}, "no running number, which would tell the volume"


def test_jobs_can_be_narrowed(door: Door) -> None:
    made = door.submit(objectName="records_page")
    door.submit()

    found = door.call("GET", "/bulk/jobs", query_string={"where": "object_name='records_page'", "fields": "id,status"})

    assert found.get_json() == [{"id": made, "status": "CREATED"}]
    assert "Error parsing query" in refused(door.call("GET", "/bulk/jobs?where=x"), 400)


def test_a_download_has_no_failed_rows(door: Door) -> None:
    answer = door.call("GET", f"/bulk/{door.submit()}/errors?pageSize=30")

    assert answer.get_json() == []
    assert answer.headers["elements-returned-count"] == "0"


def test_cancel_is_refused_once_the_job_is_complete(door: Door) -> None:
    assert "COMPLETED" in refused(door.call("PUT", f"/bulk/{door.fetched()}/cancel"), 409)
    assert "complete" in refused(door.call("PUT", f"/bulk/v3/{door.fetched()}/restart"), 409)


def test_the_same_idempotency_key_gives_the_same_job(door: Door) -> None:
    key = {"Idempotency-Key": "order-66"}
    first = door.call("POST", "/bulk/download", json={"objectName": "records", "limit": 5}, headers=key)
    respelled = b'{"limit": 5, "objectName": "records"}'
    again = door.call("POST", "/bulk/download", headers=key, data=respelled, content_type="application/json")
    other = door.call("POST", "/bulk/download", json={"objectName": "records"}, headers=key)

    assert first.get_json() == again.get_json()
    assert "Idempotency-Key" in refused(other, 422)
    assert len(door.call("GET", "/bulk/jobs").get_json()) == 1
    foreign = door.call("POST", "/bulk/download", as_=door.globex.element, json={"objectName": "records"}, headers=key)
    assert foreign.status_code == 200
    refused(
        door.call("POST", "/bulk/download", json={"objectName": "records"}, headers={"Idempotency-Key": "x" * 256}), 400
    )


def test_what_is_done_otherwise_than_asked_is_said(door: Door) -> None:
    given = {"objectName": "records", "pageSize": 10**6, "metaData": {"fileName": "x", "colour": "red"}}
    answer = door.call("POST", "/bulk/download", json=given)
    assert answer.status_code == 200
    assert answer.headers["Elements-Error"] == "Ignored: metaData.colour."
    status = door.call("GET", f"/bulk/{answer.get_json()['id']}/status").get_json()
    assert status["metaData"] == {"fileName": "x"}


def test_metadata_may_be_json_text(door: Door) -> None:
    given = {"objectName": "records", "metaData": '{"callback-payload": [1]}'}
    answer = door.call("POST", "/bulk/download", json=given)
    status = door.call("GET", f"/bulk/{answer.get_json()['id']}/status").get_json()
    assert status["callback-payload"] == [1]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "told"),
    [
        ("POST", "/bulk/download", {"data": b"{", "content_type": "application/json"}, 400, "JSON"),
        ("POST", "/bulk/download", {"data": b"a=b", "content_type": "text/plain"}, 415, "text/plain"),
        ("POST", "/bulk/download", {"json": {"objectName": "nothing"}}, 400, "nothing"),
        (
            "POST",
            "/bulk/download",
            {"json": {"objectName": "a", "docsHubDetails": {}}},
            400,
            "instanceId",
        ),
        (
            "POST",
            "/bulk/download",
            {"json": {"objectName": "records", "from": "2024-01-01"}},
            400,
            "filterDateField is missing",
        ),
        ("POST", "/bulk/download", {"json": {"objectName": "records", "filterNulls": 1}}, 400, "filterNulls"),
        ("POST", "/bulk/download", {"json": {"objectName": "records", "selectFields": " , "}}, 400, "selectFields"),
        ("POST", "/bulk/download", {"json": {"objectName": "records", "metaData": "x"}}, 400, "metaData"),
        (
            "POST",
            "/bulk/download",
            {"json": {"objectName": "records", "notificationUrl": "/x"}},
            400,
            "notificationUrl",
        ),
        ("POST", "/bulk/download", {"data": b" " * 2_000_000, "content_type": "application/json"}, 413, "MAX_BODY"),
        ("GET", "/bulk/jobs", {"headers": {"Accept": "text/csv"}}, 406, "application/json"),
        ("GET", "/bulk/5/status", {}, 404, "5"),
        ("GET", "/bulk/99999999999/status", {}, 404, "no resource"),
        ("GET", "/bulk/abc", {}, 405, "POST"),
        ("GET", "/bulk/abc/def/ghi", {}, 404, "no resource"),
        ("GET", "/nothing", {}, 404, "no resource"),
        ("GET", "/bulk/download", {}, 405, "POST"),
        ("POST", "/bulk/5/status", {}, 405, "GET"),
        ("GET", "/bulk/5/cancel", {}, 405, "PUT"),
        ("GET", "/bulk/jobs?where=%00", {}, 400, "U+0000"),
    ],
)
def test_every_refusal_has_the_vendors_form(
    door: Door, method: str, path: str, options: dict[str, Any], status: int, told: str
) -> None:
    answer = door.call(method, path, **options)

    assert told in refused(answer, status)
    assert status != 405 or told in answer.headers["Allow"]


def test_a_crash_is_told_without_its_trace(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the-inner-secret")

    monkeypatch.setattr("app.services.listing.get_progress", explode)

    answer = door.call("GET", "/bulk/5/status")

    assert "the-inner-secret" not in answer.text
    assert answer.get_json()["requestId"] in refused(answer, 500)


class FailingStore:
    """Fails at the n-th read of an object."""

    def __init__(self, store: ObjectStore, *, reads: int) -> None:
        self._store, self._reads = store, reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open(self, key: str, offset: int = 0) -> Any:
        if self._reads == 0:
            raise StorageUnavailableError("the store does not answer")
        self._reads -= 1
        return self._store.open(key, offset)


@pytest.mark.parametrize("path", ["", "/data"])
@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("file_format", FileFormat)
def test_a_store_that_is_down_is_an_error_with_a_status(
    door: Door, path: str, encoding: str, file_format: FileFormat
) -> None:
    job_id = door.fetched(format=file_format.value)
    app = create_app(replace(door.ctx, store=FailingStore(door.ctx.store, reads=0)))  # type: ignore[arg-type]

    headers = {"Authorization": door.acme.element, "Accept-Encoding": encoding}
    answer = app.test_client().get(f"{PREFIX}/bulk/{job_id}{path}", headers=headers)

    refused(answer, 503)
    assert answer.headers["Retry-After"]


def test_a_store_that_fails_midway_breaks_the_answer_off(door: Door) -> None:
    job_id = door.fetched(records=25, pageSize=10)
    segments = door.ctx.store.list(f"jobs/{job_id}/")
    assert len(list(segments)) == 3
    app = create_app(replace(door.ctx, store=FailingStore(door.ctx.store, reads=2)))  # type: ignore[arg-type]

    answer = app.test_client().get(
        f"{PREFIX}/bulk/{job_id}", headers={"Authorization": door.acme.element}, buffered=False
    )

    with pytest.raises(StorageUnavailableError):
        list(answer.response)
    answer.close()


def test_browsers_may_read_the_paging_headers(door: Door) -> None:
    answer = door.call("GET", "/bulk/jobs")
    exposed = answer.headers["Access-Control-Expose-Headers"]

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert all(name in exposed for name in ("elements-next-page-token", "Elements-Request-Id", "Content-Disposition"))
    preflight = door.call("OPTIONS", "/bulk/download", as_="")
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


def test_a_stream_holds_no_connection_to_the_database(door: Door) -> None:
    job_id = door.fetched(records=25, pageSize=10)
    only_one = Database(door.ctx.settings.database_url, max_size=1, wait_s=2)
    only_one.open()
    client = create_app(replace(door.ctx, db=only_one)).test_client()
    headers = {"Authorization": door.acme.element}

    stream = client.get(f"{PREFIX}/bulk/{job_id}", headers=headers, buffered=False)
    meanwhile = client.get(f"{PREFIX}/bulk/{job_id}/status", headers=headers)

    assert meanwhile.status_code == 200
    assert len(stream.data.splitlines()) == 25
    only_one.close()
