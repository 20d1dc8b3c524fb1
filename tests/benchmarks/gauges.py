"""What must not grow while the product works: memory, files, connections, rows, keys, objects. One sample at a time."""

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from app.db import queue
from tests.benchmarks import processes
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest

Sample = dict[str, float]

_TABLES = """
select coalesce(sum(n_dead_tup), 0)::float8 as dead, coalesce(sum(n_live_tup), 0)::float8 as live,
       coalesce(sum(pg_total_relation_size(relid)), 0)::float8 as bytes from pg_stat_user_tables
"""
_CONNECTIONS = "select count(*)::float8 as n from pg_stat_activity where datname is not null"


@dataclass(frozen=True)
class Growth:
    """A gauge in the first and in the last third of the time, warm-up left out."""

    name: str
    first: float
    last: float

    @property
    def percent(self) -> float:
        return 100 * (self.last - self.first) / max(self.first, 1.0)


class Gauges:
    """Reads them all. The processes are those that live when this is made; none of them may end (`must_live`)."""

    def __init__(self, under_test: ProductUnderTest) -> None:
        self._under_test = under_test
        self._broker = redis.Redis.from_url(under_test.valkey.url)
        groups = under_test.groups
        self._roots = {name: groups[name][0] for name in ("web", "sweeper", "callbacks", "worker")}
        self._lasting = dict(_named(self._roots))

    def must_live(self) -> None:
        """Raises RuntimeError when a process that nobody killed is gone: its leak would hide in its successor."""
        gone = {name for name, pid in self._lasting.items() if not processes.rss_bytes(pid)}
        if gone:
            raise RuntimeError(f"ended by itself: {', '.join(sorted(gone))}")

    def sample(self) -> Sample:
        self.must_live()
        rows = self._under_test.rows
        [tables] = rows(_TABLES)
        return {
            **{f"rss {name} MB": processes.rss_bytes(pid) / MB for name, pid in self._lasting.items()},
            **{f"files {name}": float(processes.open_file_count([pid])) for name, pid in self._roots.items()},
            "connections": rows(_CONNECTIONS)[0]["n"],
            "dead rows": tables["dead"],
            "live rows": tables["live"],
            "tables MB": tables["bytes"] / MB,
            "oldest due s": queue.oldest_due_age_s(self._under_test._watch),
            **self._broker_gauges(),
            **_storage_gauges(self._under_test.storage),
        }

    def _broker_gauges(self) -> Sample:
        memory = self._broker.info("memory")
        return {"broker MB": memory["used_memory"] / MB, "broker keys": float(self._broker.dbsize())}


def growths(samples: Sequence[Sample]) -> dict[str, Growth]:
    """Medians of thirds: what only goes up and down again is no growth."""
    third = max(1, len(samples) // 3)

    def middle(name: str, part: Sequence[Sample]) -> float:
        return statistics.median(sample[name] for sample in part)

    return {name: Growth(name, middle(name, samples[:third]), middle(name, samples[-third:])) for name in samples[0]}


def _named(roots: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Every process of ours by a name that stays; children are numbered in the order in which they were forked."""
    for name, root in roots.items():
        for number, pid in enumerate(sorted(processes.tree([root]))):
            yield (f"{name}.{number}" if number else name), pid


def _storage_gauges(top: Path) -> Sample:
    """Objects with their bytes, what unfinished writes left, and folders."""
    objects = unfinished = folders = 0
    size = 0
    for folder, below, names in os.walk(top):  # passes over what is deleted meanwhile
        folders += len(below)
        hidden = [name for name in names if name.startswith(".")]
        unfinished += len(hidden)
        objects += len(names) - len(hidden)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += (Path(folder) / name).stat().st_size
    return {
        "objects": float(objects),
        "objects MB": size / MB,
        "unfinished objects": float(unfinished),
        "folders": float(folders),
    }
