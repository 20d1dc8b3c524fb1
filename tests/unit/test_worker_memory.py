"""A worker gives back what its legs have freed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workers import memory

_HOLES = """
from pathlib import Path
from workers import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept, freed = [], []
for _ in range(1000):  # below the size from which glibc takes a block from the system and gives it back by itself
    freed.append(b"x" * 100_000)
    kept.append(b"x" * 50_000)  # too large for holes that are there already: it keeps its neighbours apart
freed.clear()
before = resident()
memory.give_back()
print(before - resident())
"""

_LEG = """
from types import SimpleNamespace
from workers import tasks

done = []
tasks.runtime.start_runtime = lambda: SimpleNamespace(context=None, worker_id=1)
tasks.run_leg = lambda *_, **__: done.append("leg")
tasks.memory.give_back = lambda: done.append("memory")
tasks.download_leg(7)
print(*done)
"""


def _run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_holes_in_the_heap_go_back_to_the_system() -> None:
    assert int(_run(_HOLES)) > 80_000_000


def test_it_is_done_once_while_many_legs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    trims: list[int] = []

    class Library:
        malloc_trim = trims.append

    clock = iter((100.0, 101.0, 104.9, 105.1))
    monkeypatch.setattr(memory, "_given_back_at", float("-inf"))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda _: Library))
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for _ in range(4):
        memory.give_back()
    assert trims == [0, 0], "at 100 and at 105.1"


def test_a_c_library_without_it_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_given_back_at", float("-inf"))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda _: object()))
    memory.give_back()


def test_the_end_of_a_leg_gives_back() -> None:
    assert _run(_LEG, BROKER_URL="redis://127.0.0.1:1/0") == "leg memory"
