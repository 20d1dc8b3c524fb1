"""Pushes to Google and Azure, a part of the case `destinations`: 1 GB each to emulators, with flat memory.

The emulators keep objects in memory and are slower than what they stand for: no rate is held against them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError
from tests.fixtures.azurite import azurite_server
from tests.fixtures.destinations.azure import AzurePlace
from tests.fixtures.destinations.child import Writer, chunks
from tests.fixtures.destinations.gcs import GcsPlace, conditional_gcs_server
from tests.fixtures.destinations.model import Place

_SMALL_BYTES = 200_000_000
_LARGE_BYTES = 1_000_000_000
_PATH = "bench/records.jsonl"
_MB = 1e6


@dataclass(frozen=True)
class _Cost:
    wall_s: float
    peak_mb: float


def run(bench: Bench) -> None:
    with conditional_gcs_server() as (url, storage):
        _measure(bench, "gcs", "gcp-storage-emulator", GcsPlace(url, storage))
    with azurite_server() as server:
        place = AzurePlace(server)
        _measure(bench, "azure", "Azurite", place)
        place.admin.close()


def _measure(bench: Bench, kind: str, server: str, place: Place) -> None:
    small = _pushed(place, bench.number(_SMALL_BYTES))
    size = bench.number(_LARGE_BYTES)
    large = _pushed(place, size)
    note = (
        f"{size / _MB:.0f} MB to {server} and copied there: {size / large.wall_s / _MB:.0f} MB/s,"
        f" peak {large.peak_mb:.0f} MB; {small.peak_mb:.0f} MB with a fifth of it."
    )
    bench.say(f"  {kind}: {note}")
    growth = 100 * (large.peak_mb / small.peak_mb - 1)
    bench.results.add(
        f"destinations_{kind}", {f"destinations.{kind}_growth": [growth]}, title=f"Pushing to {kind}", note=note
    )


def _pushed(place: Place, size: int) -> _Cost:
    """In a process of its own."""
    started = time.perf_counter()
    with Writer(place.settings, _PATH, "b" * 16, size, publish=True) as writer:
        peak_mb = writer.wait_for("peak_mb")
    wall_s = time.perf_counter() - started
    content = memoryview(place.read(place.prefix + _PATH) or b"")
    for chunk in chunks(size):
        if content[: len(chunk)] != chunk:
            raise WrongOutputError(f"the object differs from the {size} bytes that were pushed")
        content = content[len(chunk) :]
    place.delete(place.prefix + _PATH)
    return _Cost(wall_s, peak_mb)
