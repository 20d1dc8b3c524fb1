"""Row 7 and the fairness of many jobs: one worker process, more jobs than slots."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.enqueue import Enqueuer, QueueName
from tests.benchmarks import processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest, Variant
from tests.benchmarks.race import check_served

_SLOTS, _LATENCY_S = 16, 0.2
_HUNDRED = Variant({"HAULAGE_WORKER_SLOTS": "100"})


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder, {"hundred": _HUNDRED}) as under_test:
        hundred(bench, under_test)
        fair(bench, under_test)
        thousand(bench, under_test)


def hundred(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 7: from the first submission to the end of the last job, one worker process of 100 threads."""
    count = bench.records(40_000, 200)
    bench.vendor.pages.make_cursor(count, 200)
    url = bench.vendor.url("slow50", count)
    under_test.use_worker("hundred")
    under_test.warm_up(url, 200)
    worker = under_test.workers[0].pid
    before = under_test.cpu_s()
    with processes.PeakMemory(under_test.our_roots) as memory:
        started = time.perf_counter()
        jobs = [under_test.submit(url, pageSize=200) for _ in range(bench.number(100))]
        under_test.wait_for(jobs, 300)
        wall_s = time.perf_counter() - started
        after = under_test.cpu_s()
    check_served(under_test, url, jobs[0], count)
    total = count * len(jobs)
    worker_mb, all_mb = memory.of(worker) / MB, memory.total_bytes / MB
    parts = ", ".join(f"{part} {(after[part] - before[part]) / total * 1e6:.2f}" for part in after)
    note = (
        f"{len(jobs)} jobs of {count:,} records: {total / wall_s:,.0f} records/s in {wall_s:.1f} s; worker"
        f" {worker_mb:.0f} MB, all of ours {all_mb:.0f} MB; CPU s per 1M records: {parts}."
    )
    bench.say(note)
    measures = {"jobs100.rate": [total / wall_s], "jobs100.rss": [worker_mb]}
    bench.results.add("jobs100", measures, title="100 jobs at 50 ms, one worker process", note=note)


@dataclass
class _Watched:
    """How jobs came on, seen every half second."""

    jobs: Sequence[int]
    changed_at: dict[int, float] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    longest_gap_s: float = 0.0
    spreads: list[float] = field(default_factory=list)

    def look(self, under_test: ProductUnderTest, now: float) -> bool:
        """Whether any still runs."""
        rows = under_test.rows(
            "select id, record_count, finished_at is not null as ended from jobs where id = any(%s)", list(self.jobs)
        )
        for row in rows:
            began = self.changed_at.setdefault(row["id"], now)
            if row["record_count"] != self.seen.get(row["id"], 0) or row["ended"]:
                self.changed_at[row["id"]] = now
            else:
                self.longest_gap_s = max(self.longest_gap_s, now - began)
            self.seen[row["id"]] = row["record_count"]
        if not any(row["ended"] for row in rows) and (middle := statistics.median(self.seen.values())):
            self.spreads.append(max(self.seen.values()) / middle)
        return not all(row["ended"] for row in rows)


def fair(bench: Bench, under_test: ProductUnderTest) -> None:
    """200 jobs at once, 200 ms a page, 16 slots in one worker process."""
    pages = bench.number(60)
    bench.vendor.pages.make_cursor(pages * 200, 200)
    url = bench.vendor.url("slow200", pages * 200)
    under_test.use_worker()
    under_test.warm_up(url, 200)
    calls_before, started = bench.vendor.call_count(), time.perf_counter()
    halfway: list[float] = []
    with processes.PeakMemory(under_test.our_roots) as memory:
        watched = _Watched([under_test.submit(url, pageSize=200) for _ in range(bench.number(200))])
        while watched.look(under_test, time.perf_counter()):
            # Progress is compared in the middle of the run: at the beginning nobody has had a turn.
            halfway = watched.spreads[len(watched.spreads) // 2 :]
            time.sleep(0.5)
    wall_s = time.perf_counter() - started
    calls = bench.vendor.call_count() - calls_before - 1
    share = calls / wall_s / (_SLOTS / _LATENCY_S)
    spread = statistics.median(halfway) if halfway else float("inf")
    note = (
        f"{len(watched.jobs)} jobs of {pages} pages in {wall_s:.0f} s: {calls / wall_s:.1f} calls/s; longest time"
        f" without a commit {watched.longest_gap_s:.1f} s; max/median progress {spread:.2f};"
        f" {_memory(under_test, memory)}."
    )
    bench.say(note)
    measures = {
        "many.gap": [watched.longest_gap_s],
        "many.fair": [spread],
        "many.rate": [share],
        "many.rss": [memory.total_bytes / MB],
    }
    bench.results.add("many", measures, title="200 jobs, 16 slots, 200 ms", note=note)


def thousand(bench: Bench, under_test: ProductUnderTest) -> None:
    """1,000 small jobs at once: all finish, none starves, queue and tables stay small."""
    bench.vendor.pages.make_cursor(1000, 200)
    url = bench.vendor.url("slow50", 1000)
    under_test.use_worker()
    under_test.warm_up(url, 200)
    queue = _Queue(under_test.valkey.url)
    deepest = 0
    with processes.PeakMemory(under_test.our_roots) as memory:
        started = time.perf_counter()
        jobs = [under_test.submit(url, pageSize=200) for _ in range(bench.number(1000))]
        while _ended(under_test, jobs) < len(jobs) and time.perf_counter() - started < 600:
            deepest = max(deepest, queue.depth())
            time.sleep(0.1)
        wall_s = time.perf_counter() - started
    waits = under_test.rows(
        "select extract(epoch from started_at - created_at)::float8 as s from jobs where id = any(%s)", jobs
    )
    longest_s = max(row["s"] or wall_s for row in waits)
    ended = _ended(under_test, jobs)
    sizes = under_test.rows(
        "select sum(pg_total_relation_size(relid))::bigint as bytes, sum(n_dead_tup)::bigint as dead"
        " from pg_stat_user_tables"
    )[0]
    note = (
        f"{ended} of {len(jobs)} finished in {wall_s:.1f} s, longest wait for a slot {longest_s:.1f} s; at most"
        f" {deepest} messages queued; tables {sizes['bytes'] / MB:.1f} MB, {sizes['dead']} dead rows;"
        f" {_memory(under_test, memory)}."
    )
    bench.say(note)
    measures = {
        "many.finished": [ended / len(jobs)],
        "many.starved": [longest_s],
        "many.queue": [float(deepest)],
        "many.tables": [sizes["bytes"] / MB],
        "many.dead": [float(sizes["dead"])],
        "many.rss1000": [memory.total_bytes / MB],
    }
    bench.results.add("thousand", measures, title="1,000 jobs at once", note=note)


def _memory(under_test: ProductUnderTest, memory: processes.PeakMemory) -> str:
    return f"all of ours {memory.total_bytes / MB:.0f} MB, worker {memory.of(under_test.workers[0].pid) / MB:.0f} MB"


def _ended(under_test: ProductUnderTest, jobs: list[int]) -> int:
    row = under_test.rows("select count(*) as n from jobs where id = any(%s) and status = 'COMPLETED'", jobs)[0]
    return int(row["n"])


class _Queue:
    """The broker's queue of downloads, as an operator sees it."""

    def __init__(self, url: str) -> None:
        self._enqueuer = Enqueuer(url)

    def depth(self) -> int:
        return self._enqueuer.depth(QueueName.DOWNLOADS)
