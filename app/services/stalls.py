"""Jobs that stand still: who asks, and a line in the log for each."""

from __future__ import annotations

from collections import Counter

import structlog

from app.db import stalls
from app.db.pool import Connection
from app.db.stalls import Patience
from app.domain.stalls import Stall
from app.services.context import Context

log = structlog.get_logger()

MOST = 1000
"""Of more jobs that stand still only so many are looked at."""

_MOST_LINES = 20


def find_stall(ctx: Context, conn: Connection, job_id: int) -> Stall | None:
    """What an unfinished job waits for; None while it moves."""
    return stalls.find_stall(conn, job_id, _patience(ctx))


def count_stalled(ctx: Context, conn: Connection) -> dict[str, int]:
    """How many jobs stand still, by what they wait for, at most 1,000 together."""
    return Counter(each.waits_for.value for each in stalls.find_stalled(conn, _patience(ctx), limit=MOST))


class StallWatch:
    """Tells of each job that stands still, once as long as it does. One a sweeper."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._told: set[tuple[int, float]] = set()

    def look(self) -> int:
        """Log what is new, at most 20 lines at once; how many jobs stand still. Raises DatabaseUnavailableError."""
        with self._ctx.db.connection() as conn:
            found = stalls.find_stalled(conn, _patience(self._ctx), limit=MOST)
        marks = {(each.job_id, each.since.timestamp()): each for each in found}
        news = [mark for mark in marks if mark not in self._told][:_MOST_LINES]
        for mark in news:
            stall = marks[mark]
            log.warning(
                "job.stalled", job=stall.job_id, since=stall.since.isoformat(), waits_for=stall.waits_for.value,
                what=stall.what, page_p95_s=stall.page_p95_s, stalled_jobs=len(found),
            )  # fmt: skip
        self._told = {mark for mark in self._told if mark in marks} | set(news)
        return len(found)


def _patience(ctx: Context) -> Patience:
    return Patience(ctx.settings.stall_factor, ctx.settings.stall_least_s)
