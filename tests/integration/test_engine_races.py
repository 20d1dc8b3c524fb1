"""Everything at once on the same jobs: no deadlock, and the same exact result."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from app.db import checkpoints, slices
from app.db.checkpoints import Progress
from app.db.pool import Connection
from app.db.slices import Claim, HandBack, Position
from app.domain.segments import Segment, segment_key
from app.errors import ConflictError, HaulageError
from app.services import control
from app.services.sweep import sweep
from tests.fakes.engine import Engine, assert_contiguous, assert_exact
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


def test_of_many_claims_at_once_each_has_a_number_of_its_own(engine: Engine) -> None:
    """The leases are over at once, so that everybody may claim, and the statements meet in every order."""
    job_id = engine.submit()
    slice_id = engine.slice_of(job_id)

    def claim(_: int) -> int | None:
        with engine.plain_db.connection() as conn:
            got = slices.claim(conn, slice_id, worker_id=None, lease_s=0)
        return None if got is None else got.number

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for number in pool.map(claim, range(400)) if number is not None]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    row = engine.slice(job_id)
    assert (row["claim"], row["crash_count"]) == (len(numbers), len(numbers) - 1)


class Thief:
    """A worker whose lease is always over: it claims, reserves, commits and lets go while the others do the same."""

    def __init__(self, engine: Engine, job_id: int, seed: int) -> None:
        self._db = engine.plain_db
        self._job_id = job_id
        self._slice_id = engine.slice_of(job_id)
        self._dice = random.Random(seed)
        self.kept: list[str] = []
        """Keys of the segments that PostgreSQL said are committed."""

    def work(self) -> None:
        for _ in range(40):
            with self._db.connection() as conn:
                claim = slices.claim(conn, self._slice_id, worker_id=None, lease_s=0)
                if claim is not None:
                    self._leg(conn, claim)

    def _leg(self, conn: Connection, claim: Claim) -> None:
        held, checkpoint, sequence = 0, claim.checkpoint, claim.sequence
        for number in range(self._dice.randint(1, 4)):
            if not checkpoints.reserve_calls(conn, claim.slice_id, claim.number, checkpoint, made=held, wanted=2):
                return
            key = segment_key(self._job_id, 1, 1, sequence, claim.number, f"n{number}")
            progress = Progress(
                Position({"n": sequence + 1}, 10, 0, exhausted=False),
                [Segment(key, "plain", 1, 3, 3, 0, ())],
                record_count=1,
                page_count=1,
                plain_bytes=3,
                calls_made=1,
                calls_wanted=0,
                vendor_total=None,
            )
            if not checkpoints.advance(
                conn, claim.slice_id, claim.number, checkpoint + 1, progress, sequence=sequence, lease_s=0
            ):
                return
            self.kept.append(key)
            held, checkpoint, sequence = 1, checkpoint + 2, sequence + 1
        if self._dice.random() < 0.5:
            slices.hand_back(conn, claim.slice_id, claim.number, HandBack(0.0, 0, calls_unused=held))


def test_workers_that_rob_each_other_lose_no_call_and_no_segment(engine: Engine) -> None:
    job_id = engine.submit(api_limit=10**6)
    thieves = [Thief(engine, job_id, seed) for seed in range(6)]
    with ThreadPoolExecutor(len(thieves)) as pool:
        for done in [pool.submit(thief.work) for thief in thieves]:
            done.result()

    job, row = engine.job(job_id), engine.slice(job_id)
    reserved = engine.one("select calls_reserved from runs where job_id = %s", job_id)["calls_reserved"]
    assert reserved == job.call_count + job.calls_written_off + row["calls_held"]
    assert sorted(key for thief in thieves for key in thief.kept) == sorted(
        segment.object_key for segment in engine.segments(job_id)
    )
    assert job.record_count == row["sequence"] == row["cursor"]["n"] == len(engine.segments(job_id)) > 0
    assert_contiguous(engine.rows("select run_number, sequence from segments where job_id = %s", job_id))
