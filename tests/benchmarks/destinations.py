"""Pushes: 1 GB beside the provider's own client at the same server, and memory that does not grow up to 5 GB."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import destination_folders, destinations_cloud
from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError
from tests.benchmarks.processes import MB
from tests.benchmarks.pushing import PATH, Cost, Push, measure
from tests.benchmarks.records import record
from tests.fixtures.destinations.model import Settings
from tests.fixtures.destinations.s3 import KEY_ID, SECRET, s3_server
from tests.fixtures.destinations.s3_buckets import S3Place

_GB = 1_000_000_000
_RECORDS_AT_ONCE = 1000


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        run_s3(bench, Path(folder))
    destination_folders.run(bench)
    destinations_cloud.run(bench)


def run_s3(bench: Bench, folder: Path) -> None:
    source = folder / "records.jsonl"
    size = _make_records(source, bench.number(_GB))
    with s3_server(_made(folder / "s3")) as url:
        place = S3Place(url, KEY_ID, SECRET)
        costs: dict[str, list[Cost]] = {"haulage": [], "boto3": []}
        for number in range(min(bench.rounds, 3)):
            order = ("haulage", "boto3") if number % 2 else ("boto3", "haulage")
            for way in order:
                costs[way].append(measure(Push(way, place.settings, str(source), size)))
                _check(place, source, size)
                bench.say(f"  {way}: {_shown(costs[way][-1], size)}")
        local = _local(folder, source, size)
        _note_speed(bench, costs["haulage"], costs["boto3"], local, size)
        large = measure(Push("haulage", place.settings, str(source), 5 * size))
        if place.size(place.prefix + PATH) != 5 * size:
            raise WrongOutputError("the large object has another length than was pushed")
        _note_memory(bench, statistics.median(each.peak_mb for each in costs["haulage"]), large, 5 * size)
        place.admin.close()


def _note_speed(bench: Bench, ours: list[Cost], theirs: list[Cost], local: Cost, size: int) -> None:
    cpu_s = [(each.cpu_s - local.cpu_s) / size * _GB for each in ours]
    note = (
        f"{size / _GB:.2f} GB of JSON Lines to nanio. Haulage {_middle(ours, size)}; boto3.upload_fileobj"
        f" {_middle(theirs, size)}; copying the file takes {local.cpu_s:.2f} CPU s."
    )
    bench.say(note)
    measures = {
        "destinations.s3_rate": [their.wall_s / our.wall_s for our, their in zip(ours, theirs, strict=True)],
        "destinations.s3_cpu": cpu_s,
    }
    bench.results.add("destinations_s3", measures, title="Pushing to S3", note=note)


def _note_memory(bench: Bench, small_mb: float, large: Cost, size: int) -> None:
    note = (
        f"{size / _GB:.2f} GB: {_shown(large, size)}; {small_mb:.0f} MB with a fifth of it. Parts on their way and the"
        " one that is filled take 40 MiB."
    )
    bench.say(note)
    measures = {"destinations.s3_growth": [100 * (large.peak_mb / small_mb - 1)]}
    bench.results.add("destinations_s3_memory", measures, title="Pushing a large output to S3", note=note)


def _middle(costs: Sequence[Cost], size: int) -> str:
    return _shown(sorted(costs, key=lambda cost: cost.wall_s)[len(costs) // 2], size)


def _shown(cost: Cost, size: int) -> str:
    return f"{cost.rate_mb(size):.0f} MB/s, {cost.cpu_s:.2f} CPU s, peak {cost.peak_mb:.0f} MB"


def _local(folder: Path, source: Path, size: int) -> Cost:
    copied = folder / "copy"
    cost = measure(Push("copy", Settings("file", {"file": str(copied)}), str(source), size))
    copied.unlink()
    return cost


def _make_records(path: Path, size: int) -> int:
    """At least `size` bytes; the bytes that it has."""
    written = 0
    with path.open("wb") as file:
        number = 0
        while written < size:
            lines = [record(number + offset) for offset in range(1, _RECORDS_AT_ONCE + 1)]
            written += file.write(b"\n".join([*lines, b""]))
            number += _RECORDS_AT_ONCE
    return written


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(place: S3Place, source: Path, size: int) -> None:
    """What lies there is what was pushed."""
    body = place.admin.get_object(Bucket=place.bucket, Key=place.prefix + PATH)["Body"]
    found = hashlib.blake2b()
    for chunk in body.iter_chunks(1024 * 1024):
        found.update(chunk)
    with source.open("rb") as file:
        wanted = hashlib.file_digest(file, "blake2b")
    if found.digest() != wanted.digest():
        raise WrongOutputError(f"the object has other bytes than the {size / MB:.0f} MB that were pushed")
    place.delete(place.prefix + PATH)
