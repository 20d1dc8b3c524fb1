"""Everything at once on the same jobs: no deadlock, and the same exact result."""

import threading
from collections.abc import Callable
from typing import Self

from app.errors import ConflictError, HaulageError
from app.services import control
from app.services.sweep import sweep
from tests.fakes.engine import Engine, assert_exact
from tests.fixtures.waiting import wait_until

MakeEngine = Callable[..., Engine]
COUNT = 400


class Crowd:
    """Threads that each do one thing to every job, over and over."""

    def __init__(self, job_ids: list[int], actions: list[Callable[[int], object]]) -> None:
        self.errors: list[str] = []
        self._job_ids = job_ids
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(action,)) for action in actions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(self, action: Callable[[int], object]) -> None:
        while not self._is_over.is_set():
            for job_id in self._job_ids:
                try:
                    action(job_id)
                except ConflictError:
                    pass
                except HaulageError as error:
                    self.errors.append(error.message)


def test_legs_cancels_restarts_and_sweeps_never_wait_in_a_circle(make_engine: MakeEngine) -> None:
    engine = make_engine(cancel_grace_s=0.0)
    engine.vendor.serve(COUNT)
    job_ids = [engine.submit(notification_url="http://127.0.0.1:9/callback") for _ in range(2)]
    caller = engine.tenant.caller
    actions: list[Callable[[int], object]] = [
        lambda job_id: engine.leg(job_id, is_stopping=engine.after_calls(3)),
        lambda job_id: engine.leg(job_id, is_stopping=engine.after_calls(2)),
        lambda job_id: control.cancel(engine.ctx, caller, job_id),
        lambda job_id: control.restart(engine.ctx, caller, job_id),
        lambda _: sweep(engine.ctx),
    ]
    with Crowd(job_ids, actions) as crowd:
        for job_id in job_ids:
            wait_until(lambda job_id=job_id: engine.job(job_id).record_count == COUNT, "the last record", 60)  # type: ignore[misc]
    assert crowd.errors == []
    # Legs keep their own errors to themselves; PostgreSQL counts every circle that it had to break.
    assert engine.one("select deadlocks from pg_stat_database where datname = current_database()") == {"deadlocks": 0}
    for job_id in job_ids:
        if not engine.job(job_id).status.is_terminal:
            engine.lose_holder(job_id)
            engine.run(job_id)
        assert_exact(engine, job_id)
        rows = engine.rows("select run_number from deliveries where job_id = %s order by run_number", job_id)
        assert [row["run_number"] for row in rows] == list(range(1, engine.job(job_id).run_number + 1))
