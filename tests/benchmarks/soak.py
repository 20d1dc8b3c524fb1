"""Half an hour of steady work with a kill every 30 s: nothing may grow, and every job is delivered whole.

Jobs come and end all the time, their status is asked for, every result is fetched and checked, plain or packed, every
end is called back, and retention removes files and rows. Of two workers one is killed, again and again, with what it
holds; the other one lives through it all, so that what it leaks can be seen.
"""

import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import check_ids, ids_of_lines
from tests.benchmarks.gauges import Gauges, Growth, Sample, growths
from tests.benchmarks.product import ProductUnderTest
from tests.fixtures.receiver import Receiver
from tests.fixtures.waiting import wait_until

_MINUTES, _KILL_EVERY_S, _SAMPLE_EVERY_S, _TICK_S = 30, 30, 5, 0.5
_WARM_UP = 0.2
"""Of the time; by its end rows and files go as fast as they come."""

_SIZES = (20_000, 20_000, 20_000, 20_000, 2_000, 2_000, 2_000, 2_000)
"""Records of the jobs that run at any time: those of 2,000 end about twice a second."""

_PEAK_JOBS = 80
"""At once in the warm-up; two workers have 32 slots."""

_SETTINGS = {
    "HAULAGE_RETENTION_S": "20",
    "HAULAGE_ROW_RETENTION_S": "60",
}


def run(bench: Bench) -> None:
    for count in set(_SIZES):
        bench.vendor.pages.make_cursor(count, 200)
    receiver = Receiver()
    receiver.start()
    try:
        with ProductUnderTest(bench.folder, settings=_SETTINGS) as under_test:
            under_test.use_worker(count=2)
            samples, work = _soak(bench, under_test, receiver)
            _keep(bench, samples, work)
    finally:
        receiver.stop()


@dataclass
class _Work:
    """Jobs on their way, and what became of them."""

    bench: Bench
    under_test: ProductUnderTest
    receiver: Receiver
    running: dict[int, int] = field(default_factory=dict)
    """Job -> records wanted."""
    finished: list[int] = field(default_factory=list)
    kill_count: int = 0

    def url(self, count: int) -> str:
        return self.bench.vendor.url("slow50", count)

    def fill_up(self) -> None:
        """Submit until as many of each size run as should."""
        wanted = list(_SIZES)
        for count in self.running.values():
            wanted.remove(count)
        for count in wanted:
            self.running[self.submit(count)] = count

    def submit(self, count: int) -> int:
        """A job of so many records that calls back; its id."""
        return self.under_test.submit(self.url(count), pageSize=200, notificationUrl=self.receiver.url)

    def take_ended(self) -> None:
        """Fetch and check the results of jobs that ended. Raises RuntimeError for one that did not complete."""
        query = "select id, status, error from jobs where id = any(%s) and finished_at is not null"
        for row in self.under_test.rows(query, list(self.running)):
            if row["status"] != "COMPLETED":
                raise RuntimeError(f"job {row['id']} ended {row['status']}: {row['error']}")
            self._check(row["id"], self.running.pop(row["id"]))
            self.finished.append(row["id"])

    def _check(self, job: int, count: int) -> None:
        packed = job % 2 == 0
        content = b"".join(self.under_test.served(self.url(count), job, packed=packed))
        lines = (gzip.decompress(content) if packed else content).splitlines()
        check_ids(ids_of_lines(lines), count, f"the served file of job {job}")

    def ask(self) -> None:
        """As their owners do while they wait."""
        for job, count in self.running.items():
            self.under_test.call("GET", f"/bulk/{job}/status", self.under_test.connect(self.url(count)))

    def called_back(self) -> set[int]:
        """Jobs whose end the receiver has heard of."""
        return {int(call.document["id"]) for call in list(self.receiver.calls)}


def _soak(bench: Bench, under_test: ProductUnderTest, receiver: Receiver) -> tuple[list[Sample], _Work]:
    """Samples of the time after the warm-up, and the work that was done."""
    work = _Work(bench, under_test, receiver)
    lasts_s = _MINUTES * 60 * bench.scale
    for count in set(_SIZES):
        under_test.warm_up(work.url(count), 200)
    _peak(work)
    gauges = Gauges(under_test)
    began_at = time.monotonic()
    samples = []
    for lasted_s, is_sample_due in _ticks(began_at, lasts_s):
        work.take_ended()
        work.fill_up()
        work.ask()
        if lasted_s >= _KILL_EVERY_S * (work.kill_count + 1):
            under_test.replace_killed(1)
            work.kill_count += 1
        if is_sample_due and lasted_s >= _WARM_UP * lasts_s:
            samples.append(gauges.sample())
    _drain(work)
    return samples, work


def _peak(work: _Work) -> None:
    """More jobs at once than there are slots: each slot's thread opens its connections at first use and keeps them."""
    submitted = [work.submit(min(_SIZES)) for _ in range(_PEAK_JOBS)]
    work.under_test.wait_for(submitted)
    wait_until(lambda: set(submitted) <= work.called_back(), "the callbacks of the peak", 120)


def _ticks(began_at: float, lasts_s: float) -> Iterator[tuple[float, bool]]:
    """Seconds since the beginning, and whether a sample is due."""
    sampled_at = 0.0
    while (lasted_s := time.monotonic() - began_at) < lasts_s:
        is_due = lasted_s - sampled_at >= _SAMPLE_EVERY_S
        sampled_at = lasted_s if is_due else sampled_at
        yield lasted_s, is_due
        time.sleep(_TICK_S)


def _drain(work: _Work) -> None:
    """Nothing new; what runs must end, and every end must be called back."""

    def is_over() -> bool:
        work.take_ended()
        return not work.running

    wait_until(is_over, "the last jobs to end", 120)
    wait_until(lambda: set(work.finished) <= work.called_back(), "the last callbacks", 120)


def _keep(bench: Bench, samples: list[Sample], work: _Work) -> None:
    found = growths(samples)
    for growth in found.values():
        bench.say(f"  {growth.name}: {growth.first:.1f} -> {growth.last:.1f} ({growth.percent:+.1f} %)")

    def worst(*names: str) -> Growth:
        chosen = [growth for name, growth in found.items() if name.startswith(names)]
        return max(chosen, key=lambda growth: growth.percent)

    rss, files = worst("rss "), worst("files ")
    note = (
        f"{len(work.finished)} jobs finished, fetched, checked and called back; {work.kill_count} kills. First and last"
        f" third after the warm-up; fastest growing: {_shown(rss)}, {_shown(files)}; {_shown(found['connections'])},"
        f" {_shown(found['dead rows'])}, {_shown(found['tables MB'])}, {_shown(found['broker MB'])},"
        f" {_shown(found['objects'])}, {_shown(found['folders'])}."
    )
    bench.say(note)
    measures = {
        "soak.rss": [rss.percent],
        "soak.files": [files.percent],
        "soak.connections": [found["connections"].percent],
        "soak.dead": [found["dead rows"].percent],
        "soak.tables": [found["tables MB"].percent],
        "soak.broker": [found["broker MB"].percent],
        "soak.storage": [worst("objects", "unfinished", "folders").percent],
    }
    bench.results.add("soak", measures, title="Soak", note=note, samples=samples)


def _shown(growth: Growth) -> str:
    return f"{growth.name} {growth.first:.0f} -> {growth.last:.0f}"
