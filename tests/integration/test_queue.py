"""Who is hinted at next: fair over tenants, then over their instances, and what operators are told of the queue."""

from datetime import UTC, datetime, timedelta

from app.db import queue, slices
from tests.fakes.engine import Engine, Tenant

HOUR_S = 3600.0


def submit_many(engine: Engine, tenant: Tenant, count: int) -> list[int]:
    """The slices of `count` new jobs, the oldest first."""
    return [engine.slice_of(engine.submit(tenant)) for _ in range(count)]


def due(engine: Engine, limit: int = 100, fresh_s: float = HOUR_S) -> list[int]:
    with engine.plain_db.connection() as conn:
        return queue.find_due_slices(conn, fresh_s=fresh_s, limit=limit)


def claim(engine: Engine, slice_id: int) -> None:
    with engine.plain_db.connection() as conn:
        assert slices.claim(conn, slice_id, worker_id=None, lease_s=30) is not None


def test_tenants_take_turns_however_many_jobs_one_has(engine: Engine) -> None:
    big, small, late = engine.tenant, engine.add_tenant(), engine.add_tenant()
    of_big, of_small, of_late = (submit_many(engine, each, n) for each, n in ((big, 5), (small, 2), (late, 1)))
    assert due(engine) == [of_big[0], of_small[0], of_late[0], of_big[1], of_small[1], *of_big[2:]]
    assert due(engine, limit=3) == [of_big[0], of_small[0], of_late[0]]


def test_the_instances_of_a_tenant_take_turns(engine: Engine) -> None:
    busy = engine.tenant
    quiet = Tenant(busy.organisation_id, engine.add_instance(busy.organisation_id))
    of_busy, of_quiet = submit_many(engine, busy, 4), submit_many(engine, quiet, 2)
    assert due(engine) == [of_busy[0], of_quiet[0], of_busy[1], of_quiet[1], *of_busy[2:]]


def test_what_a_tenant_has_running_counts_as_its_turn(engine: Engine) -> None:
    running, waiting = engine.tenant, engine.add_tenant()
    of_running, of_waiting = submit_many(engine, running, 4), submit_many(engine, waiting, 3)
    claim(engine, of_running[0])
    claim(engine, of_running[1])
    assert due(engine) == [*of_waiting[:2], of_running[2], of_waiting[2], of_running[3]]


def test_only_due_slices_that_nobody_holds_are_found(engine: Engine) -> None:
    held, waits, ended, expired, plain = submit_many(engine, engine.tenant, 5)
    claim(engine, held)
    engine.execute("update slices set next_run_at = now() + interval '1 hour' where id = %s", waits)
    engine.execute("update slices set next_run_at = null where id = %s", ended)
    claim(engine, expired)
    engine.execute("update slices set lease_expires_at = now() where id = %s", expired)
    assert sorted(due(engine)) == [expired, plain]
    with engine.plain_db.connection() as conn:
        assert (queue.due_count(conn), queue.held_count(conn)) == (2, 1)


def test_a_fresh_hint_is_not_repeated(engine: Engine) -> None:
    first, second = submit_many(engine, engine.tenant, 2)
    with engine.plain_db.connection() as conn:
        queue.mark_nudged(conn, [first])
    assert due(engine) == [second]
    assert due(engine, fresh_s=0.0) == [first, second]
    with engine.plain_db.connection() as conn:
        queue.forget_nudge(conn, [first])
    assert due(engine) == [first, second]


def test_a_slice_that_somebody_took_meanwhile_is_not_marked(engine: Engine) -> None:
    """It would count as hinted at when it is due again."""
    held, waits = submit_many(engine, engine.tenant, 2)
    claim(engine, held)
    engine.execute("update slices set next_run_at = now() + interval '1 hour' where id = %s", waits)
    with engine.plain_db.connection() as conn:
        queue.mark_nudged(conn, [held, waits])
    assert engine.one("select count(nudged_at)::int as n from slices")["n"] == 0


def test_marking_hints_waits_for_nobody(engine: Engine) -> None:
    first, second = submit_many(engine, engine.tenant, 2)
    with engine.plain_db.transaction() as holder:
        holder.execute("select 1 from slices where id = %s for update", (first,))
        with engine.plain_db.connection() as conn:
            queue.mark_nudged(conn, [first, second])
    assert due(engine) == [first]


def test_the_next_time_is_that_of_a_wait_or_a_lease(engine: Engine) -> None:
    held, waits = submit_many(engine, engine.tenant, 2)
    with engine.plain_db.connection() as conn:
        assert queue.look(conn).next_due_at is None, "everything is due now"
    engine.execute("update slices set next_run_at = now() + interval '1 hour' where id = %s", waits)
    claim(engine, held)
    row = engine.one("select lease_expires_at as lease from slices where id = %s", held)
    with engine.plain_db.connection() as conn:
        assert queue.look(conn).next_due_at == row["lease"]
    engine.execute("update slices set lease_expires_at = null, next_run_at = null where id = %s", held)
    with engine.plain_db.connection() as conn:
        at = queue.look(conn).next_due_at
    assert at is not None
    assert at > datetime.now(UTC) + timedelta(minutes=50)


def test_the_age_of_the_oldest_due_work_is_known(engine: Engine) -> None:
    with engine.plain_db.connection() as conn:
        assert queue.oldest_due_age_s(conn) == 0
    old, crashed = submit_many(engine, engine.tenant, 2)
    engine.execute("update slices set next_run_at = now() - interval '90 s' where id = %s", old)
    with engine.plain_db.connection() as conn:
        assert 90 <= queue.oldest_due_age_s(conn) < 600
    claim(engine, old)
    engine.execute("update slices set next_run_at = now() - interval '1 hour' where id = %s", crashed)
    claim(engine, crashed)
    engine.execute("update slices set lease_expires_at = now() - interval '40 s' where id = %s", crashed)
    with engine.plain_db.connection() as conn:
        assert 40 <= queue.oldest_due_age_s(conn) < 600, "since the lease ran out, not since the job began"


def test_a_long_queue_is_given_whole(engine: Engine) -> None:
    count = 500
    first = engine.slice_of(engine.submit())
    engine.execute(
        "insert into slices (job_id, run_number, number, organisation_id, instance_id, page_size, next_run_at)"
        " select job_id, run_number, n, organisation_id, instance_id, 10, now() from slices, generate_series(2, %s) n"
        " where id = %s",
        count,
        first,
    )
    assert len(due(engine, limit=count + 1)) == count
