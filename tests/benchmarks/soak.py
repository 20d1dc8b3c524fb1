"""Half an hour of work with a kill every 30 s: nothing may grow."""

import itertools
import statistics
import time
from typing import Any

from tests.benchmarks import processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest
from tests.benchmarks.race import check_served

_MINUTES, _KILL_EVERY_S, _AT_ONCE = 30, 30, 6
_RECORDS = 100_000


def run(bench: Bench) -> None:
    bench.vendor.pages.make_cursor(_RECORDS, 200)
    url = bench.vendor.url("slow50", _RECORDS)
    with ProductUnderTest(bench.folder) as under_test:
        under_test.use_worker(count=2)
        under_test.warm_up(url, 200)
        samples, finished = _work(bench, under_test, url)
        for job in finished[:: max(1, len(finished) // 20)]:
            check_served(under_test, url, job, _RECORDS)
        _keep(bench, samples, finished)


def _work(bench: Bench, under_test: ProductUnderTest, url: str) -> tuple[list[dict[str, float]], list[int]]:
    """Keep jobs running and kill one of two workers now and then. Samples, and the jobs that finished."""
    ends_at = time.monotonic() + _MINUTES * 60 * bench.scale
    kill_at = time.monotonic() + _KILL_EVERY_S
    running: set[int] = set()
    finished: list[int] = []
    samples: list[dict[str, float]] = []
    for tick in itertools.count():
        ended = _ended(under_test, running)
        finished += ended
        running -= set(ended)
        is_over = time.monotonic() >= ends_at
        if is_over and not running:
            return samples, finished
        while not is_over and len(running) < _AT_ONCE:
            running.add(under_test.submit(url, pageSize=200))
        if time.monotonic() >= kill_at and not is_over:
            kill_at += _KILL_EVERY_S
            # The first worker lives through it all, so that its memory and files can be told.
            under_test.replace_killed(1)
        if tick % 10 == 0:
            samples.append(_sample(under_test))
        time.sleep(1)
    raise AssertionError


def _ended(under_test: ProductUnderTest, running: set[int]) -> list[int]:
    rows = under_test.rows("select id, status from jobs where id = any(%s) and finished_at is not null", list(running))
    for row in rows:
        if row["status"] != "COMPLETED":
            raise RuntimeError(f"job {row['id']} ended {row['status']}")
    return [row["id"] for row in rows]


def _sample(under_test: ProductUnderTest) -> dict[str, float]:
    lasting = [*under_test.groups["web"], *under_test.groups["sweeper"], *under_test.groups["callbacks"]]
    roots = [*lasting, under_test.workers[0].pid]
    tables = under_test.rows("select sum(n_dead_tup)::float8 as dead from pg_stat_user_tables")[0]
    connections = under_test.rows("select count(*)::float8 as n from pg_stat_activity where datname is not null")[0]
    return {
        "rss": sum(processes.rss_bytes(pid) for pid in processes.tree(roots)) / MB,
        "files": float(processes.open_file_count(roots)),
        "connections": connections["n"],
        "dead": tables["dead"] or 0.0,
    }


def _keep(bench: Bench, samples: list[dict[str, float]], finished: list[int]) -> None:
    """Growth: the last third of the time against the first."""
    third = max(1, len(samples) // 3)

    def ends(name: str) -> tuple[float, float]:
        values = [sample[name] for sample in samples]
        return statistics.median(values[:third]), statistics.median(values[-third:])

    first: dict[str, Any] = {name: ends(name) for name in samples[0]}
    measures = {f"soak.{name}": [100 * (last / max(begin, 1) - 1)] for name, (begin, last) in first.items()}
    note = f"{len(finished)} jobs finished. First and last third of the time: " + ", ".join(
        f"{name} {begin:.0f} and {last:.0f}" for name, (begin, last) in first.items()
    )
    bench.say(note)
    bench.results.add("soak", measures, title="Soak", note=note, samples=samples)
