"""Schedules, where two meet at one: what is read behind the row's lock is as the holder before left it."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.db import schedules
from app.db.schedules import Schedule
from app.errors import ConflictError
from app.services.schedule_runs import submit_run
from app.services.schedules import run_now
from tests.fakes.engine import Engine
from tests.fakes.schedules import Planner, at
from tests.fixtures.waiting import wait_until

# Whoever has said so reads the instances only while nobody has closed the gate: the only way to stop a statement
# between its snapshot, by which it sees other tables, and the locks that it takes.
GATE = """
create function pass_gate() returns boolean language plpgsql as $$ begin
  if current_setting('test.stops', true) = 'yes' then perform pg_advisory_xact_lock_shared(77); end if;
  return true;
end $$;
alter table instances rename to all_instances;
create view instances as select * from all_instances where pass_gate();
"""


@pytest.fixture
def planner(engine: Engine) -> Planner:
    return Planner(engine, "2026-05-01 00:00")


def wait_for_waiting(engine: Engine, event: str) -> None:
    waits = "select 1 as found from pg_stat_activity where datname = current_database() and wait_event = %s"
    wait_until(lambda: engine.rows(waits, event), f"somebody who waits for a lock ({event})")


def test_a_sweeper_that_looked_before_another_one_took_a_run_makes_none_beside_it(planner: Planner) -> None:
    """Two times are due, which must not overlap: once the first is taken the second has to wait for its job."""
    engine, now = planner.engine, at("2026-05-01 02:30")
    schedule_id = planner.create(catchUp="all", cron="0 * * * *")
    engine.execute(GATE)
    is_read, may_end = threading.Event(), threading.Event()

    def late() -> Schedule | None:
        with engine.plain_db.transaction() as conn:
            conn.execute("select set_config('test.stops', 'yes', true)")
            found = schedules.lock_due(conn, schedule_id, now)
            is_read.set()
            may_end.wait(30)
            return found

    with ThreadPoolExecutor(1) as pool:
        with engine.plain_db.transaction() as gate:
            gate.execute("select pg_advisory_xact_lock(77)")
            found: Future[Schedule | None] = pool.submit(late)
            wait_for_waiting(engine, "advisory")
            planner.sweep(now)
        assert is_read.wait(30)
        taken = planner.runs(schedule_id)
        may_end.set()
    assert bool(found.result()) + len(taken) == 1, "one of them has the schedule, and only one"


def test_of_two_who_let_it_run_now_the_second_finds_the_first_under_way(planner: Planner) -> None:
    engine, tenant = planner.engine, planner.engine.tenant
    schedule_id = planner.create()

    with ThreadPoolExecutor(1) as pool:
        with engine.plain_db.transaction() as conn:
            schedule = schedules.get(conn, tenant.organisation_id, tenant.instance_id, schedule_id, lock=True)
            second = pool.submit(run_now, engine.ctx, tenant.caller, schedule_id)
            wait_for_waiting(engine, "transactionid")
            submission, _ = submit_run(engine.ctx, conn, schedule)
            schedules.go_on(conn, schedule_id, schedule.next_due_at, submission.job_id)
        with pytest.raises(ConflictError, match=f"Job {submission.job_id} of the run before is under way"):
            second.result()
