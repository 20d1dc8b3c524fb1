"""The CSRF token that an upload fetches before it sends: nothing may hang on it, and nobody is asked for it in vain."""

from collections.abc import Callable

import pytest

from app.domain.jobs import JobStatus
from app.http_client import Beat, Headers, Interrupted, Request, Response, TransportError
from app.services import control
from tests.fakes.sending import Unread
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Taken, document

COUNT = 8
Answer = Callable[[Request, Beat | None], Response]


class Tokens:
    """Gives `answer` to each call for a token; `count`: those that came."""

    def __init__(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
        self.count = 0
        self.answer = answer
        self._write = uploads.target.start
        monkeypatch.setattr(uploads.target, "start", self._start)

    def _start(self, request: Request) -> Unread | Taken:
        if not request.url.endswith("/token"):
            return self._write(request)
        self.count += 1
        return Unread(self.answer, request)


@pytest.fixture(autouse=True)
def _with_tokens(uploads: UploadDoor) -> None:
    uploads.tenant = uploads.engine.add_tenant_of({**document(), "csrf": {"path": "/token"}})


def given(request: Request, _beat: Beat | None) -> Response:
    return Response(200, Headers([("X-CSRF-Token", "t-1")]), b"", request.url, 0.0)


def unreachable(_request: Request, _beat: Beat | None) -> Response:
    raise TransportError("connect", "nobody listens")


def test_one_token_serves_all_calls_and_is_no_call_of_a_row(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(uploads, monkeypatch, given)
    job_id = uploads.submit(csv_of(emails(COUNT)))

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert (tokens.count, uploads.engine.job(job_id).call_count) == (1, COUNT)


def test_a_token_that_cannot_be_had_is_asked_for_once_a_try(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.engine.configure(retry_tries=4)
    tokens = Tokens(uploads, monkeypatch, unreachable)
    job_id = uploads.submit(csv_of(emails(COUNT)))

    assert uploads.run(job_id) is JobStatus.ABORTED
    assert tokens.count == 4
    assert uploads.engine.job(job_id).call_count == uploads.target.call_count == 0


def test_who_waits_for_a_token_hears_of_a_cancel(uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.lease._LOOK_S", 0.0)
    job_id = uploads.submit(csv_of(emails(COUNT)))

    def hangs(_request: Request, beat: Beat | None) -> Response:
        assert beat is not None
        control.cancel(uploads.engine.ctx, uploads.tenant.caller, job_id)
        assert not beat()
        raise Interrupted("The transfer was stopped.")

    Tokens(uploads, monkeypatch, hangs)
    uploads.engine.leg(job_id)

    assert uploads.engine.job(job_id).status is JobStatus.CANCELLED
    assert (uploads.in_doubt(job_id), uploads.target.call_count) == (0, 0)
    assert uploads.verdicts(job_id)["UNCERTAIN"] == 0
