"""The API over real sockets, read by the clients that people really use."""

import csv
import gzip
import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
import requests

from tests.fixtures.clients import FOREIGN_CLIENTS
from tests.fixtures.customer import PREFIX, SubmittedJob
from tests.fixtures.processes import PRODUCT
from tests.fixtures.receiver import Receiver
from tests.fixtures.stack import Stack
from tests.fixtures.vendor import expected_jsonl

RECORDS = 12_000
"""Several MiB in several segments: the gzip answer is put together from many runs."""
LONG = {"records": RECORDS, "page_max": 500, "latency_ms": 10, "habits": {"text": "strange", "pad_bytes": 200}}


@pytest.fixture
def stack(request: pytest.FixtureRequest, shared_stack: Stack) -> Stack:
    request.node.stash[PRODUCT] = shared_stack.product
    return shared_stack


@pytest.fixture(scope="module")
def long_job(shared_stack: Stack) -> SubmittedJob:
    job = shared_stack.customer.submit(account=LONG, pageSize=500)
    shared_stack.finish([job])
    assert shared_stack.number("select count(*) from segments where job_id = %s", job.id) > 2
    return job


def result_url(stack: Stack, job: SubmittedJob) -> str:
    return f"{stack.web.url}{PREFIX}/bulk/{job.id}/{job.object_name}"


def run(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def curl(*words: str) -> bytes:
    if shutil.which("curl") is None:
        pytest.fail("curl is not installed; the end-to-end tests need it", pytrace=False)
    return run(["curl", "--silent", "--show-error", "--fail-with-body", *words])


def by_curl(url: str, authorization: str) -> bytes:
    return curl("--compressed", "-H", "Accept-Encoding: gzip", "-H", f"Authorization: {authorization}", url)


def by_httpx(url: str, authorization: str) -> bytes:
    answer = httpx.get(url, headers={"Authorization": authorization, "Accept-Encoding": "gzip"}, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    return answer.content


def by_requests(url: str, authorization: str) -> bytes:
    answer = requests.get(url, headers={"Authorization": authorization, "Accept-Encoding": "gzip"}, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    return answer.content


@pytest.mark.parametrize("read", [by_curl, by_httpx, by_requests])
def test_a_gzip_answer_is_whole_for_usual_clients(
    stack: Stack, long_job: SubmittedJob, read: Callable[[str, str], bytes]
) -> None:
    assert read(result_url(stack, long_job), long_job.authorization) == expected_jsonl(long_job.account)


@pytest.mark.parametrize("client", FOREIGN_CLIENTS)
def test_a_gzip_answer_is_whole_for_clients_of_other_languages(
    stack: Stack, long_job: SubmittedJob, client: str
) -> None:
    body = run([*FOREIGN_CLIENTS[client], result_url(stack, long_job), long_job.authorization])
    assert body == expected_jsonl(long_job.account)


def test_a_gzip_answer_is_one_member_of_the_size_it_says(stack: Stack, long_job: SubmittedJob) -> None:
    headers = {"Authorization": long_job.authorization, "Accept-Encoding": "gzip"}
    with httpx.stream("GET", result_url(stack, long_job), headers=headers) as answer:
        packed = b"".join(answer.iter_raw())
        assert int(answer.headers["Content-Length"]) == len(packed)
    assert answer.headers["Content-Disposition"].endswith('.jsonl.gz"')
    with gzip.open(io.BytesIO(packed)) as file:
        assert file.read() == expected_jsonl(long_job.account)
    assert packed.count(b"\x1f\x8b\x08\x00") == 1


def test_several_encodings_are_answered_plainly(stack: Stack, long_job: SubmittedJob) -> None:
    """A library's default `gzip, deflate` gets no compression: the vendor's documented rule."""
    answer = requests.get(result_url(stack, long_job), headers={"Authorization": long_job.authorization}, timeout=60)
    assert "," in str(answer.request.headers["Accept-Encoding"])
    assert "Content-Encoding" not in answer.headers
    assert answer.content == expected_jsonl(long_job.account)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("file_format", ["application/jsonl", "application/json", "text/csv"])
def test_each_format_holds_the_same_records(stack: Stack, file_format: str, encoding: str) -> None:
    job = stack.customer.submit(account={"records": 1234, "latency_ms": 5}, format=file_format)
    stack.finish([job])
    headers = {"Accept-Encoding": encoding}
    answer = stack.customer.call("GET", f"/bulk/{job.id}/records", job.authorization, headers=headers)
    assert answer.headers["Content-Type"].partition(";")[0] == file_format
    expected = list(job.account.expected())
    if file_format == "application/jsonl":
        assert answer.content.splitlines() == expected
    elif file_format == "application/json":
        assert answer.content == b"[" + b",".join(expected) + b"]"
    else:
        rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))
        records = [json.loads(record, parse_float=str, parse_int=str) for record in expected]
        assert [row["id"] for row in rows] == [record["id"] for record in records]
        assert [row["amount"] for row in rows] == [record["amount"] for record in records]
        assert [row["address.geo.lat"] for row in rows] == [record["address"]["geo"]["lat"] for record in records]
        assert [json.loads(row["tags"], parse_int=str) for row in rows] == [record["tags"] for record in records]


def test_records_are_paged_by_headers_to_the_end(stack: Stack, long_job: SubmittedJob) -> None:
    records: list[Any] = []
    path, token = f"/bulk/{long_job.id}/data?pageSize=5000", None
    while True:
        page = stack.customer.call("GET", path + (f"&nextPage={token}" if token else ""), long_job.authorization)
        assert int(page.headers["elements-returned-count"]) == len(page.json())
        assert page.headers["elements-total-count"] == str(RECORDS)
        records += page.json()
        token = page.headers.get("elements-next-page-token")
        if token is None:
            break
    assert records == [json.loads(record) for record in long_job.account.expected()]


def test_errors_have_the_vendors_shape(stack: Stack, long_job: SubmittedJob) -> None:
    customer, authorization = stack.customer, long_job.authorization
    calls = [
        (400, customer.call("POST", "/bulk/download", authorization, json={"objectName": 7})),
        (400, customer.call("GET", f"/bulk/{long_job.id}/records", authorization, headers={"Accept": "text/csv"})),
        (401, customer.call("GET", f"/bulk/{long_job.id}/status", "User wrong, Organization wrong, Element wrong")),
        (404, customer.call("GET", "/bulk/2147483647/status", authorization)),
        (405, customer.call("PATCH", f"/bulk/{long_job.id}/status", authorization)),
        (409, customer.call("PUT", f"/bulk/{long_job.id}/cancel", authorization)),
        (415, customer.call("POST", "/bulk/download", authorization, content=b"x", headers={"Content-Type": "a/b"})),
    ]
    for status, answer in calls:
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"requestId", "message"}
        assert answer.json()["requestId"] == answer.headers["Elements-Request-Id"]


def test_the_status_speaks_both_vocabularies(stack: Stack) -> None:
    job = stack.customer.submit(account={"records": 1000, "faults": [{"calls": "3..", "do": "hold"}]})
    job.account.wait_for_held()
    stack.customer.cancel(job)
    stack.wait_for_end([job])
    job.account.release()
    status = stack.customer.status(job)
    assert (status["jobStatus"], status["status"]) == ("CANCELED", "CANCELLED")
    assert status["recordCount"] == status["recordsCount"] <= 200
    assert (status["objectName"], status["object_name"]) == ("records", "records")
    assert "error" not in status


def test_the_same_idempotency_key_makes_one_job(stack: Stack) -> None:
    authorization = stack.customer.connect(stack.vendor.account("idempotent"))
    answers = [
        stack.customer.call(
            "POST", "/bulk/download", authorization, json={"objectName": name}, headers={"Idempotency-Key": "monday"}
        )
        for name in ("records", "records", "records_page")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[0].json() == answers[1].json()


def test_jobs_are_accepted_while_the_broker_is_down_and_run_when_it_is_back(stack: Stack) -> None:
    stack.valkey.kill()
    jobs = [stack.customer.submit(account={"records": 50}) for _ in range(3)]
    assert {stack.customer.status(job)["status"] for job in jobs} <= {"CREATED", "STARTED", "RUNNING", "COMPLETED"}
    stack.valkey.start()
    stack.finish(jobs)
    stack.audit(jobs, are_all=False)


def test_the_whole_tour_by_curl(stack: Stack, receiver: Receiver) -> None:
    """Instance, submission, status, result, callback: what a newcomer types."""
    authorization, base = stack.customer.platform_authorization, f"{stack.web.url}{PREFIX}"

    def call(method: str, path: str, body: Any = None, *, as_: str) -> Any:
        words = ["-X", method, "-H", f"Authorization: {as_}"]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(curl(*words, f"{base}{path}"))

    configuration = {"base_url": stack.vendor.url, "username": "tourist", "password": "any"}
    instance = call(
        "POST", "/instances", {"element": {"key": "sandbox"}, "configuration": configuration}, as_=authorization
    )
    assert instance["configuration"]["password"] == "********"
    element = f"{authorization}, Element {instance['token']}"
    receiver.key = instance["configuration"]["event.notification.signature.key"]

    submission = call(
        "POST",
        "/hubs/sandbox/bulk/download",
        {"objectName": "records", "notificationUrl": receiver.url},
        as_=element,
    )
    assert submission == {"instanceId": instance["id"], "id": submission["id"], "status": "CREATED"}
    deadline = time.monotonic() + 60
    while (status := call("GET", f"/bulk/{submission['id']}/status", as_=element))["status"] != "COMPLETED":
        assert time.monotonic() < deadline, status
    result = curl("-H", f"Authorization: {element}", f"{base}/bulk/{submission['id']}/records")
    assert result == expected_jsonl(stack.vendor.account("tourist"))
    assert [job["job_id"] for job in call("GET", "/bulk/jobs", as_=element)] == [int(submission["id"])]

    [callback] = receiver.wait_for(1)
    assert callback.document["status"] == "COMPLETED"
    assert receiver.unverified == []
