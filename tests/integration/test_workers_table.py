"""Worker processes: a row, a lock that dies with the process, and what follows from its death."""

from collections.abc import Iterator

import pytest

from app.db import slices, workers
from app.db.pool import Connection
from tests.fakes.engine import Engine
from tests.fixtures.waiting import wait_until
from workers.life import Life


@pytest.fixture(autouse=True)
def _old_server(engine: Engine) -> None:
    wait_until(
        lambda: engine.one("select pg_postmaster_start_time() < now() - interval '10 s' as old")["old"],
        "a server that is not new",
    )


@pytest.fixture
def line(engine: Engine) -> Iterator[Connection]:
    """The connection of a worker process."""
    connection = engine.plain_db.dedicated()
    yield connection
    connection.close()


def silence(engine: Engine) -> None:
    engine.execute("update workers set seen_at = now() - interval '1 minute'")


def expire(engine: Engine) -> int:
    with engine.plain_db.connection() as conn:
        return workers.expire_dead(conn, silent_s=2.0)


def hold(engine: Engine, worker_id: int) -> int:
    job_id = engine.submit()
    with engine.plain_db.connection() as conn:
        assert slices.claim(conn, engine.slice_of(job_id), worker_id=worker_id, lease_s=30) is not None
    return job_id


def test_a_process_that_holds_its_lock_is_alive_however_silent(engine: Engine, line: Connection) -> None:
    hold(engine, workers.register(line, name="w", slots=1, version="1"))
    silence(engine)
    assert expire(engine) == 0


def test_the_lock_goes_with_the_connection_and_the_leases_with_the_lock(engine: Engine, line: Connection) -> None:
    worker_id = workers.register(line, name="w", slots=1, version="1")
    jobs = [hold(engine, worker_id), hold(engine, worker_id)]
    waiting = engine.submit()
    silence(engine)
    line.close()
    assert wait_until(lambda: expire(engine), "the lock to go") == 2
    for job_id in jobs:
        with engine.plain_db.connection() as conn:
            claim = slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30)
        assert claim is not None
        assert claim.crash_count == 1
    assert engine.slice(waiting)["lease_expires_at"] is None
    assert expire(engine) == 0, "a process dies once"


def test_a_process_that_was_taken_for_dead_comes_back(engine: Engine, line: Connection) -> None:
    worker_id = workers.register(line, name="w", slots=3, version="1")
    line.close()
    silence(engine)
    wait_until(lambda: expire(engine) or engine.rows("select 1 from workers where stopped_at is not null"), "its end")
    with engine.plain_db.connection() as conn:
        assert workers.slots_alive(conn) == 0
        workers.touch(conn, worker_id)
        assert workers.slots_alive(conn) == 3


def test_only_living_processes_have_slots(engine: Engine, line: Connection) -> None:
    ids = [workers.register(line, name=f"w{slots}", slots=slots, version="1") for slots in (1, 2, 4)]
    engine.execute("update workers set seen_at = now() - interval '31 s' where id = %s", ids[0])
    workers.stop(line, ids[1])
    assert workers.slots_alive(line) == 4


def test_a_process_shows_its_life_and_says_goodbye(engine: Engine) -> None:
    life = Life(engine.plain_db, slots=2, version="1")
    life.start()
    assert life.worker_id is not None
    silence(engine)
    assert expire(engine) == 0

    def seen() -> bool:
        return bool(engine.one("select seen_at > now() - interval '10 s' as now from workers")["now"])

    wait_until(seen, "a sign of life")
    life.stop()
    row = engine.one("select stopped_at, slots from workers")
    assert row["stopped_at"] is not None
    assert row["slots"] == 2

    def is_let_go() -> bool:
        return not engine.rows("select 1 from pg_locks where locktype = 'advisory' and objid = %s", life.worker_id)

    wait_until(is_let_go, "the lock to go")


def test_a_lost_connection_is_made_anew_with_the_same_row(engine: Engine) -> None:
    life = Life(engine.plain_db, slots=2, version="1")
    life.start()

    def cut() -> int:
        return len(
            engine.rows(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = %s and granted",
                life.worker_id,
            )
        )

    def is_locked() -> bool:
        rows = engine.rows("select pid from pg_locks where locktype = 'advisory' and objid = %s", life.worker_id)
        return len(rows) == 1 and rows[0]["pid"] not in before

    before = {row["pid"] for row in engine.rows("select pid from pg_locks where locktype = 'advisory'")}
    assert cut() == 1
    wait_until(is_locked, "the lock on another connection")
    assert len(engine.rows("select id from workers")) == 1
    life.stop()
