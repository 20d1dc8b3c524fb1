"""Rows 10, 11 and 12: the finished file as it is served, and jobs whose records are changed."""

import csv
import hashlib
import json
import socket
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from tests.benchmarks import processes, records
from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError, check_ids, ids_of_lines
from tests.benchmarks.product import PREFIX, ProductUnderTest
from tests.benchmarks.race import Lap, script

_BUFFER = bytearray(1024 * 1024)
_FIELDS = "id,email,company,balance,createdAt,source"


@dataclass(frozen=True)
class Served:
    """One answer: bytes on the wire, seconds, CPU of web and PostgreSQL."""

    wire_bytes: int
    wall_s: float
    cpu_s: float


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder) as under_test:
        under_test.use_worker()
        renders(bench, under_test)
        csv_render(bench, under_test)
        fields(bench, under_test)


def renders(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 10: JSON array and gzip against JSON Lines, on files of the same records."""
    count = bench.records(1_000_000, 2000)
    bench.vendor.pages.make_cursor(count, 2000)
    url = bench.vendor.url("plain", count)
    formats = {"jsonl": "application/jsonl", "json": "application/json"}
    jobs = {name: under_test.submit(url, pageSize=2000, format=kind) for name, kind in formats.items()}
    under_test.wait_for(list(jobs.values()))
    _check(under_test, url, jobs, count)
    ways = {"jsonl": (jobs["jsonl"], False), "json": (jobs["json"], False), "gzip": (jobs["jsonl"], True)}
    done: dict[str, list[Served]] = {name: [] for name in ways}
    for _ in range(bench.rounds):
        for name, (job, is_packed) in ways.items():
            done[name].append(fetch(under_test, url, job, is_packed=is_packed))
    measures = {
        "served.json": [
            (each.wire_bytes / each.wall_s) / (other.wire_bytes / other.wall_s)
            for each, other in zip(done["json"], done["jsonl"], strict=True)
        ],
        "served.gzip": [
            max(each.cpu_s, processes.TICK_S) / other.cpu_s
            for each, other in zip(done["gzip"], done["jsonl"], strict=True)
        ],
    }
    plain_mb = done["jsonl"][0].wire_bytes / processes.MB
    table = [
        "| representation | MB | MB of JSON Lines/s, best | CPU s per 1M records, best |",
        "|---|---|---|---|",
        *(
            f"| {name} | {runs[0].wire_bytes / processes.MB:.0f} | {plain_mb / min(run.wall_s for run in runs):,.0f}"
            f" | {min(run.cpu_s for run in runs) / count * 1_000_000:.2f} |"
            for name, runs in done.items()
        ),
    ]
    bench.say("\n".join(table))
    bench.results.add("served", measures, title="The served file", note=f"{count:,} records.", table=table)


def csv_render(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 12: CPU of a CSV job's download and of its file, against the limit loop's plain one of the same round."""
    count = bench.records(1_000_000, 200)
    bench.vendor.pages.make_cursor(count, 200)
    lap = Lap(bench.vendor.url("plain", count), count, 200)
    limit = script("limit_loop", folder=bench.folder)
    under_test.warm_up(lap.url, lap.size)
    done: list[dict[str, float]] = []
    for number in range(bench.rounds):
        runs: list[Callable[[], dict[str, float]]] = [
            lambda: {"limit loop": limit(lap).cpu_s},
            lambda: _csv_job(under_test, lap),
        ]
        first, second = runs if number % 2 == 0 else runs[::-1]
        done.append({**first(), **second()})
        bench.say("  " + ", ".join(f"{part} {spent / count * 1_000_000:.2f} CPU s" for part, spent in done[-1].items()))
    ratios = [(run["download"] + run["render"]) / max(run["limit loop"], processes.TICK_S) for run in done]
    parts = ["limit loop", "download", "render"]
    per_million = {part: [run[part] / count * 1_000_000 for run in done] for part in parts}
    table = [
        f"| CPU s per 1M records | {' | '.join(parts)} |",
        "|---|---|---|---|",
        f"| median | {' | '.join(f'{statistics.median(per_million[part]):.2f}' for part in parts)} |",
        f"| best | {' | '.join(f'{min(per_million[part]):.2f}' for part in parts)} |",
    ]
    bench.say("\n".join(table))
    bench.results.add("csv", {"csv.cpu": ratios}, title="CSV", note=f"{count:,} records, 200 a page.", table=table)


def fields(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 11: CPU of a download of some fields and of its file, against the limit loop's plain one of the round."""
    count = bench.records(1_000_000, 200)
    lap = Lap(bench.vendor.url("plain", count), count, 200)
    limit = script("limit_loop", folder=bench.folder)
    spent: list[tuple[float, float]] = []
    for number in range(bench.rounds):
        if number % 2:
            ours, theirs = _fields_job(under_test, lap), limit(lap).cpu_s
        else:
            theirs, ours = limit(lap).cpu_s, _fields_job(under_test, lap)
        spent.append((ours, max(theirs, processes.TICK_S)))
        bench.say(f"  limit loop {theirs / count * 1_000_000:.2f}, 6 of 18 fields {ours / count * 1_000_000:.2f} CPU s")
    note = f"{count:,} records, 200 a page, {_FIELDS}. Median {statistics.median(o for o, _ in spent):.2f} CPU s."
    bench.results.add("fields", {"fields.cpu": [o / t for o, t in spent]}, title="Choice of fields", note=note)


def _fields_job(under_test: ProductUnderTest, lap: Lap) -> float:
    before = sum(under_test.cpu_s().values())
    job = under_test.submit(lap.url, pageSize=lap.size, selectFields=_FIELDS)
    under_test.wait_for([job])
    fetch(under_test, lap.url, job)
    spent_s = sum(under_test.cpu_s().values()) - before
    lines = b"".join(under_test.served(lap.url, job)).splitlines()
    check_ids(ids_of_lines(lines), lap.count, "the chosen fields")
    if set(json.loads(lines[0])) != set(_FIELDS.split(",")):
        raise WrongOutputError(f"other fields than {_FIELDS} came: {lines[0][:300]!r}")
    return spent_s


def _csv_job(under_test: ProductUnderTest, lap: Lap) -> dict[str, float]:
    """CPU seconds of the download, by all of the product, and of the first rendering."""
    before = sum(under_test.cpu_s().values())
    job = under_test.submit(lap.url, pageSize=lap.size, format="text/csv")
    under_test.wait_for([job])
    download_s = sum(under_test.cpu_s().values()) - before
    render = fetch(under_test, lap.url, job)
    _check_csv(under_test, lap, job)
    return {"download": download_s, "render": render.cpu_s}


def fetch(under_test: ProductUnderTest, base_url: str, job: int, *, is_packed: bool = False) -> Served:
    """Read the whole answer and throw it away in the kernel, so that the client costs next to nothing."""
    url = urlsplit(under_test.web.url)
    head = (
        f"GET {PREFIX}/bulk/{job}/records HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        f"Authorization: {under_test.connect(base_url)}\r\nAccept: */*\r\n"
        f"Accept-Encoding: {'gzip' if is_packed else 'identity'}\r\n\r\n"
    )
    before, started, wire_bytes = _web_cpu_s(under_test), time.perf_counter(), 0
    with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
        connection.sendall(head.encode())
        while got := connection.recv_into(_BUFFER, len(_BUFFER), socket.MSG_TRUNC):
            wire_bytes += got
    return Served(wire_bytes, time.perf_counter() - started, _web_cpu_s(under_test) - before)


def _web_cpu_s(under_test: ProductUnderTest) -> float:
    now = under_test.cpu_s()
    return now["web"] + now["postgres"]


def _check(under_test: ProductUnderTest, url: str, jobs: dict[str, int], count: int) -> None:
    """All three carry the same records."""
    lines = b"".join(under_test.served(url, jobs["jsonl"]))
    check_ids(ids_of_lines(lines.splitlines()), count, "the JSON Lines")
    array = msgspec.json.decode(b"".join(under_test.served(url, jobs["json"])), type=list[msgspec.Raw])
    if b"\n".join([*array, b""]) != lines:
        raise WrongOutputError("the JSON array holds other records than the JSON Lines")
    inflater, digest = zlib.decompressobj(wbits=31), hashlib.sha256()
    for chunk in under_test.served(url, jobs["jsonl"], packed=True):
        digest.update(inflater.decompress(chunk))
    if not inflater.eof or digest.digest() != hashlib.sha256(lines).digest():
        raise WrongOutputError("the packed answer is not one gzip member of the same bytes")


def _check_csv(under_test: ProductUnderTest, lap: Lap, job: int) -> None:
    """Every cell, as the standard library reads it, is that of the vendor's record."""
    rows = csv.reader(_lines(under_test.served(lap.url, job)), strict=True)
    header = next(rows)
    ids = []
    for row in rows:
        ids.append(int(row[0]))
        if dict(zip(header, row, strict=True)) != dict(_cells(records.record(ids[-1]))):
            raise WrongOutputError(f"the CSV row of record {ids[-1]} is {row}")
    check_ids(ids, lap.count, "the CSV")


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        raise WrongOutputError("the CSV does not end with a newline")


def _cells(record: bytes) -> Iterator[tuple[str, str]]:
    """The columns and cells that a record should have, by the standard library. Its arrays hold strings, compact."""
    for name, value in json.loads(record, parse_int=str, parse_float=str).items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", text) for inner, text in value.items())
        elif isinstance(value, str):
            yield name, value
        else:
            yield name, "" if value is None else json.dumps(value, separators=(",", ":"))
