"""Contenders, one after the other on the same course, in rounds; every output is checked."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.local.procfile import CHECKOUT
from tests.benchmarks import processes
from tests.benchmarks.checked import check_files, check_ids, ids_of_lines
from tests.benchmarks.product import ProductUnderTest

_OUTPUTS = ("records.jsonl", "out/vendor/records/*.jsonl")


@dataclass(frozen=True)
class Run:
    """One contender, once around. CPU is of the whole tree with PostgreSQL and broker where it uses them."""

    name: str
    record_count: int
    wall_s: float
    cpu_s: float
    start_cpu_s: float
    peak_rss_bytes: int
    cpu_parts_s: dict[str, float] = field(default_factory=dict)

    @property
    def records_per_s(self) -> float:
        return self.record_count / self.wall_s

    @property
    def cpu_s_per_million(self) -> float:
        return max(self.cpu_s, processes.TICK_S) / self.record_count * 1_000_000


@dataclass(frozen=True)
class Lap:
    """A course: where the vendor's set is, how large, how it is paged."""

    url: str
    count: int
    size: int


Contender = Callable[[Lap], Run]
"""Runs once on a course and checks its own output."""


def script(
    module: str,
    *,
    name: str = "",
    python: Path | None = None,
    options: Mapping[str, str] | None = None,
    servers: Callable[[], Sequence[int]] = tuple,
    folder: Path,
) -> Contender:
    """A contender of `tests.benchmarks.contenders`, in a process of its own."""

    def once(lap: Lap) -> Run:
        with tempfile.TemporaryDirectory(dir=folder) as work, contextlib.ExitStack() as parts:
            referee, theirs = socket.socketpair()
            parts.enter_context(referee)
            course = {**asdict(lap), "folder": work, "options": dict(options or {})}
            command = [str(python or sys.executable), "-m", f"tests.benchmarks.contenders.{module}", json.dumps(course)]
            log = parts.enter_context((Path(work) / "log").open("w+b"))
            process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            theirs.close()
            parts.callback(_end, process)
            run = _time(name or module, lap, process.pid, [process.pid, *servers()], referee, Path(work) / "log")
            found = sorted(path for pattern in _OUTPUTS for path in Path(work).glob(pattern))
            check_files(found, lap.count, run.name)
            return run

    return once


def _time(name: str, lap: Lap, own: int, roots: Sequence[int], referee: socket.socket, log: Path) -> Run:
    _expect(referee, b"r", name, log)
    start_cpu_s, before_s = processes.cpu_s([own]), processes.cpu_s(roots)
    with processes.PeakMemory([own]) as memory:
        started = time.perf_counter()
        referee.sendall(b"g")
        _expect(referee, b"d", name, log)
        wall_s = time.perf_counter() - started
        cpu_s = processes.cpu_s(roots) - before_s
    return Run(name, lap.count, wall_s, cpu_s, start_cpu_s, memory.largest_bytes)


def _expect(referee: socket.socket, word: bytes, name: str, log: Path) -> None:
    referee.settimeout(1800)
    if referee.recv(1) != word:
        raise RuntimeError(f"{name} ended early:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """By the group that it leads: a Celery worker below it ends too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def product(
    under_test: ProductUnderTest, variant: str = "default", *, name: str = "haulage", workers: int = 1, **criteria: Any
) -> Contender:
    """The whole product: from the submission over HTTP to COMPLETED; then its file is fetched and checked."""

    def once(lap: Lap) -> Run:
        under_test.use_worker(variant, count=workers)
        under_test.warm_up(lap.url, lap.size, **criteria)
        before = under_test.cpu_s()
        with processes.PeakMemory(under_test.our_roots) as memory:
            started = time.perf_counter()
            job = under_test.submit(lap.url, pageSize=lap.size, **criteria)
            under_test.wait_for([job])
            wall_s = time.perf_counter() - started
            after = under_test.cpu_s()
        parts = {part: after[part] - before[part] for part in after}
        check_served(under_test, lap.url, job, lap.count)
        return Run(name, lap.count, wall_s, sum(parts.values()), 0.0, memory.largest_bytes, parts)

    return once


def check_served(under_test: ProductUnderTest, url: str, job: int, count: int) -> None:
    check_ids(ids_of_lines(_lines(under_test.served(url, job))), count, f"the served file of job {job}")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def rounds(contenders: Sequence[Contender], lap: Lap, count: int, say: Callable[[str], None]) -> list[list[Run]]:
    """`count` rounds of all contenders, whoever begins changing from round to round."""
    done = []
    for number in range(count):
        turn = number % len(contenders)
        runs = [contender(lap) for contender in [*contenders[turn:], *contenders[:turn]]]
        say(
            "  " + ", ".join(f"{run.name} {run.records_per_s:,.0f}/s {run.cpu_s_per_million:.2f} CPU s" for run in runs)
        )
        done.append(runs)
    return done


def as_json(done: Sequence[Sequence[Run]]) -> list[list[dict[str, Any]]]:
    return [[asdict(run) for run in runs] for runs in done]
