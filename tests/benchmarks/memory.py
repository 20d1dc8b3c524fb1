"""Row 8: peak memory does not grow with the records, and S3 costs little."""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

from app.local import ports
from tests.benchmarks import processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest
from tests.benchmarks.race import check_served
from tests.fixtures.waiting import wait_until

_S3 = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}


def run(bench: Bench) -> None:
    for size in (200, 2000):
        small = _peak_mb(bench, bench.records(100_000, size), size)
        large = _peak_mb(bench, bench.records(3_000_000, size), size)
        note = f"100k records: {small:.1f} MB, 3M records: {large:.1f} MB."
        bench.say(f"{size} a page: {note}")
        bench.results.add(
            f"memory{size}",
            {f"memory.growth{size}": [100 * (large / small - 1)]},
            title=f"Memory, {size} a page",
            note=note,
        )
    on_disk = _peak_mb(bench, bench.records(500_000, 200), 200)
    with _bucket() as settings:
        on_s3 = _peak_mb(bench, bench.records(500_000, 200), 200, **settings)
    note = f"500k records: {on_disk:.1f} MB on disk, {on_s3:.1f} MB on S3."
    bench.say(note)
    bench.results.add("memory_s3", {"memory.s3": [on_s3 - on_disk]}, title="Memory with S3", note=note)


def run_ten_million(bench: Bench) -> None:
    """Pages are made once and take more than 1 GB, packed; the result takes as much while it runs."""
    small = _peak_mb(bench, bench.records(100_000, 2000), 2000, way="packed")
    large = _peak_mb(bench, bench.records(10_000_000, 2000), 2000, way="packed")
    note = f"100k records: {small:.1f} MB, 10M records: {large:.1f} MB."
    bench.say(f"2000 a page: {note}")
    growth = {"memory.growth10m": [100 * (large / small - 1)]}
    bench.results.add("memory10m", growth, title="Memory to 10 million records", note=note)


def _peak_mb(bench: Bench, count: int, size: int, *, way: str = "plain", **settings: str) -> float:
    """Of the largest process of ours, fresh ones, over download and serving."""
    make = bench.vendor.pages.make_packed if way == "packed" else bench.vendor.pages.make_cursor
    make(count, size)
    url = bench.vendor.url(way, count)
    with ProductUnderTest(bench.folder, settings=settings) as under_test:
        under_test.use_worker()
        under_test.warm_up(url, size)
        with processes.PeakMemory(under_test.our_roots) as memory:
            job = under_test.submit(url, pageSize=size)
            under_test.wait_for([job])
            check_served(under_test, url, job, count)
        return memory.largest_bytes / MB


@contextlib.contextmanager
def _bucket() -> Iterator[dict[str, str]]:
    """A bucket on moto, in a process of its own; the settings that lead to it."""
    url = f"http://127.0.0.1:{ports.free_port()}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    environment = {**os.environ, **_S3}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _put_bucket(url), "moto to answer", 30)
        yield {**_S3, "STORAGE_URL": "s3://bench/haulage", "AWS_ENDPOINT_URL": url}
    finally:
        server.terminate()
        server.wait()


def _put_bucket(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/bench", method="PUT"), timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
