"""What is removed by itself: files past their time, objects that never counted, rows that nobody needs."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from app.db import checkpoints, idempotency, jobs, slices, workers
from app.db.checkpoints import Progress
from app.db.pool import Connection
from app.db.slices import Claim, HandBack
from app.domain.criteria import DownloadCriteria
from app.domain.jobs import JobStatus
from app.domain.segments import Segment, job_prefix, segment_key
from app.errors import DatabaseUnavailableError, GoneError, InvalidInputError, StorageError, StorageUnavailableError
from app.services import control, retention
from app.services.results import open_result
from app.services.submit import submit_download
from app.storage.files import FileStore
from app.storage.reading import iter_plain
from tests.fakes.engine import Engine, assert_exact
from workers.sweeper import Sweeper


def finished(engine: Engine, count: int = 25, limit: int | None = None) -> int:
    engine.vendor.serve(count)
    return engine.run(engine.submit(limit=limit)).id


def hold(engine: Engine, job_id: int) -> Claim:
    with engine.plain_db.connection() as conn:
        claim = slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30)
    assert claim is not None
    return claim


def store(engine: Engine, claim: Claim, *, sequence: int = 0, nonce: str = "x") -> str:
    """An object as a holder of `claim` would write it."""
    key = segment_key(claim.job_id, claim.run_number, claim.slice_number, sequence, claim.number, nonce)
    engine.ctx.store.put(key, [b"{}\n"])
    return key


def look(engine: Engine, job_id: int) -> int:
    """The next look for orphans, now."""
    engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)
    return retention.sweep_orphans(engine.ctx)


# Files past their time -----------------------------------------------------------------------------------------------


def test_files_go_after_the_retention_and_the_row_stays(engine: Engine) -> None:
    job_id, kept = finished(engine, limit=15), finished(engine)
    assert retention.sweep_files(engine.ctx) == 0
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)

    assert retention.sweep_files(engine.ctx) == 1
    look(engine, job_id)

    assert (engine.objects(job_id), engine.segments(job_id)) == (set(), [])
    job = engine.job(job_id)
    assert (job.status, job.record_count, job.files_expire_at) == (JobStatus.COMPLETED, 15, None)
    assert job.files_deleted_at is not None
    assert engine.slice(job_id)["skip"] == 5, "the position stays"
    with pytest.raises(GoneError):
        control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert_exact(engine, kept)
    assert retention.sweep_files(engine.ctx) == 0


def test_a_job_that_cannot_be_had_keeps_no_other_waiting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = finished(engine), finished(engine)
    engine.execute("update jobs set files_expire_at = now() - interval '1 s'")
    mark = jobs.mark_files_deleted

    def locked(conn: Connection, job_id: int, *, in_s: float) -> None:
        if job_id == stuck:
            raise DatabaseUnavailableError("canceling statement due to lock timeout")
        mark(conn, job_id, in_s=in_s)

    monkeypatch.setattr("app.services.retention.jobs.mark_files_deleted", locked)
    assert retention.sweep_files(engine.ctx) == 1
    assert (engine.job(stuck).files_deleted_at, len(engine.segments(stuck))) == (None, 3)
    assert engine.job(other).files_deleted_at is not None


def test_files_past_their_time_are_deleted_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = finished(engine)
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)
    retention.sweep_files(engine.ctx)

    def one_by_one(key: str) -> None:
        raise AssertionError(f"{key} alone")

    monkeypatch.setattr(engine.ctx.store, "delete", one_by_one)
    assert look(engine, job_id) == 3
    assert engine.objects(job_id) == set()


def test_half_written_objects_go_with_the_files(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket no listing of objects shows them, and their parts cost as much."""
    job_id = finished(engine)
    left = {f"{job_prefix(job_id)}1/1/x?uploadId=1": f"{job_prefix(job_id)}1/1/x"}
    monkeypatch.setattr(engine.ctx.store, "unfinished", lambda prefix: left if prefix == job_prefix(job_id) else {})
    discarded: list[str] = []
    monkeypatch.setattr(engine.ctx.store, "discard", discarded.append)
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)
    retention.sweep_files(engine.ctx)
    look(engine, job_id)
    assert discarded == list(left)


def test_no_folder_of_a_job_stays_behind_its_files(engine: Engine, tmp_path: Path) -> None:
    """One more for each job, for ever, would use up the disk's inodes."""
    files = FileStore(tmp_path / "store")
    engine.ctx = replace(engine.ctx, store=files)
    gone, kept = finished(engine), finished(engine)
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", gone)

    retention.sweep_files(engine.ctx)
    look(engine, gone)

    assert [path.name for path in (files.root / "jobs").iterdir()] == [str(kept)]


def test_folders_stay_while_somebody_may_still_write(engine: Engine, tmp_path: Path) -> None:
    """A run may go on in them: its next segment would find no folder."""
    files = FileStore(tmp_path / "store")
    engine.ctx = replace(engine.ctx, store=files)
    job_id = engine.submit()
    first = hold(engine, job_id)
    store(engine, first)
    engine.lose_holder(job_id)
    hold(engine, job_id)

    assert look(engine, job_id) == 1, "the first holder's object"

    assert [path.name for path in (files.root / "jobs").iterdir()] == [str(job_id)]


def test_a_restart_keeps_the_files_that_were_about_to_go(engine: Engine) -> None:
    """The list of expired jobs is a moment old when their files are dropped."""
    job_id = finished(engine, limit=15)
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)

    def restart(name: str, _conn: object) -> None:
        assert name == "after select id"
        engine.steps.arm(-1)
        control.restart(engine.ctx, engine.tenant.caller, job_id)

    engine.steps.arm(1, restart)
    assert retention.sweep_files(engine.ctx) == 0
    engine.run(job_id)
    assert_exact(engine, job_id)


def test_a_running_job_outlives_every_retention(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(1))
    engine.execute("update jobs set files_expire_at = now() - interval '1 s'")
    assert retention.sweep_files(engine.ctx) == 0
    engine.run(job_id)
    assert_exact(engine, job_id)


def test_who_reads_a_result_that_expires_comes_to_its_end(engine: Engine) -> None:
    """New readers are told that it is gone; the objects wait for those who are reading."""
    job_id = finished(engine)
    caller, expected = engine.tenant.caller, engine.output(job_id)
    result = open_result(engine.ctx, caller, job_id)
    reader = iter_plain(engine.ctx.store, result.segments)
    got = [next(reader)]
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)
    assert retention.sweep_files(engine.ctx) == 1
    retention.sweep_orphans(engine.ctx)

    with pytest.raises(GoneError):
        open_result(engine.ctx, caller, job_id)
    assert b"".join([*got, *reader]) == expected
    due = engine.one("select sweep_orphans_at - now() between interval '59 m' and interval '1 h' as ok from jobs")
    assert due == {"ok": True}
    look(engine, job_id)
    assert engine.objects(job_id) == set()


def test_files_that_expire_during_a_look_wait_for_their_readers(engine: Engine) -> None:
    """Wherever it falls; and the look that is due later is not forgotten."""
    for step in range(6):
        job_id = finished(engine)

        def expire(_name: str, _conn: object, job_id: int = job_id) -> None:
            engine.steps.arm(-1)
            engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", job_id)
            assert retention.sweep_files(engine.ctx) == 1

        engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)
        engine.steps.arm(step, expire)
        assert retention.sweep_orphans(engine.ctx) == 0
        assert len(engine.objects(job_id)) == 3, step
        if engine.job(job_id).files_deleted_at is not None:  # else the look was over before that step
            assert engine.job(job_id).sweep_orphans_at is not None, step
        engine.steps.arm(-1)


# What a job asks for -------------------------------------------------------------------------------------------------


def kept_hours(engine: Engine, job_id: int) -> float:
    row = engine.one(
        "select extract(epoch from files_expire_at - finished_at) / 3600 as hours from jobs where id = %s", job_id
    )
    return float(row["hours"])


def test_a_job_is_kept_for_as_long_as_it_asks(engine: Engine) -> None:
    engine.vendor.serve(25)
    asked = [engine.submit(), engine.submit(retention_hours=1), engine.submit(retention_hours=720, limit=15)]
    for job_id in asked:
        engine.run(job_id)
    assert [kept_hours(engine, job_id) for job_id in asked] == [72, 1, 720]

    control.restart(engine.ctx, engine.tenant.caller, asked[2])
    assert engine.job(asked[2]).files_expire_at is None, "nothing of a job that runs expires"
    engine.run(asked[2])
    assert kept_hours(engine, asked[2]) == 720


def test_who_goes_on_asks_anew_or_has_it_as_before(engine: Engine) -> None:
    engine.vendor.serve(57)
    first = engine.run(engine.submit(limit=10, retention_hours=5)).id
    second = engine.run(engine.submit(continue_from_job_id=first, object_name="", limit=10)).id
    third = engine.run(engine.submit(continue_from_job_id=second, object_name="", retention_hours=7)).id
    assert [kept_hours(engine, job_id) for job_id in (first, second, third)] == [5, 5, 7]


def test_a_ceiling_is_never_passed_also_where_it_was_lowered(engine: Engine) -> None:
    engine.vendor.serve(25)
    with pytest.raises(InvalidInputError, match=r"retentionHours 721 is more than .* 1 to 720") as caught:
        engine.submit(retention_hours=721)
    assert caught.value.field == "/retentionHours"
    assert engine.rows("select id from jobs") == []
    job_id = engine.submit(retention_hours=720)
    engine.configure(retention_max_s=7200.0)
    engine.run(job_id)
    assert kept_hours(engine, job_id) == 2


def test_a_job_whose_source_expired_goes_on_all_the_same(engine: Engine) -> None:
    """It needs the source's row and what the chain remembers, not its files."""
    engine.vendor.serve(57)
    first = engine.run(engine.submit(limit=25)).id
    engine.execute("update jobs set files_expire_at = now() - interval '1 s' where id = %s", first)
    retention.sweep_files(engine.ctx)
    look(engine, first)
    retention.forget_rows(engine.ctx)

    second = engine.run(engine.submit(continue_from_job_id=first, object_name="", limit=100)).id
    assert_exact(engine, second, first=26)


# Orphans -------------------------------------------------------------------------------------------------------------


def test_exactly_what_nobody_can_commit_is_removed(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    dead = hold(engine, job_id)
    orphan = store(engine, dead, sequence=2)
    engine.lose_holder(job_id)
    living = hold(engine, job_id)
    written = store(engine, living, sequence=2, nonce="y")
    stranger = f"jobs/{job_id}/1/1/readme.txt"
    engine.ctx.store.put(stranger, [b"?"])

    assert look(engine, job_id) == 2

    assert engine.orphans(job_id) == {written}
    assert orphan not in engine.objects(job_id)
    engine.lose_holder(job_id)
    assert look(engine, job_id) == 0, "its lease is over, but it may commit until somebody else claims"
    engine.run(job_id)
    assert look(engine, job_id) == 1
    assert_exact(engine, job_id)


@pytest.mark.parametrize("goes_on", ["commits", "hands_back", "is_taken_over"])
def test_a_commit_during_the_look_is_safe_wherever_it_falls(engine: Engine, goes_on: str) -> None:
    """When the look begins the object has no row; its holder commits it then, and lets go."""
    for step in range(6):
        job_id = engine.submit()
        claim = hold(engine, job_id)
        key = store(engine, claim)

        def strike(_name: str, _conn: object, claim: Claim = claim, key: str = key) -> None:
            engine.steps.arm(-1)
            with engine.plain_db.connection() as conn:
                segment = Segment(key, "plain", 1, 3, 3, 0, ())
                progress = Progress(claim.position, [segment], 1, 1, 3, 0, 0, None)
                assert checkpoints.advance(conn, claim.slice_id, claim.number, 0, progress, sequence=0, lease_s=30)
                if goes_on != "commits":
                    assert slices.hand_back(conn, claim.slice_id, claim.number, HandBack(0.0, 0))
                if goes_on == "is_taken_over":
                    assert slices.claim(conn, claim.slice_id, worker_id=None, lease_s=30)

        engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)
        engine.steps.arm(step, strike)
        assert retention.sweep_orphans(engine.ctx) == 0
        assert len(engine.segments(job_id)) == 1, step
        assert engine.objects(job_id) == {key}, step


def test_a_crash_plans_a_look_and_a_look_that_was_asked_for_meanwhile_is_kept(engine: Engine) -> None:
    job_id = engine.submit()
    hold(engine, job_id)
    engine.lose_holder(job_id)
    hold(engine, job_id)
    planned = engine.job(job_id).sweep_orphans_at
    assert planned is not None
    assert planned > engine.one("select now() + interval '50 s' as soon")["soon"], (
        "a frozen holder may write until then"
    )

    engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)

    def crash_again(name: str, _conn: object) -> None:
        assert name == "after select id,"
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        hold(engine, job_id)

    engine.steps.arm(1, crash_again)
    retention.sweep_orphans(engine.ctx)
    assert engine.job(job_id).sweep_orphans_at is not None


def test_a_store_that_fails_for_one_job_does_not_stop_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = finished(engine), finished(engine)
    for job_id in (bad, good):
        engine.ctx.store.put(segment_key(job_id, 1, 1, 9, 1, "orphan"), [b"{}\n"])
        engine.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)
    listed = engine.ctx.store.list

    def fail(prefix: str = "") -> Iterable[str]:
        if str(bad) in prefix:
            raise StorageUnavailableError("no answer")
        return listed(prefix)

    monkeypatch.setattr(engine.ctx.store, "list", fail)
    assert retention.sweep_orphans(engine.ctx) == 1
    assert engine.orphans(good) == set()
    due = engine.one("select sweep_orphans_at > now() + interval '30 s' as later from jobs where id = %s", bad)
    assert due == {"later": True}, "tried again, and not before everybody else"


def test_a_deletion_that_fails_half_way_is_finished_by_the_sweep(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = finished(engine)

    def fail(_: str) -> None:
        raise StorageError("no permission to delete a folder")

    with monkeypatch.context() as patch:
        patch.setattr(engine.ctx.store, "delete_prefix", fail)
        with pytest.raises(StorageError):
            control.delete_files(engine.ctx, engine.tenant.caller, job_id)
    assert engine.segments(job_id) == []
    assert retention.sweep_orphans(engine.ctx) > 0
    assert engine.objects(job_id) == set()


def test_a_deletion_does_not_bring_a_planned_look_forward(engine: Engine) -> None:
    """A holder that was fenced a moment ago may still write: the look waits for it."""
    job_id = engine.submit()
    hold(engine, job_id)
    engine.lose_holder(job_id)
    control.cancel(engine.ctx, engine.tenant.caller, job_id)
    planned = engine.job(job_id).sweep_orphans_at
    assert control.delete_files(engine.ctx, engine.tenant.caller, job_id).sweep_orphans_at == planned


# Rows ----------------------------------------------------------------------------------------------------------------


def test_rows_are_forgotten_long_after_their_files(engine: Engine) -> None:
    old, young, kept = finished(engine), finished(engine), finished(engine)
    submit_download(
        engine.ctx, engine.tenant.caller, DownloadCriteria("records"), idempotency_key="k", request_digest="d"
    )
    engine.execute(
        "update jobs set finished_at = now() - interval '95 days' where id in (%s, %s, %s)", old, young, kept
    )
    engine.execute("update jobs set files_deleted_at = now() - interval '91 days' where id = %s", old)
    engine.execute("update jobs set files_deleted_at = now() - interval '89 days' where id = %s", young)
    engine.execute("update idempotency_keys set created_at = now() - interval '25 hours'")
    with engine.plain_db.connection() as conn:
        gone = workers.register(conn, name="gone", slots=1, version="1")
        here = workers.register(conn, name="here", slots=1, version="1")
    engine.execute("update workers set stopped_at = now() - interval '2 days' where id = %s", gone)

    assert not retention.forget_rows(engine.ctx), "nothing more is left"

    assert engine.rows("select id from jobs where id = %s", old) == []
    assert engine.rows("select 1 from segments where job_id = %s", old) == []
    assert len(engine.rows("select id from jobs where id in (%s, %s)", young, kept)) == 2
    assert engine.rows("select id from workers") == [{"id": here}]
    with engine.plain_db.transaction() as conn:
        again = idempotency.claim(conn, engine.tenant.organisation_id, "k", "another")
    assert isinstance(again, idempotency.Claimed)


def test_a_row_stays_until_its_objects_are_gone(engine: Engine) -> None:
    """Nobody would look for them afterwards."""
    job_id = finished(engine)
    engine.execute(
        "update jobs set files_deleted_at = now() - interval '91 days',"
        " sweep_orphans_at = now() + interval '1 minute' where id = %s",
        job_id,
    )
    retention.forget_rows(engine.ctx)
    assert engine.rows("select id from jobs where id = %s", job_id) != []

    look(engine, job_id)
    retention.forget_rows(engine.ctx)
    assert engine.rows("select id from jobs where id = %s", job_id) == []


def test_more_rows_than_a_pass_takes_do_not_wait_for_a_minute(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a day could bring more of them than it removes."""
    monkeypatch.setattr(retention, "_ROW_BATCH", 2)
    for _ in range(3):
        finished(engine)
    engine.execute("update jobs set files_deleted_at = now() - interval '91 days'")
    sweeper = Sweeper(engine.ctx)
    with closing(engine.ctx.db.dedicated()) as sweeper._conn:
        for left in (1, 0, 0):
            sweeper._swept_at = float("-inf")  # a pass would otherwise wait for its second
            sweeper._pass()
            assert sweeper._tidier is not None
            sweeper._tidier.join()
            assert len(engine.rows("select id from jobs")) == left
    assert sweeper._forgot_at > 0, "nothing was left, so it waits now"
