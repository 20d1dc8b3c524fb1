"""What the evidence line of an upload tells of calls, compared with what the vendor saw."""

import pytest

from app.domain.jobs import JobStatus
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fakes.write_vendor import Trouble

COUNT = 8
LOOK_UP = {"path": "/people", "params": {"email": "{id}"}, "by": "email", "records": "", "after": "1ms"}


@pytest.mark.parametrize("is_taken", [True, False])
def test_look_ups_are_told_beside_the_calls_that_sent_rows(uploads: UploadDoor, is_taken: bool) -> None:
    uploads.declare(look_up=LOOK_UP)
    uploads.target.script.extend([Trouble(is_taken=is_taken), Trouble(is_taken=is_taken)])
    job_id = uploads.submit(csv_of(emails(COUNT)), identifier="email")

    assert uploads.run(job_id) is JobStatus.COMPLETED
    sent = COUNT if is_taken else COUNT + 2
    told = uploads.status(job_id)["metadata"]
    assert told["evidence"].startswith(
        f"{COUNT} rows read, {COUNT} sent by {sent} vendor calls; look-up calls besides: 2; {COUNT} created;"
    )
    assert uploads.engine.job(job_id).call_count == uploads.target.call_count == sent + 2
    assert told["verdicts"]["CREATED"] == COUNT


def test_look_ups_without_an_answer_are_told_too(uploads: UploadDoor) -> None:
    uploads.engine.configure(retry_tries=3)
    uploads.declare(look_up={**LOOK_UP, "records": "/not/there"})
    uploads.target.script.append(Trouble(is_taken=True))
    job_id = uploads.submit(csv_of(emails(1)), identifier="email")

    uploads.run(job_id)
    look_ups = uploads.target.call_count - 1
    assert look_ups > 0
    assert (
        f"1 sent by 1 vendor calls; look-up calls besides: {look_ups};"
        in uploads.status(job_id)["metadata"]["evidence"]
    )
