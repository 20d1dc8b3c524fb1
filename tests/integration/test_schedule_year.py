"""A year of schedules in simulated time: clock changes, several sweepers, kills, broken connections, doubtful COMMITs.

Which times are due is found by a walk through every minute of the year, with another reader of cron expressions.
"""

import random
import threading
import time
from dataclasses import replace
from datetime import datetime
from itertools import cycle
from zoneinfo import ZoneInfo

from app.domain.schedules import CatchUp, RunState
from app.errors import TransientError
from app.services.context import Context
from app.services.schedule_runs import take_due
from tests.fakes.engine import Engine
from tests.fakes.minutes import due_minutes
from tests.fakes.schedules import Planner, at
from tests.fakes.steps import Killed, SteppedDatabase, Steps, cut, kill

BEGIN, END = at("2026-01-01 00:00"), at("2027-01-01 00:00")
CRONS = {
    # A classic expression, which the other reader knows, and how it is given: so Quartz's forms are tried as well.
    ("30 2 * * *", "Europe/Berlin"): "30 2 * * *",
    ("0 0 * 4,9 *", "America/Santiago"): "0 0 0 * 4,9 ?",
    ("30 1 * * SUN", "America/New_York"): "0 30 1 ? * 1",
    ("*/20 2 * 3,4,10,11 SUN", "Australia/Sydney"): "*/20 2 * MAR,APR,OCT,NOV SUN",
    ("45 1,2 * 4,10 *", "Australia/Lord_Howe"): "0 45 1,2 ? APR,OCT * 2026-2027",
    ("30 * 25 10 *", "Europe/London"): "30 * 25 10 *",
    ("15 * 29 3 *", "Europe/Berlin"): "0 15 * 29 3 ?",
    ("0 9 * 6 1-5", "Asia/Kolkata"): "0 0 9 ? 6 MON-FRI",
    ("0 12 L * *", "Africa/Casablanca"): "0 0 12 L * ?",
    ("59 23 31 12 *", "Pacific/Auckland"): "59 23 31 12 *",
}
SWEEPERS = 3
_CROWDED = """
select schedule_id from schedule_runs join jobs on jobs.id = job_id where status = 'CREATED'
group by schedule_id having count(*) > 1
"""


class Sweeper(threading.Thread):
    """Sweeps at whatever time it is until the year is over. Now and then it dies, or its connection does, and another
    one begins in its place.
    """

    def __init__(self, ctx: Context, year: "Year", seed: int) -> None:
        super().__init__(name=f"sweeper {seed}", daemon=True)
        self._dice = random.Random(seed)
        self._steps = Steps()
        self._ctx = replace(ctx, db=SteppedDatabase(ctx.settings.database_url, self._steps, max_size=2))
        self._year = year
        self.struck: set[str] = set()
        self.fault: BaseException | None = None

    def run(self) -> None:
        self._ctx.db.open()
        try:
            while self._year.is_any_due.wait() and not self._year.is_over:
                self._sweep()
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.fault = error
        self._ctx.db.close()

    def _sweep(self) -> None:
        is_struck = self._dice.random() < 0.25
        self._steps.arm(self._dice.randrange(30) if is_struck else -1, self._dice.choice([kill, cut]))
        try:
            take_due(self._ctx, self._year.planner.now)
        except (Killed, TransientError):
            self.struck.add(self._steps.names[-1])
        finally:
            self._year.rounds += 1


class Year:
    """The clock, and the jobs, which end by themselves."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.is_any_due = threading.Event()
        self.is_over = False
        self.rounds = 0

    def pass_by(self, dice: random.Random, due: list[datetime]) -> None:
        """From due time to due time, and at times far over some. Some jobs fail."""
        planner = self.planner
        while planner.now < END:
            ahead = [each for each in due if each > planner.now]
            jump = dice.choice([0, 0, 0, 1, 5, 40])
            planner.now = ahead[min(jump, len(ahead) - 1)] if ahead else END
            self._let_sweep()

    def _let_sweep(self) -> None:
        """Until nothing is due any more: what is due now must not hang on what is swept later."""
        while self.planner.engine.rows("select id from schedules where next_due_at <= %s", self.planner.now):
            crowded = self.planner.engine.rows(_CROWDED)
            assert crowded == [], "no run beside the one before"
            self.planner.end_jobs("ABORTED" if self.rounds % 5 == 0 else "COMPLETED")
            seen = self.rounds
            self.is_any_due.set()
            while self.rounds == seen:
                time.sleep(0.001)
        self.is_any_due.clear()

    def end(self) -> None:
        self.is_over = True
        self.is_any_due.set()


def test_each_due_time_of_a_year_is_taken_exactly_once(engine: Engine) -> None:
    planner = Planner(engine, f"{BEGIN:%Y-%m-%d %H:%M}")
    due, policies = {}, {}
    for ((cron, zone), text), policy in zip(CRONS.items(), cycle(CatchUp), strict=False):
        schedule_id = planner.create(None, cron=text, timeZone=zone, catchUp=policy.value, catchUpLimit=1000)
        due[schedule_id] = due_minutes(cron, ZoneInfo(zone), BEGIN, END)
        policies[schedule_id] = policy
    year = Year(planner)
    sweepers = [Sweeper(engine.ctx, year, seed) for seed in range(SWEEPERS)]
    for each in sweepers:
        each.start()
    year.pass_by(random.Random(7), sorted({at for times in due.values() for at in times}))
    year.end()
    for each in sweepers:
        each.join()

    assert [each.fault for each in sweepers if each.fault is not None] == []
    for schedule_id, times in due.items():
        runs = planner.runs(schedule_id)
        taken = [at for run in runs for at in times if run.first_due_at <= at <= run.due_at]
        assert taken == times, "each once, oldest first"
        assert {run.first_due_at for run in runs} | {run.due_at for run in runs} <= set(times)
        assert [run.number for run in runs] == list(range(1, len(runs) + 1))
        if policies[schedule_id] is CatchUp.ALL:
            assert [run.due_at for run in runs if run.state is RunState.SUBMITTED] == times
        if policies[schedule_id] is CatchUp.ONE:
            assert {run.state for run in runs} == {RunState.SUBMITTED}
    jobs = [job_id for schedule_id in due for job_id in planner.job_ids(schedule_id)]
    assert sorted(jobs) == sorted(row["id"] for row in engine.rows("select id from jobs")), "no job without its run"
    assert len(set(jobs)) == len(jobs)
    struck = set().union(*(each.struck for each in sweepers))
    assert {"before commit", "after commit"} <= struck, struck
