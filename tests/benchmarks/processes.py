"""What processes cost, by the kernel's own books in /proc: CPU of whole trees, peak memory, open files."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MB = 1_000_000
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.2
_RESET_PEAK = "5"
_PROC = Path("/proc")


@dataclass(frozen=True)
class _Stat:
    parent: int
    cpu_s: float
    """User and system time, of its reaped children too."""


def tree(roots: Iterable[int]) -> set[int]:
    """The roots and everything below them that lives."""
    return set(_stats(roots))


def cpu_s(roots: Iterable[int]) -> float:
    """CPU seconds of the trees so far. Of what ends in between nothing is lost: its parent's books keep it."""
    return sum(stat.cpu_s for stat in _stats(roots).values())


def rss_bytes(pid: int) -> int:
    return _status_bytes(pid, "VmRSS")


def pss_bytes(pid: int) -> int:
    """Resident size, of what several processes share only its part."""
    return _bytes_of(_PROC / str(pid) / "smaps_rollup", "Pss")


def open_file_count(roots: Iterable[int]) -> int:
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            total += sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    return total


class PeakMemory:
    """The highest resident size of each process of the trees while this context is entered.

    The kernel keeps the peak; sampling only catches processes that end before the context does.
    """

    def __init__(self, roots: Iterable[int]) -> None:
        self._roots = list(roots)
        self._peaks: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        for pid in tree(self._roots):
            with contextlib.suppress(OSError):
                (_PROC / str(pid) / "clear_refs").write_text(_RESET_PEAK)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    @property
    def largest_bytes(self) -> int:
        return max(self._peaks.values(), default=0)

    @property
    def total_bytes(self) -> int:
        """Sum over the processes, each at its own peak."""
        return sum(self._peaks.values())

    def of(self, root: int) -> int:
        """The largest peak in the tree of one root that still lives."""
        return max((self._peaks.get(pid, 0) for pid in tree([root])), default=0)

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        for pid in tree(self._roots):
            self._peaks[pid] = max(self._peaks.get(pid, 0), _status_bytes(pid, "VmHWM"))


def _stats(roots: Iterable[int]) -> dict[int, _Stat]:
    everything = dict(_all_stats())
    children: dict[int, list[int]] = {}
    for pid, stat in everything.items():
        children.setdefault(stat.parent, []).append(pid)
    found: dict[int, _Stat] = {}
    left = [pid for pid in roots if pid in everything]
    while left:
        pid = left.pop()
        found[pid] = everything[pid]
        left += [child for child in children.get(pid, ()) if child not in found]
    return found


def _all_stats() -> Iterator[tuple[int, _Stat]]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # proc(5): the name in parentheses may hold anything; field 4 is the parent, 14 to 17 the times.
                words = (folder / "stat").read_text().rpartition(") ")[2].split()
                yield int(folder.name), _Stat(int(words[1]), sum(int(word) for word in words[11:15]) * TICK_S)


def _status_bytes(pid: int, name: str) -> int:
    return _bytes_of(_PROC / str(pid) / "status", name)


def _bytes_of(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
