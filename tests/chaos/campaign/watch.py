"""What stands in the rows at this moment, and which processes are alive, seen past proxies and product."""

import os
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

_RUNNING_STATES = frozenset("RSD")

_HELD = """
select slices.id, slices.claim, split_part(workers.name, ':', -1)::int as pid
from slices join workers on workers.id = slices.worker_id where slices.lease_expires_at > clock_timestamp()
"""
_STANDINGS = """
select slices.id, claim, next_run_at is null as is_over,
  case direction when 'UPLOAD' then checkpoint else sequence end as sequence,
  case direction when 'UPLOAD' then case when moved_at > held_since then claim else 0 end
  else coalesce((select max(segments.claim) from segments
    where segments.job_id = slices.job_id and segments.run_number = slices.run_number
    and segments.slice_number = slices.number), 0) end as committed_claim
from slices join jobs on jobs.id = slices.job_id where slices.id = any(%s)
"""
_ENDED = """
select id, status, stop_reason from jobs where id = any(%s) and status in ('COMPLETED', 'ABORTED', 'CANCELLED')
"""
_STARTED = "select id from slices where next_run_at <= now() and claim > 0"
_DUE = "select id from slices where next_run_at <= now() and lease_expires_at is null"


@dataclass(frozen=True)
class Held:
    """A slice under a live lease, and the process that holds it."""

    slice_id: int
    claim: int
    pid: int


@dataclass(frozen=True)
class Standing:
    """How far a slice has come. `committed_claim`: the newest claim that has stored a segment; 0 for none.

    Of an upload: `sequence` counts the steps told, and `committed_claim` is the present claim once it has told one.
    """

    claim: int
    sequence: int
    is_over: bool
    committed_claim: int


@dataclass(frozen=True)
class EndedJob:
    id: int
    status: str
    stop_reason: str


class Watch:
    """One connection, made anew as often as needed. Safe for threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def held(self) -> list[Held]:
        return [Held(row["id"], row["claim"], row["pid"]) for row in self._rows(_HELD)]

    def running(self) -> list[Held]:
        """Slices that a living, unfrozen process holds: the jobs that run at this moment."""
        held = self.held()
        alive = {pid for pid in {each.pid for each in held} if is_running(pid)}
        return [each for each in held if each.pid in alive]

    def standings(self, slice_ids: Collection[int]) -> dict[int, Standing]:
        return {
            row["id"]: Standing(row["claim"], row["sequence"], row["is_over"], row["committed_claim"])
            for row in self._rows(_STANDINGS, list(slice_ids))
        }

    def ended(self, job_ids: Collection[int]) -> list[EndedJob]:
        rows = self._rows(_ENDED, list(job_ids))
        return [EndedJob(row["id"], row["status"], row["stop_reason"]) for row in rows]

    def due(self) -> list[int]:
        """Slices that wait for somebody to take them."""
        return [row["id"] for row in self._rows(_DUE)]

    def started(self) -> list[int]:
        """Slices that are held, or between two legs."""
        return [row["id"] for row in self._rows(_STARTED)]

    def slices_of(self, job_ids: Sequence[int]) -> list[int]:
        rows = self._rows("select max(id) as id from slices where job_id = any(%s) group by job_id", list(job_ids))
        return [row["id"] for row in rows]

    def run_number(self, job_id: int) -> int:
        return int(self._rows("select run_number from jobs where id = %s", job_id)[0]["run_number"])

    def has_job(self, idempotency_key: str) -> bool:
        """Whether the submission with that key stands."""
        return bool(self._rows("select 1 from idempotency_keys where key = %s", idempotency_key))

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Raises psycopg.OperationalError while PostgreSQL is away; a connection that broke before is made anew."""
        with self._lock:
            if self._connection is not None:
                try:
                    return self._connection.execute(query.encode(), values).fetchall()
                except psycopg.OperationalError:
                    self._drop()
            self._connection = psycopg.connect(self._url, autocommit=True, row_factory=dict_row, connect_timeout=5)
            return self._connection.execute(query.encode(), values).fetchall()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.OperationalError):
                self._connection.close()
            self._connection = None


def is_running(pid: int) -> bool:
    """Neither dead nor frozen."""
    return _state(pid) in _RUNNING_STATES


def is_frozen(pid: int) -> bool:
    return _state(pid) == "T"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def group_of(pid: int) -> int | None:
    """The process group, which of ours is named by its main process; None for a process that is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
