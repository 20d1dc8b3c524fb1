"""Uploads: rows a second at a vendor that takes 50 ms a call, and the memory that a large file takes."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import httpx
import requests

from tests.benchmarks import processes
from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError
from tests.benchmarks.processes import MB
from tests.benchmarks.product import PREFIX, ProductUnderTest

_AT_ONCE = 64
_LATENCY_S = 0.05
_WIDE_CELL_BYTES = 250_000
_ELEMENT = {
    "format": 1,
    "key": "people",
    "base_url": "{config.base_url}",
    "config": {"base_url": {}, "username": {"required": False}},
    "secret": {"password": {"required": False}},
    "auth": {"kind": "none"},
    "objects": {"people": {"create": {"method": "POST", "path": "/people", "id_at": "/id"}}},
}


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder, settings={"HAULAGE_UPLOAD_CALLS": str(_AT_ONCE)}) as under_test:
        under_test.declare(_ELEMENT)
        rate(bench, under_test)
        intake(bench, under_test)


def rate(bench: Bench, under_test: ProductUnderTest) -> None:
    """Against what so many calls at once of 50 ms allow, and beside a pool of threads with `requests`."""
    count = bench.number(100_000)
    url = bench.vendor.write_url(is_slow=True)
    under_test.use_worker()
    ours, theirs, cpu = [], [], []
    with tempfile.NamedTemporaryFile(dir=bench.folder, suffix=".csv") as file:
        path = Path(file.name)
        path.write_text("\n".join(["email,name,age", *(_line(n) for n in range(count)), ""]))
        for _ in range(min(bench.rounds, 3)):
            before = sum(under_test.cpu_s().values())
            ours.append(_upload(bench, under_test, url, path, count))
            cpu.append((sum(under_test.cpu_s().values()) - before) / count * 1_000_000)
            theirs.append(_thread_pool(bench, url, count))
            bench.say(f"  haulage {ours[-1]:,.0f} rows/s, thread pool with requests {theirs[-1]:,.0f} rows/s")
    theory = _AT_ONCE / _LATENCY_S
    note = (
        f"{count:,} rows, {_AT_ONCE} calls at once, {theory:,.0f} rows/s in theory. Haulage"
        f" {statistics.median(ours):,.0f} rows/s with an intent and a verdict a row in PostgreSQL,"
        f" {statistics.median(cpu):.0f} CPU s a million rows; a pool of threads with requests, which keeps account of"
        f" nothing, {statistics.median(theirs):,.0f} rows/s."
    )
    bench.say(note)
    measures = {
        "uploads.rate": [each / theory for each in ours],
    }
    bench.results.add("uploads", measures, title="Uploads at 50 ms", note=note)


def _line(number: int) -> str:
    return f"person.{number}@upload.example,Person {number},{20 + number % 60}"


def _upload(bench: Bench, under_test: ProductUnderTest, url: str, path: Path, count: int) -> float:
    """Rows a second, from the submission to COMPLETED; the vendor's own log must hold each row once."""
    bench.vendor.take_bodies()
    authorization = under_test.connect(url, "people")
    started = time.perf_counter()
    with path.open("rb") as file:
        answer = under_test.call("POST", "/bulk/people", authorization, files={"file": ("people.csv", file)})
    (row,) = under_test.wait_for([int(answer.json()["id"])])
    wall_s = time.perf_counter() - started
    if (row["record_count"], row["failed_count"]) != (count, 0):
        raise WrongOutputError(f"{row['record_count']} rows, {row['failed_count']} failed; {count} were uploaded")
    _check_bodies(bench.vendor.take_bodies(), count)
    return count / wall_s


def _check_bodies(bodies: list[str], count: int) -> None:
    found = [json.loads(body)["email"] for body in bodies]
    if sorted(found) != sorted(_line(number).partition(",")[0] for number in range(count)):
        raise WrongOutputError(f"{len(found)} rows came, {len(set(found))} different ones; {count} were uploaded")


def _thread_pool(bench: Bench, url: str, count: int) -> float:
    """Rows a second of what one would write by hand."""
    bench.vendor.take_bodies()
    mine = local()

    def send(number: int) -> None:
        if not hasattr(mine, "session"):
            mine.session = requests.Session()
        email, name, age = _line(number).split(",")
        answer = mine.session.post(f"{url}/people", json={"email": email, "name": name, "age": age}, timeout=30)
        answer.raise_for_status()

    started = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(send, range(count)))
    wall_s = time.perf_counter() - started
    _check_bodies(bench.vendor.take_bodies(), count)
    return count / wall_s


def intake(bench: Bench, under_test: ProductUnderTest) -> None:
    """Peak memory of web and worker with a file of 1 GB, against one of a tenth of it."""
    url = bench.vendor.write_url(is_slow=False)
    sizes = [bench.number(400), bench.number(4_000)]
    peaks = []
    for rows in sizes:
        under_test.stop_workers()
        under_test.use_worker()
        with processes.PeakMemory(under_test.our_roots) as memory:
            started = time.perf_counter()
            job = _send_stream(under_test, url, rows)
            received_s = time.perf_counter() - started
            (row,) = under_test.wait_for([job])
        if row["record_count"] != rows:
            raise WrongOutputError(f"{row['record_count']} rows have a verdict; {rows} were uploaded")
        peaks.append(memory.largest_bytes / MB)
    note = (
        f"{sizes[1] * _WIDE_CELL_BYTES / 1e9:.2f} GB of CSV, {sizes[1]:,} rows: received in {received_s:.1f} s, peak"
        f" {peaks[1]:.0f} MB in the largest process of ours; {peaks[0]:.0f} MB with a tenth of it."
    )
    bench.say(note)
    measures = {"uploads.memory": [100 * (peaks[1] / peaks[0] - 1)], "uploads.peak": [peaks[1]]}
    bench.results.add("uploads_memory", measures, title="Upload of a large file", note=note)


def _send_stream(under_test: ProductUnderTest, url: str, rows: int) -> int:
    """A file that is nowhere: made while it is sent."""
    boundary = "haulage-bench"
    filler = os.urandom(_WIDE_CELL_BYTES // 2).hex()

    def body() -> Iterator[bytes]:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="wide.csv"\r\n\r\n'.encode()
        yield b"email,filler\n"
        for number in range(rows):
            yield f"person.{number}@upload.example,{filler}\n".encode()
        yield f"\r\n--{boundary}--\r\n".encode()

    headers = {
        "Authorization": under_test.connect(url, "people"),
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }
    answer = httpx.post(f"{under_test.web.url}{PREFIX}/bulk/people", content=body(), headers=headers, timeout=600)
    answer.raise_for_status()
    return int(answer.json()["id"])
