"""What the legs of an upload do where the file is slow to read, or cannot be read on."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from app.domain.jobs import JobStatus, StopReason
from app.domain.rows import BadRow, Row
from app.errors import StorageUnavailableError
from app.services.upload_plan import rows_of
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails

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

    def broken(*args: Any, **named: Any) -> Iterator[Row | BadRow]:
        yield from islice(rows_of(*args, **named), 6)
        raise StorageUnavailableError("The store does not answer.")

    monkeypatch.setattr("app.services.upload.rows_of", broken)
    job_id = uploads.submit(csv_of(emails(COUNT)))
    uploads.engine.leg(job_id)
    assert uploads.in_doubt(job_id) == 0
    monkeypatch.undo()

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.verdicts(job_id) == {"CREATED": COUNT}
