"""Row 4: how much work a killed worker leaves to be done again. Row 13: how soon an idle product begins."""

import itertools
import random
import statistics
import time
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.product import ProductUnderTest
from tests.benchmarks.race import Lap, product
from tests.fixtures.waiting import wait_until

_KILLS = 10
_STARTS = 30


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder) as under_test:
        start(bench, under_test)
        repeated(bench, under_test)


def start(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 13: from the submission to the vendor's own note of the first call, nothing else going on."""
    under_test.use_worker()
    bench.vendor.pages.make_cursor(200, 200)
    url = bench.vendor.url("logged", 200)
    under_test.warm_up(url, 200)
    waits_ms = []
    for _ in range(_STARTS):
        time.sleep(random.uniform(0.2, 0.6))  # at any moment of the sweeper's and the worker's rhythm
        submitted_at = time.time()
        under_test.wait_for([under_test.submit(url, pageSize=200)])
        waits_ms.append((bench.vendor.last_logged()[-1] - submitted_at) * 1000)
    note = f"{_STARTS} jobs: p50 {statistics.median(waits_ms):.0f} ms, worst {max(waits_ms):.0f} ms."
    bench.say(note)
    bench.results.add(
        "start",
        {"start.p50": [statistics.median(waits_ms)]},
        title="Submit to first vendor call",
        note=note,
        waits_ms=waits_ms,
    )


def repeated(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 4: pages that the vendor served beyond those of the file, in seconds of undisturbed work."""
    count = bench.records(1_000_000, 200)
    bench.vendor.pages.make_cursor(count, 200)
    lap = Lap(bench.vendor.url("plain", count), count, 200)
    undisturbed = product(under_test)(lap)
    pages_per_s = undisturbed.records_per_s / lap.size
    tries = (_kill_one(bench, under_test, lap, undisturbed.wall_s) for _ in range(3 * bench.number(_KILLS)))
    kills = list(itertools.islice((kill for kill in tries if kill is not None), bench.number(_KILLS)))
    repeated_s = [kill["pages"] / pages_per_s for kill in kills]
    recovered_s = [kill["recovered_s"] for kill in kills]
    note = (
        f"{len(kills)} kills: repeated {statistics.median(repeated_s):.2f} s of work, worst {max(repeated_s):.2f} s;"
        f" taken over after {statistics.median(recovered_s):.1f} s, worst {max(recovered_s):.1f} s."
    )
    bench.say(note)
    bench.results.add(
        "repeated", {"durable.repeated": [max(repeated_s)]}, title="Work repeated after kill -9", note=note, kills=kills
    )


def _kill_one(bench: Bench, under_test: ProductUnderTest, lap: Lap, wall_s: float) -> dict[str, Any] | None:
    """One job, its worker killed somewhere in the middle, another one there to go on. None if the kill came late."""
    under_test.use_worker()
    under_test.warm_up(lap.url, lap.size)
    calls_before = bench.vendor.call_count()
    job = under_test.submit(lap.url, pageSize=lap.size)
    time.sleep(random.uniform(0.1, 0.7) * wall_s)
    claim, killed_at = _claim_of(under_test, job), time.perf_counter()
    under_test.replace_killed(0)
    if under_test.rows("select 1 from jobs where id = %s and finished_at is not null", job):
        return None
    wait_until(lambda: _claim_of(under_test, job) != claim, f"job {job} to be taken over", 60)
    recovered_s = time.perf_counter() - killed_at
    under_test.wait_for([job])
    calls = bench.vendor.call_count() - calls_before - 1
    return {"pages": calls - lap.count // lap.size, "recovered_s": recovered_s}


def _claim_of(under_test: ProductUnderTest, job: int) -> int:
    return int(under_test.rows("select claim from slices where job_id = %s", job)[0]["claim"])
