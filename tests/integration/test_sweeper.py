"""The sweeper's loop: woken at once by what becomes due, and not once for each of many."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.db import notices, workers
from app.errors import BrokerUnavailableError
from app.services import retention, workflows
from app.services import sweep as passes
from app.services.context import Context
from app.services.schedules import create_schedule
from app.services.sweep import Pass
from tests.fakes.engine import Engine, Hints
from tests.fakes.schedules import wish
from tests.fixtures.waiting import wait_until
from workers import sweeper as process
from workers.sweeper import Sweeper

_LONG_S = 600.0


class Log:
    """The passes that were made, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        for name in ("hint", "sweep"):
            monkeypatch.setattr(process, name, self._logged(name))

    def _logged(self, name: str) -> Any:
        def made(ctx: Context) -> Pass:
            done: Pass = getattr(passes, name)(ctx)
            self.names.append(name)
            return done

        return made


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Passes that only notifications and the first start cause."""
    monkeypatch.setattr(process, "_WATCH_S", _LONG_S)
    return Log(monkeypatch)


@contextmanager
def running(engine: Engine, log: Log) -> Iterator[None]:
    """A sweeper that sleeps for ever once its first pass is made, unless it is woken."""
    engine.configure(sweep_s=_LONG_S)
    sweeper = Sweeper(engine.ctx)
    thread = threading.Thread(target=sweeper.run)
    thread.start()
    try:
        wait_until(lambda: log.names == ["sweep"], "the first pass")
        log.names.clear()
        yield
    finally:
        sweeper.stop()
        thread.join()


def wake(engine: Engine) -> None:
    with engine.plain_db.connection() as conn:
        notices.wake_sweepers(conn)


def test_a_submission_is_hinted_at_before_anything_else_is_looked_after(
    engine: Engine, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(engine, log):
        monkeypatch.setattr(process, "_WATCH_S", 0.0)
        job_id = engine.submit()
        wait_until(lambda: "sweep" in log.names, "a whole pass")
        assert log.names[0] == "hint"
        assert [row_id for _, row_id in engine.hints.sent] == [engine.slice_of(job_id)]


def test_a_store_that_does_not_answer_holds_up_no_hint(
    engine: Engine, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(_: Context) -> int:
        asked.set()
        answer.wait(30)
        return 0

    monkeypatch.setattr(retention, "sweep_orphans", hang)
    with running(engine, log):
        assert asked.wait(10)
        job_id = engine.submit()
        wait_until(lambda: engine.hints.sent, "the hint")
        assert [row_id for _, row_id in engine.hints.sent] == [engine.slice_of(job_id)]
        answer.set()


def test_many_notifications_are_answered_by_one_pass(engine: Engine, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(engine, log):
        wake(engine)
        wait_until(lambda: log.names, "a pass")
        monkeypatch.setattr(process, "_TOGETHER_S", 2.0)
        made = [engine.slice_of(engine.submit()) for _ in range(5)]
        wake(engine)
        wait_until(lambda: len(engine.hints.sent) == len(made), "the hints")
        wake(engine)
        wait_until(lambda: len(log.names) == 3, "the pass of the last notification")
        assert log.names == ["hint"] * 3


def test_more_due_work_than_hints_is_looked_at_again_without_being_told(
    engine: Engine, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [engine.slice_of(engine.submit()) for _ in range(30)]
    with engine.plain_db.connection() as conn:
        workers.register(conn, name="w", slots=4, version="1")
    monkeypatch.setattr(process, "_SHORT_S", _LONG_S)  # until the first pass is made
    with running(engine, log):
        assert len(engine.hints.sent) == 8
    monkeypatch.setattr(process, "_SHORT_S", 0.01)
    sweeper = Sweeper(engine.ctx)
    thread = threading.Thread(target=sweeper.run)
    thread.start()
    wait_until(lambda: len(engine.hints.sent) == len(made), "all hints, while the queue is always empty again")
    sweeper.stop()
    thread.join()


class ColdHints(Hints):
    """Knows whether somebody warmed it up."""

    is_warm = False

    def warm_up(self) -> None:
        if self.is_down:
            raise BrokerUnavailableError("The broker does not answer.")
        self.is_warm = True


@pytest.mark.parametrize("is_down", [False, True])
def test_a_sweeper_starts_warm_and_without_a_broker_all_the_same(engine: Engine, is_down: bool) -> None:
    hints = ColdHints()
    hints.is_down = is_down
    Sweeper(replace(engine.ctx, enqueuer=hints)).warm_up()
    assert hints.is_warm is not is_down


def test_it_sleeps_until_the_next_schedule_is_due_and_no_longer(engine: Engine, log: Log) -> None:
    engine.hints.is_down = True  # nothing of this needs a broker
    with running(engine, log):
        create_schedule(engine.ctx, engine.tenant.caller, wish(cron="* * * * * ?", allowOverlap=True))
        wait_until(lambda: len(engine.rows("select 1 from schedule_runs")) >= 3, "three due times")
    assert set(log.names) == {"hint"}, "each was taken at once"
    due = [row["due_at"] for row in engine.rows("select due_at from schedule_runs order by number")]
    assert len(engine.rows("select id from jobs")) == len(set(due)) == len(due)


def test_it_gives_results_to_the_uploads_that_wait_for_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = threading.Event()
    monkeypatch.setattr(workflows, "feed_due", lambda _: fed.set())
    engine.configure(sweep_s=0.05)
    sweeper = Sweeper(engine.ctx)
    thread = threading.Thread(target=sweeper.run)
    thread.start()
    try:
        assert fed.wait(30)
    finally:
        sweeper.stop()
        thread.join()
