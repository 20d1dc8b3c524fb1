"""Whole jobs whose uploads, segments and results lie with Google and Azure."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.domain.jobs import JobStatus
from app.services import control, retention
from app.storage.objects import ObjectStore
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails


@pytest.fixture(params=["make_gs", "make_azure"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    make: Callable[[str], ObjectStore] = request.getfixturevalue(request.param)
    return make("/haulage")


def test_a_download_is_read_back_and_goes_on_and_goes_away(engine: Engine, store: ObjectStore) -> None:
    engine.ctx = replace(engine.ctx, store=store)
    engine.vendor.serve(57)
    job_id = engine.submit(limit=30)
    assert engine.run(job_id, pages_per_leg=1).status is JobStatus.COMPLETED
    assert_exact(engine, job_id, last=30)
    assert engine.orphans(job_id) == set()

    control.restart(engine.ctx, engine.tenant.caller, job_id)
    engine.run(job_id)
    assert_exact(engine, job_id)

    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)
    retention.sweep_files(engine.ctx)
    engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)
    retention.sweep_orphans(engine.ctx)
    assert list(store.list()) == []


def test_an_upload_reads_its_file_from_there(uploads: UploadDoor, store: ObjectStore) -> None:
    uploads.engine.ctx = replace(uploads.engine.ctx, store=store)
    job_id = uploads.submit(csv_of(emails(20)))
    assert len(list(store.list("uploads/"))) == 1

    assert uploads.run(job_id) is JobStatus.COMPLETED
    assert uploads.target.created == Counter(emails(20))

    control.delete_files(uploads.engine.ctx, uploads.tenant.caller, job_id)
    assert list(store.list()) == []
