"""What the legs of an upload tell of together, and when they wait (see `app.services.upload_pace`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.db import upload_rows
from app.domain.jobs import JobStatus
from app.http_client import Request
from app.services.upload import UploadLeg
from tests.fakes.upload_engine import UploadEngine, csv_of, emails
from tests.fakes.write_vendor import Taken, Trouble

AT_ONCE, A_STEP, COUNT = 6, 2, 20


@pytest.fixture(name="uploads")
def make_uploads(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadEngine]:
    """Six vendor calls at once, of which one step tells of two."""
    monkeypatch.setattr("app.services.upload_pace.Pace.most_calls", A_STEP)
    engine = UploadEngine(database_url, tmp_path / "store", upload_calls=AT_ONCE, retry_base_s=0.3, retry_cap_s=0.3)
    yield engine
    engine.close()


def test_parts_fill_all_places_before_an_answer_is_waited_for(
    uploads: UploadEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, under_way = [], []
    advance, answer = upload_rows.advance, uploads.target.wait
    job_id = uploads.submit(csv_of(emails(COUNT)))

    def told(conn: Any, slice_id: int, claim: int, number: int, step: upload_rows.Step, *, lease_s: float) -> Any:
        begun.append(sum(each.ending is None for each in step.new))
        return advance(conn, slice_id, claim, number, step, lease_s=lease_s)

    def wait() -> None:
        under_way.append(len(uploads.target._on_the_way))
        answer()

    monkeypatch.setattr("app.services.upload.upload_rows.advance", told)
    monkeypatch.setattr(uploads.target, "wait", wait)

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}
    assert max(begun) == A_STEP
    assert under_way[0] == max(under_way) == AT_ONCE


def test_a_pause_is_no_reason_to_go_round_in_circles(uploads: UploadEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """More could be sent, but not now: the answers that are under way are waited for."""
    rounds = 0
    take_in, start = UploadLeg._take_in, uploads.target.start
    uploads.target.script.append(Trouble(is_taken=False, status=503))

    def counted(leg: UploadLeg, window: Any) -> None:
        nonlocal rounds
        rounds += 1
        assert rounds < 100, "nothing is waited for"
        take_in(leg, window)

    def refused_at_once(request: Request) -> Taken:
        call = start(request)
        call.is_over = uploads.target.call_count == 1
        return call

    monkeypatch.setattr(UploadLeg, "_take_in", counted)
    monkeypatch.setattr(uploads.target, "start", refused_at_once)
    job_id = uploads.submit(csv_of(emails(COUNT)))
    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_rows_in_work_are_not_packed_by_the_database(uploads: UploadEngine) -> None:
    """It costs more than to write them, and they are there for the time of a call."""
    statement = "select attstorage from pg_attribute where attrelid = 'upload_rows'::regclass and attname = 'record'"
    assert uploads.engine.one(statement)["attstorage"] == "e"
