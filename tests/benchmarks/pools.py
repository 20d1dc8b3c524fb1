"""Which pool: a few processes with threads, or one child for each slot. Measured on what jobs do, without and with
latency."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks import processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest, Variant
from tests.benchmarks.race import check_served
from tests.fixtures.waiting import wait_until

_ROUNDS = 2
_JOBS, _RECORDS = 16, 200_000
_WAITING_JOBS, _PAGES, _LATENCY_S = 200, 12, 0.2


@dataclass(frozen=True)
class Pool:
    """Worker processes (or groups of them) and the legs that each runs at once."""

    kind: str
    process_count: int
    slots: int

    @property
    def name(self) -> str:
        return f"{self.process_count} x {self.slots} {'children' if self.kind == 'prefork' else 'threads'}"

    @property
    def variant(self) -> Variant:
        return Variant({"HAULAGE_WORKER_SLOTS": str(self.slots)}, pool=self.kind)

    @property
    def total_slots(self) -> int:
        return self.process_count * self.slots


POOLS = (Pool("threads", 2, 8), Pool("threads", 2, 16), Pool("threads", 1, 16), Pool("prefork", 1, 16))


@dataclass(frozen=True)
class Figures:
    """One pool, one round. CPU is that of the workers alone."""

    start_s: float
    records_per_s: float
    cpu_s_per_million: float
    calls_per_s: float
    share: float
    """Of slots / latency."""
    cpu_ms_per_call: float
    largest_bytes: int
    resident_bytes: int
    """Sum over the worker processes, each at its own peak."""
    proportional_bytes: int
    """Sum at the end, what several share counted once."""


def run(bench: Bench) -> None:
    bench.vendor.pages.make_cursor(_RECORDS, 200)
    done: dict[Pool, list[Figures]] = {pool: [] for pool in POOLS}
    with ProductUnderTest(bench.folder, {pool.name: pool.variant for pool in POOLS}) as under_test:
        for _ in range(min(bench.rounds, _ROUNDS)):
            for pool in POOLS:
                done[pool].append(_measure(bench, under_test, pool))
    table = _table(done)
    bench.say("\n".join(table))
    note = (
        f"{_JOBS} jobs of {bench.records(_RECORDS, 200):,} records without latency, then {bench.number(_WAITING_JOBS)}"
        f" jobs of {_PAGES} pages at 200 ms; medians of {min(bench.rounds, _ROUNDS)} rounds."
    )
    bench.results.add("pools", {}, title="Pools", note=note, table=table)


def _measure(bench: Bench, under_test: ProductUnderTest, pool: Pool) -> Figures:
    under_test.stop_workers()
    started = time.perf_counter()
    under_test.use_worker(pool.name, count=pool.process_count)
    wait_until(lambda: _slots(under_test) == pool.total_slots, f"the slots of {pool.name}", 60)
    start_s = time.perf_counter() - started
    count = bench.records(_RECORDS, 200)
    plain, slow = bench.vendor.url("plain", count), bench.vendor.url("slow200", _PAGES * 200)
    bench.vendor.pages.make_cursor(count, 200)
    bench.vendor.pages.make_cursor(_PAGES * 200, 200)
    _finish(under_test, plain, 4 * pool.total_slots, limit=2000)  # every process has seen the vendor
    roots = under_test.groups["worker"]
    with processes.PeakMemory(roots) as memory:
        busy_s, cpu_s = _timed(under_test, lambda: _finish(under_test, plain, _JOBS))
        waited_s, waiting_cpu_s = _timed(under_test, lambda: _finish(under_test, slow, bench.number(_WAITING_JOBS)))
        proportional_bytes = sum(processes.pss_bytes(pid) for pid in processes.tree(roots))
    calls_per_s = bench.number(_WAITING_JOBS) * _PAGES / waited_s
    return Figures(
        start_s=start_s,
        records_per_s=_JOBS * count / busy_s,
        cpu_s_per_million=cpu_s / (_JOBS * count) * 1e6,
        calls_per_s=calls_per_s,
        share=calls_per_s / (pool.total_slots / _LATENCY_S),
        cpu_ms_per_call=waiting_cpu_s / (bench.number(_WAITING_JOBS) * _PAGES) * 1000,
        largest_bytes=memory.largest_bytes,
        resident_bytes=memory.total_bytes,
        proportional_bytes=proportional_bytes,
    )


def _slots(under_test: ProductUnderTest) -> int:
    return int(under_test.rows("select coalesce(sum(slots), 0) as n from workers where stopped_at is null")[0]["n"])


def _finish(under_test: ProductUnderTest, url: str, count: int, **criteria: int) -> None:
    """Submit so many jobs at once, wait for them, and look at one."""
    jobs = [under_test.submit(url, pageSize=200, **criteria) for _ in range(count)]
    under_test.wait_for(jobs)
    if not criteria:
        check_served(under_test, url, jobs[-1], int(url.rpartition("/")[2]))


def _timed(under_test: ProductUnderTest, work: Callable[[], None]) -> tuple[float, float]:
    """Seconds that it took, and CPU seconds of the workers."""
    before_s, started = under_test.cpu_s()["worker"], time.perf_counter()
    work()
    return time.perf_counter() - started, under_test.cpu_s()["worker"] - before_s


_HEAD = (
    "| workers | start s | records/s | CPU s per 1M | calls/s | of slots / latency | CPU ms a call | largest MB"
    " | sum MB | sum MB, shared once |"
)


def _table(done: dict[Pool, list[Figures]]) -> list[str]:
    lines = [_HEAD, "|---|---|---|---|---|---|---|---|---|---|"]
    for pool, rounds in done.items():

        def middle(figure: Callable[[Figures], float], of: list[Figures] = rounds) -> float:
            return statistics.median(figure(each) for each in of)

        lines.append(
            f"| {pool.name} | {middle(lambda each: each.start_s):.1f} | {middle(lambda each: each.records_per_s):,.0f}"
            f" | {middle(lambda each: each.cpu_s_per_million):.2f} | {middle(lambda each: each.calls_per_s):.1f}"
            f" | {middle(lambda each: each.share):.2f} | {middle(lambda each: each.cpu_ms_per_call):.1f}"
            f" | {middle(lambda each: each.largest_bytes / MB):.0f}"
            f" | {middle(lambda each: each.resident_bytes / MB):.0f}"
            f" | {middle(lambda each: each.proportional_bytes / MB):.0f} |"
        )
    return lines
