"""One push in a process of its own, and what it cost: `measure` starts it, `main` is it.

The bytes are those of a file, read 256 KiB at a time, several times over for outputs larger than the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.benchmarks.processes import MB, PeakMemory
from tests.fixtures.destinations.model import Settings

_CHUNK_BYTES = 256 * 1024
PATH = "bench/records.jsonl"


@dataclass(frozen=True)
class Push:
    """`way`: `haulage`, `boto3` (upload_fileobj as it is), `copy` (into a local file, which has its cost too)."""

    way: str
    settings: Settings
    source: str
    size: int


@dataclass(frozen=True)
class Cost:
    """`cpu_s` of the client alone."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def rate_mb(self, size: int) -> float:
        return size / self.wall_s / MB


def measure(push: Push) -> Cost:
    """Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(asdict(push)), stdout=subprocess.PIPE, text=True, check=True
    )
    return Cost(**json.loads(done.stdout))


class _Source:
    """A file that is read over and over, up to a size."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("rb")
        self._left = size

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        wanted = min(size, self._left)
        data = self._file.read(wanted)
        if not data and wanted:
            self._file.seek(0)
            data = self._file.read(wanted)
        self._left -= len(data)
        return data

    def chunks(self) -> Iterator[bytes]:
        return iter(self.read, b"")


def main() -> None:
    order = json.loads(sys.stdin.read())
    push = Push(**{**order, "settings": Settings(**order["settings"])})
    run = _WAYS[push.way](push.settings)
    source = _Source(Path(push.source), push.size)
    cpu_s, started = time.process_time(), time.perf_counter()
    with PeakMemory([os.getpid()]) as memory:
        run(source, push.size)
    wall_s = time.perf_counter() - started
    cost = Cost(wall_s, time.process_time() - cpu_s, memory.largest_bytes / MB)
    sys.stdout.write(json.dumps(asdict(cost)))


def _haulage(settings: Settings) -> Callable[[_Source, int], None]:
    destination = settings.open()

    def run(source: _Source, size: int) -> None:
        writing = destination.begin(PATH, nonce="b" * 16, most_bytes=size, note=lambda _: None)
        for chunk in source.chunks():
            writing.write(chunk)
        writing.publish(writing.state())

    return run


def _boto3(settings: Settings) -> Callable[[_Source, int], None]:
    config = settings.config
    session = boto3.session.Session(config["access_key_id"], settings.secrets["secret_access_key"])
    client: Any = session.client(
        "s3", region_name=config["region"], endpoint_url=config["endpoint_url"], config=Config(proxies={})
    )
    return lambda source, _: client.upload_fileobj(source, config["bucket"], config["prefix"] + PATH)


def _copy(settings: Settings) -> Callable[[_Source, int], None]:
    def run(source: _Source, _: int) -> None:
        with Path(settings.config["file"]).open("wb") as file:
            file.writelines(source.chunks())

    return run


_WAYS: dict[str, Callable[[Settings], Callable[[_Source, int], None]]] = {
    "haulage": _haulage,
    "boto3": _boto3,
    "copy": _copy,
}


if __name__ == "__main__":
    main()
