"""Customers who keep so many jobs running: every page kind, half with an apiLimit, a quarter in slices, all with
callbacks."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.chaos.campaign.watch import EndedJob, Watch
from tests.fakes.audit import Audit
from tests.fixtures.customer import SubmittedJob
from tests.fixtures.stack import Stack
from tests.fixtures.vendor import KINDS
from tests.fixtures.waiting import wait_until

_LOOK_S = 0.1
_IN_SLICES = {"from": "2024-01-01", "to": "2024-01-02", "filterDateField": "createdAt"}
"""A range that every record of every shape lies in."""

MakeFaults = Callable[[random.Random], list[dict[str, Any]]]


def no_faults(_dice: random.Random) -> list[dict[str, Any]]:
    return []


@dataclass(frozen=True)
class Shape:
    """What jobs look like. Long enough to be hit, short enough to end."""

    pages: tuple[int, ...] = (150, 200, 250)
    page_records: int = 10
    latency_ms: float = 80
    make_faults: MakeFaults = no_faults


class Workload:
    """A thread that submits jobs as long as fewer than `at_once` are open, and restarts those their apiLimit stopped.

    `restarts_aborted`: also those that ended ABORTED, where a fault may do that.
    """

    def __init__(
        self,
        stack: Stack,
        watch: Watch,
        dice: random.Random,
        *,
        shape: Shape,
        at_once: int,
        restarts_aborted: bool = False,
    ) -> None:
        self._stack = stack
        self._watch = watch
        self._dice = dice
        self._shape = shape
        self._at_once = at_once
        self._restarts_aborted = restarts_aborted
        self._lock = threading.Lock()
        self._kinds: list[str] = []
        self._is_open = threading.Event()
        self._end = threading.Event()
        self.jobs: dict[int, SubmittedJob] = {}
        self.running: dict[int, SubmittedJob] = {}
        self.problems: list[str] = []

    def start(self) -> None:
        self._is_open.set()
        threading.Thread(target=self._run, name="customers", daemon=True).start()

    def stop(self) -> None:
        self._end.set()

    def add(self, job: SubmittedJob) -> SubmittedJob:
        """A job that somebody else has submitted."""
        with self._lock:
            self.jobs[job.id] = self.running[job.id] = job
        return job

    def submit(self) -> SubmittedJob:
        return self.add(self._stack.customer.submit(**self.draw()))

    def take_stock(self) -> Audit:
        """What became of every job that was submitted."""
        return self._stack.take_stock(list(self.jobs.values()))

    def draw(self) -> dict[str, Any]:
        """What the next job is to be, for `Customer.submit`."""
        with self._lock:
            dice = self._dice
            number = len(self.jobs)
            if not self._kinds:
                self._kinds = dice.sample(KINDS, len(KINDS))
            pages = dice.choice(self._shape.pages)
            account = {
                "records": pages * self._shape.page_records,
                "latency_ms": self._shape.latency_ms,
                "habits": {"text": "strange"} if dice.random() < 0.3 else {},
                "faults": self._shape.make_faults(dice),
            }
            limit: dict[str, Any] = {"apiLimit": dice.choice((pages // 3, pages // 2, 2 * pages))} if number % 2 else {}
            if number % 4 == 0:
                limit = _IN_SLICES
            return {
                "object_name": self._kinds.pop(),
                "account": account,
                "pageSize": self._shape.page_records,
                "notificationUrl": self._stack.receiver.url,
                **limit,
            }

    def drain(self, timeout_s: float) -> None:
        """No new jobs, a vendor that hurries; returns when every job has come to its end."""
        self._is_open.clear()
        with self._lock:
            left = list(self.running.values())
        for job in left:
            job.account.change(latency_ms=0)
        wait_until(lambda: not self.running or self.problems, "all jobs to end", timeout_s, pause_s=_LOOK_S)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                is_idle = not self._look()
            except psycopg.OperationalError:
                is_idle = True  # away; asked again
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the phase must hear of it
                self.problems.append(f"customer: {error!r}")
                return
            if is_idle:
                self._end.wait(_LOOK_S)

    def _look(self) -> bool:
        with self._lock:
            open_ids = list(self.running)
        for ended in self._watch.ended(open_ids):
            self._settle(ended)
        if self._is_open.is_set() and len(self.running) < self._at_once:
            self.submit()
            return True
        return False

    def _restart(self, job: SubmittedJob) -> None:
        if not self._stack.customer.restart(job):
            job.run_count = self._watch.run_number(job.id)

    def _settle(self, ended: EndedJob) -> None:
        job = self.running[ended.id]
        if ended.stop_reason == "API_LIMIT":
            assert job.api_limit is not None
            if job.account.calls > job.run_count * job.api_limit:
                self.problems.append(f"job {job.id}: {job.account.calls} calls in {job.run_count} runs")
            self._restart(job)
        elif ended.status == "ABORTED" and self._restarts_aborted:
            self._restart(job)
        else:
            with self._lock:
                del self.running[ended.id]
