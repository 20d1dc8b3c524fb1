"""What the legs of an upload do where the file is slow to read, or cannot be read on."""

import gzip
import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.jobs import JobStatus, StopReason
from app.storage.inputs import plain_chunks
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails, rows_behind_which_the_store_fails
from tests.fixtures.uploads import CALLS

COUNT = 10
BATCHES = {"batch": {"create": {"path": "/batch", "max": 4, "mode": "atomic", "results": "", "id_at": "/id"}}}


def test_rows_before_a_fault_in_the_middle_of_a_batch_are_sent(uploads: UploadDoor) -> None:
    uploads.declare(**BATCHES)
    job_id = uploads.submit(csv_of(emails(COUNT)) + b'"never closed,1\n')

    assert uploads.run(job_id) is JobStatus.ABORTED
    assert uploads.engine.job(job_id).stop_reason is StopReason.UNREADABLE_INPUT
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_a_store_that_fails_in_the_middle_of_a_batch_leaves_no_row_in_doubt(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.declare(**BATCHES)

    monkeypatch.setattr("app.services.upload.rows_of", rows_behind_which_the_store_fails(6))
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id)
    assert uploads.in_doubt(job_id) == 0
    monkeypatch.undo()

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


class SlowFile:
    """Each piece of the file takes `piece_s` by the clocks that leases and legs go by; `piece_count`: those that came.

    Who lets the lease run out loses the slice.
    """

    def __init__(self, uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch, piece_s: float) -> None:
        self.piece_count = 0
        self._uploads = uploads
        self._piece_s = piece_s
        self._passed_s = 0.0
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + self._passed_s, sleep=time.sleep)
        monkeypatch.setattr("app.services.lease.time", clock)
        monkeypatch.setattr("app.services.upload.time", clock)
        monkeypatch.setattr("app.services.upload_plan.plain_chunks", self.pieces)

    def pieces(self, *args: Any, **named: Any) -> Iterator[bytes]:
        for piece in plain_chunks(*args, **named):
            self.piece_count += 1
            self._passed_s += self._piece_s
            execute, passed = self._uploads.engine.execute, timedelta(seconds=self._piece_s)
            execute("update slices set lease_expires_at = lease_expires_at - %s", passed)
            execute("update slices set claim = claim + 1 where lease_expires_at < now()")
            yield piece


def with_blank_lines(pieces: int) -> bytes:
    """A file of people, behind so many pieces without a row."""
    header, rows = csv_of(emails(COUNT)).split(b"\n", 1)
    return header + b"\n" * (256 * 1024 * pieces) + rows


def test_a_lease_outlives_a_long_way_to_the_next_row(uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = uploads.submit(with_blank_lines(8))
    SlowFile(uploads, monkeypatch, uploads.engine.ctx.settings.lease_s * 0.4)

    uploads.engine.leg(job_id)

    assert uploads.engine.job(job_id).status is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_a_packed_file_gives_signs_of_life_up_to_the_position(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.inputs._SIGN_OF_LIFE_BYTES", 16)
    monkeypatch.setattr("app.storage.inputs._PIECE_BYTES", 16)
    job_id = uploads.submit(gzip.compress(csv_of(emails(COUNT))))
    uploads.engine.leg(job_id, is_stopping=lambda: uploads.target.call_count >= CALLS)
    assert uploads.verdicts(job_id) == {"CREATED": CALLS}
    SlowFile(uploads, monkeypatch, uploads.engine.ctx.settings.lease_s * 0.4)

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_who_is_asked_to_stop_does_not_read_to_the_end(uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = uploads.submit(with_blank_lines(8))
    slow = SlowFile(uploads, monkeypatch, 0.0)
    uploads.engine.leg(job_id, is_stopping=lambda: slow.piece_count >= 6)
    assert slow.piece_count < 10
    assert uploads.rows(job_id) == []

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}


def test_the_way_to_its_place_takes_nothing_from_the_time_of_a_leg(
    uploads: UploadDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.engine.configure(leg_s=10.0)
    job_id = uploads.submit(csv_of(emails(COUNT)))
    SlowFile(uploads, monkeypatch, 12.0)

    uploads.engine.leg(job_id)

    assert uploads.engine.job(job_id).status is JobStatus.COMPLETED
