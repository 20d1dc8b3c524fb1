"""How long it takes until work goes on, read from the rows."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import psycopg

from tests.chaos.campaign.watch import Standing, Watch

_LOOK_S = 0.05
LONGEST_S = 90.0

IsBack = Callable[[Standing, Standing], bool]


def committed_by_another(before: Standing, now: Standing) -> bool:
    """A newer claim than the one before has stored a segment (or told of rows), or ended the run."""
    return now.committed_claim > before.claim or (now.is_over and now.claim > before.claim)


def committed_again(before: Standing, now: Standing) -> bool:
    """Another segment counts, or the run has ended."""
    return now.sequence > before.sequence or now.is_over


def claimed(before: Standing, now: Standing) -> bool:
    return now.claim > before.claim


DEFINITIONS = {
    "worker killed": "from SIGKILL until every slice that the dead process held has committed a segment, or a step of"
    " its upload, under a newer claim (or its run has ended)",
    "broker back": "from the moment the broker answers again until everything that is due then is claimed: jobs that"
    " were submitted while it was away, and those whose hints it lost",
    "broker half-open": "from the moment the open links swallow everything until every job submitted then is claimed",
    "broker flushed": "from the flush until everything that was due at that moment is claimed",
    "PostgreSQL back": "from the moment PostgreSQL takes connections again until every job that was running, or between"
    " two legs, has committed again",
    "worker frozen": "from SIGSTOP until every slice that the frozen process held has committed under a newer claim",
    "storage back": "from the moment the disk is well again until every job that was running has committed again, or"
    " has ended, where the storage refused",
    "worker stopped": "from SIGTERM to the exit of the worker process",
}


@dataclass
class _Open:
    kind: str
    since: float
    before: dict[int, Standing]
    is_back: IsBack


@dataclass
class Recoveries:
    """Open measurements, looked after by a thread of their own, and the samples that they came to, in seconds."""

    watch: Watch
    samples: dict[str, list[float]]
    """By kind; new kinds come by themselves (a defaultdict)."""
    problems: list[str] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name="recoveries", daemon=True).start()

    def stop(self) -> None:
        self._end.set()

    def begin(self, kind: str, since: float, before: Mapping[int, Standing], is_back: IsBack) -> None:
        """Measure from `since` (monotonic) until each of these slices is back. Nothing to measure without slices."""
        if before:
            with self._lock:
                self._open.append(_Open(kind, since, dict(before), is_back))

    def add(self, kind: str, seconds: float) -> None:
        """A sample that was measured elsewhere."""
        self.samples[kind].append(seconds)

    @property
    def open_count(self) -> int:
        with self._lock:
            return len(self._open)

    def _run(self) -> None:
        while not self._end.wait(_LOOK_S):
            with self._lock:
                waiting = list(self._open)
            if waiting:
                self._look(waiting)

    def _look(self, waiting: Collection[_Open]) -> None:
        try:
            standings = self.watch.standings({slice_id for each in waiting for slice_id in each.before})
        except psycopg.OperationalError:
            return
        now = time.monotonic()
        for each in waiting:
            for slice_id, before in list(each.before.items()):
                if each.is_back(before, standings[slice_id]):
                    del each.before[slice_id]
            if not each.before:
                self.samples[each.kind].append(now - each.since)
                self._close(each)
            elif now - each.since > LONGEST_S:
                self.problems.append(f"{each.kind}: slices {sorted(each.before)} not back after {LONGEST_S:g} s")
                self._close(each)

    def _close(self, each: _Open) -> None:
        with self._lock:
            self._open.remove(each)
