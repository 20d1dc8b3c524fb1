"""Pushes into folders: to OpenSSH's sftp server, and into one of this machine."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from itertools import count, islice
from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError
from tests.benchmarks.processes import MB
from tests.benchmarks.pushing import PATH, Cost, Push, measure
from tests.benchmarks.records import record
from tests.fixtures.destinations.file import FilePlace
from tests.fixtures.destinations.folders import FolderPlace
from tests.fixtures.destinations.sftp import SftpPlace
from tests.fixtures.openssh import OpenSsh

_GB = 1_000_000_000
_LARGER = 5


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        source = Path(name) / "records.jsonl"
        with source.open("wb") as file:
            numbers = count(1)
            while file.tell() < bench.number(_GB):
                file.writelines(record(number) + b"\n" for number in islice(numbers, 1000))
        run_sftp(bench, source)
        run_file(bench, source, Path(name))


def run_sftp(bench: Bench, source: Path) -> None:
    """`source`: 1 GB of records. It is pushed, and then five times as much."""
    server = OpenSsh()
    server.start()
    try:
        costs = _pushed(bench, SftpPlace(server), source)
        large = _pushed_large(SftpPlace(server), source)
    finally:
        server.stop()
    size = source.stat().st_size
    more = f"{_LARGER} times as much: {_shown([large], _LARGER * size)}"
    note = f"{size / _GB:.2f} GB to OpenSSH: {_shown(costs, size)}. {more}."
    bench.say(note)
    small_mb = statistics.median(cost.peak_mb for cost in costs)
    measures = {
        "destinations.sftp_cpu": [cost.cpu_s / size * _GB for cost in costs],
        "destinations.sftp_growth": [100 * (large.peak_mb / small_mb - 1)],
    }
    bench.results.add("destinations_sftp", measures, title="Pushing to an SFTP server", note=note)


def run_file(bench: Bench, source: Path, folder: Path) -> None:
    """The same 1 GB into a folder."""
    costs = _pushed(bench, FilePlace(folder), source)
    size = source.stat().st_size
    note = f"{size / _GB:.2f} GB into a folder: {_shown(costs, size)}."
    bench.say(note)
    measures = {"destinations.file_memory": [cost.peak_mb for cost in costs]}
    bench.results.add("destinations_file", measures, title="Pushing into a folder", note=note)


def _pushed(bench: Bench, place: FolderPlace, source: Path) -> list[Cost]:
    costs = []
    for _ in range(min(bench.rounds, 3)):
        costs.append(measure(Push("haulage", place.settings, str(source), source.stat().st_size)))
        written = place.folder / place.prefix / PATH
        if _digest(written) != _digest(source):
            raise WrongOutputError(f"{PATH} has other bytes than were pushed")
        written.unlink()
    return costs


def _pushed_large(place: FolderPlace, source: Path) -> Cost:
    size = _LARGER * source.stat().st_size
    cost = measure(Push("haulage", place.settings, str(source), size))
    if (place.folder / place.prefix / PATH).stat().st_size != size:
        raise WrongOutputError(f"the large {PATH} has another length than was pushed")
    return cost


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _shown(costs: list[Cost], size: int) -> str:
    middle = sorted(costs, key=lambda cost: cost.wall_s)[len(costs) // 2]
    return f"{size / middle.wall_s / MB:.0f} MB/s, {middle.cpu_s:.2f} CPU s, peak {middle.peak_mb:.0f} MB"
