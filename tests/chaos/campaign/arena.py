"""Where faults strike: the stack, its workers and customers, and the tally of strikes that counted."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from tests.chaos.campaign.recovery import Recoveries, claimed, committed_by_another
from tests.chaos.campaign.watch import Held, Standing, Watch, group_of
from tests.chaos.campaign.workload import Workload
from tests.fixtures.customer import SubmittedJob
from tests.fixtures.stack import Kept, Stack
from tests.fixtures.waiting import wait_until

AT_LEAST_RUNNING = 10
_GATHER_S = 60.0


@dataclass
class Tally:
    """Strikes of one fault. `wasted`: those that met fewer than ten running jobs."""

    demanded: int
    counted: int = 0
    wasted: int = 0

    @property
    def is_missed(self) -> bool:
        return self.counted < self.demanded


@dataclass
class Arena:
    """One phase at work. `dice` draws every choice of its faults."""

    stack: Stack
    watch: Watch
    workload: Workload
    recoveries: Recoveries
    dice: random.Random
    pool: str
    slots: int
    workers: list[Kept] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def start_worker(self) -> Kept:
        kept = self.stack.keep("worker", pool=self.pool, slots=self.slots)
        self.workers.append(kept)
        return kept

    def running(self) -> list[Held]:
        """Jobs that run at this moment; none while PostgreSQL cannot be asked."""
        try:
            return self.watch.running()
        except psycopg.OperationalError:
            return []

    def gather(self, *, more: int = 0) -> list[Held]:
        """Wait until enough jobs run to be struck."""

        def enough() -> list[Held]:
            assert not self.workload.problems, self.workload.problems
            running = self.running()
            return running if len(running) >= AT_LEAST_RUNNING + more else []

        return wait_until(enough, f"{AT_LEAST_RUNNING + more} jobs to run at once", _GATHER_S, pause_s=0.05)

    def note(self, fault: str, strikes: int, running: int) -> None:
        """Strikes that happened while so many jobs ran."""
        tally = self.tallies[fault]
        if running >= AT_LEAST_RUNNING:
            tally.counted += strikes
        else:
            tally.wasted += strikes

    def held_in_group(self, kept: Kept) -> list[Held]:
        """What a worker and its children hold, dead or alive, under leases that have not run out."""
        group = kept.process.pid
        return [each for each in self.watch.held() if each.pid == group or group_of(each.pid) == group]

    def standings(self, held: Sequence[Held]) -> dict[int, Standing]:
        return self.watch.standings({each.slice_id for each in held})

    def measure_loss(self, since: float, held: Sequence[Held]) -> None:
        """Holders have died at `since`: until others have committed."""
        standings = self.standings(held)
        before = {each.slice_id: standings[each.slice_id] for each in held}
        still_theirs = {
            each.slice_id: before[each.slice_id] for each in held if before[each.slice_id].claim == each.claim
        }
        self.recoveries.begin("worker killed", since, still_theirs, committed_by_another)

    def measure_claims(self, kind: str, since: float, jobs: Sequence[SubmittedJob]) -> None:
        """Until each of these new jobs is claimed."""
        unclaimed = dict.fromkeys(self.watch.slices_of([job.id for job in jobs]), Standing(0, 0, False, 0))
        self.recoveries.begin(kind, since, unclaimed, claimed)

    def wait_for_recoveries(self, timeout_s: float = 100.0) -> None:
        wait_until(lambda: not self.recoveries.open_count, "recoveries to end", timeout_s, pause_s=0.05)

    def wait(self, seconds: float) -> None:
        """A pause between strikes: that is the fault's rhythm, nothing is waited for."""
        time.sleep(seconds)
