"""Whatever jobs, readers and sweeps do in whatever order: nothing that is needed goes, and everything else does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.db.jobs import Job
from app.domain.jobs import JobStatus
from app.domain.segments import segment_key
from app.errors import ConflictError, GoneError
from app.services import control, retention
from app.services.intake import Intake
from app.services.results import open_result
from app.services.retrying import retry_failed
from app.services.upload_job import find_target
from app.storage.reading import iter_plain
from tests.fakes.engine import Engine
from tests.fakes.upload_engine import UploadEngine, csv_of, emails

STEPS = 40
REFUSED = (ConflictError, GoneError)
"""What somebody is told who comes too late, or too early."""


@dataclass
class Reader:
    """Somebody who began to read a result that was there."""

    rest: Iterator[bytes]
    got: list[bytes]
    expected: bytes


class World:
    """Downloads and uploads on one database and one store."""

    def __init__(self, downloads: Engine, uploads: UploadEngine, seed: int) -> None:
        self.downloads, self.uploads = downloads, uploads
        self.store = downloads.ctx.store
        self.choice = random.Random(seed)
        self.readers: list[Reader] = []
        self.log: list[str] = []
        downloads.vendor.serve(37)

    # What happens ----------------------------------------------------------------------------------------------------

    def submit_download(self) -> None:
        job_id = self.downloads.submit(limit=self.choice.choice([None, 5, 15]))
        if self.choice.random() < 0.7:
            self.downloads.run(job_id)
        else:
            self.downloads.leg(job_id, is_stopping=self.downloads.after_calls(1))

    def submit_upload(self) -> None:
        job_id = self.uploads.submit(csv_of(emails(4)) + b",no address\n")
        if self.choice.random() < 0.7:
            self.uploads.run(job_id)

    def go_on(self) -> None:
        """A leg or more of a job that is under way."""
        for job in self._some(lambda job: not job.status.is_terminal):
            self._run(job)

    def restart(self) -> None:
        for job in self._some(lambda job: job.status.is_terminal):
            control.restart(self._engine(job).ctx, self._caller(job), job.id)

    def continue_from(self) -> None:
        for job in self._some(lambda job: job.status is JobStatus.COMPLETED and job.direction == "DOWNLOAD"):
            if job.has_more:
                self.downloads.run(self.downloads.submit(continue_from_job_id=job.id, object_name="", limit=10))

    def cancel(self) -> None:
        for job in self._some(lambda job: not job.status.is_terminal):
            control.cancel(self._engine(job).ctx, self._caller(job), job.id)

    def retry(self) -> None:
        for job in self._some(lambda job: job.direction == "UPLOAD"):
            retry_failed(self.uploads.engine.ctx, self._caller(job), job.id, is_uncertain_too=True)

    def delete(self) -> None:
        """By the user, who wants it at once; readers of that job would be broken off."""
        for job in self._some(lambda job: job.status.is_terminal):
            self.finish_reading()
            control.delete_files(self._engine(job).ctx, self._caller(job), job.id)

    def begin_reading(self) -> None:
        for job in self._some(lambda job: job.direction == "DOWNLOAD"):
            result = open_result(self.downloads.ctx, self._caller(job), job.id)
            expected = b"".join(iter_plain(self.store, result.segments))
            rest = iter_plain(self.store, result.segments)
            self.readers.append(Reader(rest, [next(rest, b"")], expected))

    def finish_reading(self) -> None:
        for reader in self.readers:
            assert b"".join([*reader.got, *reader.rest]) == reader.expected
        self.readers.clear()

    def lose_an_object(self) -> None:
        """What a writer that was killed has left."""
        for job in self._some(lambda job: job.direction == "DOWNLOAD" and job.status.is_terminal):
            if job.files_deleted_at is None:
                self.store.put(segment_key(job.id, job.run_number, 1, 99, 0, f"x{len(self.log)}"), [b"{}\n"])
                self.downloads.execute("update jobs set sweep_orphans_at = now() where id = %s", job.id)

    def lose_an_intake(self) -> None:
        tenant, engine = self.uploads.tenant, self.uploads.engine
        with engine.plain_db.connection() as conn:
            target = find_target(conn, tenant.organisation_id, tenant.instance_id, "people")
        Intake(engine.ctx, tenant.organisation_id, target, is_digested=False).keep([b"half"])
        if self.choice.random() < 0.5:
            engine.execute("update intakes set created_at = now() - interval '3 hours'")

    def expire(self) -> None:
        """Time passes for the files of some jobs, whatever they do."""
        for job in self._some(lambda _: True):
            passed = "files_expire_at = now() - interval '1 s'"
            self.downloads.execute(f"update jobs set {passed} where id = %s and files_expire_at is not null", job.id)

    def an_hour_later(self) -> None:
        self.finish_reading()
        self.downloads.execute("update jobs set sweep_orphans_at = now() where sweep_orphans_at is not null")

    def sweep(self) -> None:
        ctx = self.downloads.ctx
        retention.sweep_files(ctx)
        retention.sweep_orphans(ctx)
        retention.sweep_intakes(ctx)
        retention.forget_rows(ctx)

    # What must hold --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """All that may still be asked for is there, and whole."""
        for job in self._jobs():
            if job.files_deleted_at is not None:
                continue
            if job.direction == "UPLOAD":
                [row] = self.downloads.rows("select object_key, input_bytes from uploads where job_id = %s", job.id)
                assert self.store.size(row["object_key"]) == row["input_bytes"], (job, self.log)
            else:
                assert self.downloads.output(job.id).count(b"\n") == job.record_count, (job, self.log)
        for row in self.downloads.rows("select object_key from intakes where created_at > now() - interval '2 hours'"):
            assert self.store.size(row["object_key"]) == 4, self.log

    def end(self) -> None:
        """Every job runs to its end and is kept for as long as it may: then nothing at all is left."""
        while live := [job for job in self._jobs() if not job.status.is_terminal]:
            for job in live:
                self._run(job)
        self.downloads.execute("update jobs set sweep_orphans_at = now()")  # holders of before are long gone
        self.sweep()
        self.check()
        known = set(self.store.list())
        counted = {row["object_key"] for row in self.downloads.rows("select object_key from segments")}
        counted |= {row["object_key"] for row in self.downloads.rows("select object_key from intakes")}
        inputs = "select object_key from uploads join jobs on id = job_id where files_deleted_at is null"
        counted |= {row["object_key"] for row in self.downloads.rows(inputs)}
        assert known - counted == {key for key in known - counted if self._is_read(key)}, self.log
        self.downloads.execute("update jobs set files_expire_at = now() where files_expire_at is not null")
        self.downloads.execute("update intakes set created_at = now() - interval '3 hours'")
        self.sweep()
        self.an_hour_later()
        self.sweep()
        assert list(self.store.list()) == [], self.log
        assert self.downloads.rows("select 1 from segments") == []

    def _is_read(self, key: str) -> bool:
        """Whether the object is that of an expired job whose readers have their time."""
        kept = self.downloads.rows(
            "select id, object_key from jobs left join uploads on id = job_id"
            " where files_deleted_at is not null and sweep_orphans_at > now()"
        )
        return any(key.startswith(f"jobs/{row['id']}/") or key == row["object_key"] for row in kept)

    # Hands -----------------------------------------------------------------------------------------------------------

    def _jobs(self) -> list[Job]:
        return [self.downloads.job(row["id"]) for row in self.downloads.rows("select id from jobs order by number")]

    def _some(self, fits: Callable[[Job], bool]) -> list[Job]:
        found = [job for job in self._jobs() if fits(job)]
        return [self.choice.choice(found)] if found else []

    def _engine(self, job: Job) -> Engine:
        return self.downloads if job.direction == "DOWNLOAD" else self.uploads.engine

    def _caller(self, job: Job):  # type: ignore[no-untyped-def]  # noqa: ANN202 - what both engines have
        return (self.downloads.tenant if job.direction == "DOWNLOAD" else self.uploads.tenant).caller

    def _run(self, job: Job) -> None:
        self._engine(job).run(job.id)


ACTIONS = {
    World.submit_download: 4,
    World.submit_upload: 3,
    World.go_on: 2,
    World.restart: 4,
    World.continue_from: 3,
    World.cancel: 1,
    World.retry: 2,
    World.delete: 1,
    World.begin_reading: 3,
    World.finish_reading: 1,
    World.lose_an_object: 2,
    World.lose_an_intake: 2,
    World.expire: 4,
    World.an_hour_later: 2,
    World.sweep: 6,
}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_that_is_needed_goes_and_everything_else_does(
    seed: int, engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.lease._PAUSE_S", 0.001)
    engine.execute("update organisations set name = 'of downloads'")  # both engines call theirs alike
    uploads = UploadEngine(database_url, tmp_path / "store", retry_base_s=0.0)
    world = World(engine, uploads, seed)
    try:
        for action in world.choice.choices(list(ACTIONS), list(ACTIONS.values()), k=STEPS):
            world.log.append(action.__name__)
            try:
                action(world)
            except REFUSED as error:
                world.log[-1] += f" refused: {error}"
            world.check()
        world.end()
    finally:
        uploads.close()
