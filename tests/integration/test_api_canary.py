"""A planted secret never comes back: not in an answer, an error or a log line. Design 2.7."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.logs import configure_logs
from app.secrets import SIGNATURE_KEY
from tests.fixtures.door import Door

CANARY = "canary-8f3a1c"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged, at the finest level, as production writes it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logs(log_format="json", level="DEBUG", process="test")
    structlog.configure(cache_logger_on_first_use=False)  # else the loggers of modules stay so for all later tests
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def calls(door: Door, instance_id: int, job_id: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    configuration = {"password": f"{CANARY}-changed", SIGNATURE_KEY: f"whsec_{CANARY}"}
    wrong = {"password": [f"{CANARY}-nested"], "base_url": f"https://user:{CANARY}@vendor.example"}
    url = f"http://127.0.0.1:1/{CANARY}?token={CANARY}"
    yield "PATCH", f"/instances/{instance_id}", {"json": {"configuration": configuration}}
    yield "PATCH", f"/instances/{instance_id}", {"json": {"configuration": wrong}}
    yield "PATCH", f"/instances/{instance_id}", {"json": {"configuration": {**wrong, "password": "x"}}}
    yield "PUT", f"/instances/{instance_id}", {"json": {"configuration": [CANARY]}}
    yield "POST", "/instances", {"json": {"element": {"key": "datasette"}, "configuration": {"token": CANARY}}}
    yield "GET", f"/instances/{instance_id}", {}
    yield "GET", "/instances", {}
    yield "GET", "/bulk/jobs", {"headers": {"Authorization": f"User {CANARY}"}}
    yield "GET", "/bulk/jobs", {"headers": {"Authorization": f"User {CANARY}-a, Element {CANARY}-b"}}
    yield "GET", "/bulk/jobs", {"headers": {"Authorization": f"Bearer {CANARY}"}}
    yield (
        "POST",
        "/bulk/download",
        {"json": {"objectName": "records", "notificationUrl": url.replace("127.0.0.1", "10.0.0.1")}},
    )
    yield "GET", f"/bulk/{job_id}/status", {}
    yield "GET", f"/bulk/{job_id}/errors", {}
    yield "GET", f"/bulk/{job_id}", {}


def test_no_planted_secret_comes_back(door: Door, log: io.StringIO) -> None:
    made = door.call(
        "POST",
        "/instances",
        as_=door.acme.platform,
        json={
            "element": {"key": "sandbox"},
            "configuration": {"base_url": door.vendor.url, "username": "bad", "password": f"{CANARY}-first"},
        },
    ).get_json()
    as_ = f"{door.acme.platform}, Element {made['token']}"
    secrets = [CANARY, made["token"], door.acme.user_secret, door.acme.organisation_secret]
    secrets += [made["configuration"][SIGNATURE_KEY], "canary-password"]
    assert CANARY not in json.dumps(made)
    # The vendor refuses, which is where a credential is most easily told in an error.
    door.vendor.account("bad").configure(records=5, faults=[{"do": "status", "status": 403}])
    job_id = door.submit(as_=as_)
    door.finish(job_id)

    for method, path, options in calls(door, made["id"], job_id):
        answer = door.call(method, path, as_=as_, **options)
        told = answer.text + str(answer.headers)
        assert not [secret for secret in secrets if secret in told], (method, path)

    lines = log.getvalue()
    assert "http.request" in lines
    assert not [secret for secret in secrets if secret in lines]


def test_a_crash_logs_its_trace_and_no_credentials(
    door: Door, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("told in the log only")

    monkeypatch.setattr("app.services.listing.get_progress", explode)

    answer = door.call("GET", "/bulk/5/status")

    assert answer.status_code == 500
    assert "told in the log only" not in answer.text
    line = next(json.loads(each) for each in log.getvalue().splitlines() if "http.crashed" in each)
    assert line["request_id"] == answer.headers["Elements-Request-Id"]
    assert "told in the log only" in line["exception"]
    assert door.acme.user_secret not in log.getvalue()
