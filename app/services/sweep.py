"""Find what is due and nobody holds, and see that somebody takes it. Any number of sweepers may run.

Needs neither the broker nor a clock of its own. Every change repeats its condition, so two sweepers, or a sweeper and
a worker, cannot undo each other; one bad row does not stop the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from app.db import due_deliveries, jobs, pushes, queue, workers
from app.db.pool import Connection
from app.db.queue import Outlook
from app.domain.jobs import JobStatus, StopReason
from app.enqueue import QueueName, TaskName
from app.errors import BrokerUnavailableError, HaulageError
from app.services.callback_settings import limits_of
from app.services.context import Context
from app.services.finish import BY_THE_USER, finish_run
from app.services.schedule_runs import take_due

log = structlog.get_logger()

_SILENT_S = 2.0
"""A process that shows no sign of life for so long, and holds no lock, is dead."""

_HINT_LIVES_S = 30.0
"""A hint that led to nothing for so long is sent again although the queue is not empty."""

_EMPTY_QUEUE_S = 1.0
"""With an empty queue a hint this old was lost."""

_LEAST_DEPTH = 8
_BATCH = 1000
_PUSHING_PART = 4
_LEAST_PUSHES = 2


@dataclass(frozen=True)
class Pass:
    """What one pass did, for the log and for tests."""

    expired: int
    ended: int
    hinted: int
    next_due_at: datetime | None
    next_due_in_s: float | None
    """The same in seconds, by the database's clock."""
    is_anything_held: bool
    is_more_due: bool
    """More is due than is hinted at, and workers live: come back as soon as slots may be free."""


def sweep(ctx: Context) -> Pass:
    """One whole pass. Raises DatabaseUnavailableError; a broker that is down only means that no hints go out."""
    with ctx.db.connection() as conn:
        expired = workers.expire_dead(conn, silent_s=_SILENT_S)
    ended = _end_cancelled(ctx) + _end_without_instance(ctx)
    return _hint_pass(ctx, expired, ended)


def hint(ctx: Context) -> Pass:
    """Only make what is due and send the hints: what a notification asks for, many times a second if need be."""
    return _hint_pass(ctx, 0, 0)


def _hint_pass(ctx: Context, expired: int, ended: int) -> Pass:
    schedule_due_at = take_due(ctx)
    with ctx.db.connection() as conn:
        found = queue.look(conn)
    hints = _hint(ctx, found)
    with ctx.db.connection() as conn:
        owed_at = due_deliveries.next_due_at(conn, limits=limits_of(ctx))
        pushed_at = pushes.next_due_at(conn, after=found.now)
    times = [at for at in (schedule_due_at, found.next_due_at, owed_at, pushed_at) if at is not None]
    next_due_at = min(times, default=None)
    return Pass(
        expired,
        ended,
        hints.sent,
        next_due_at=next_due_at,
        next_due_in_s=None if next_due_at is None else (next_due_at - found.now).total_seconds(),
        is_anything_held=found.held_count > 0,
        is_more_due=hints.are_short and found.slot_count > 0,
    )


def _end_cancelled(ctx: Context) -> int:
    """Jobs whose holder has not let go within the grace: it is fenced."""
    with ctx.db.connection() as conn:
        due = jobs.find_cancels_due(conn, grace_s=ctx.settings.cancel_grace_s, limit=_BATCH)
    return _end_each(ctx, due, JobStatus.CANCELLATION_PENDING, *BY_THE_USER)


def _end_without_instance(ctx: Context) -> int:
    with ctx.db.connection() as conn:
        due = jobs.find_of_dead_instances(conn, _BATCH)
    text = "The instance of this job was deleted or disabled."
    return _end_each(ctx, due, None, JobStatus.ABORTED, StopReason.INSTANCE_GONE, text)


def _end_each(
    ctx: Context, job_ids: list[int], only: JobStatus | None, status: JobStatus, reason: StopReason, text: str
) -> int:
    ended = 0
    for job_id in job_ids:
        try:
            with ctx.db.transaction() as conn:
                job = jobs.get_for_worker(conn, job_id, lock=True)
                if job.status.is_terminal or (only is not None and job.status is not only):
                    continue
                finish_run(ctx, conn, job_id, status, reason, text)
                # The holder is fenced, but may be writing an object at this moment.
                jobs.schedule_orphan_sweep(conn, job_id, in_s=2 * ctx.settings.lease_s)
                ended += 1
        except HaulageError as error:
            log.warning("sweep.job_not_ended", job=job_id, reason=error.message)
        except Exception:  # a row that makes no sense must not keep all others waiting
            log.exception("sweep.job_not_ended", job=job_id)
    return ended


@dataclass(frozen=True)
class _Hints:
    sent: int = 0
    are_short: bool = False
    """More slices are due than hints wait."""


def _hint(ctx: Context, found: Outlook) -> _Hints:
    try:
        hints = _hint_slices(ctx, found)
        return replace(hints, sent=hints.sent + _hint_deliveries(ctx) + _hint_pushes(ctx, found))
    except BrokerUnavailableError as error:
        log.warning("hint.not_sent", reason=error.message)
        return _Hints()


def _hint_slices(ctx: Context, found: Outlook) -> _Hints:
    """Keep about twice as many hints queued as there are free slots, in fair order."""
    if found.due_count == 0:
        return _Hints()
    depth = ctx.enqueuer.depth(QueueName.DOWNLOADS)
    room = max(2 * (found.slot_count - found.held_count), _LEAST_DEPTH) - depth
    sent = 0
    if room > 0:
        fresh_s = _EMPTY_QUEUE_S if depth == 0 else _HINT_LIVES_S
        with ctx.db.connection() as conn:
            due = queue.find_due_slices(conn, fresh_s=fresh_s, limit=room)
            if due:
                queue.mark_nudged(conn, due)
        sent = _send(ctx, TaskName.DOWNLOAD_LEG, due, queue.forget_nudge)
    return _Hints(sent, found.due_count > depth + sent)


def _hint_deliveries(ctx: Context) -> int:
    with ctx.db.connection() as conn:
        if not due_deliveries.find_due(conn, 1, renudge_s=_EMPTY_QUEUE_S, limits=limits_of(ctx)):
            return 0
    is_empty = ctx.enqueuer.depth(QueueName.CALLBACKS) == 0
    with ctx.db.transaction() as conn:
        renudge_s = _EMPTY_QUEUE_S if is_empty else _HINT_LIVES_S
        due = due_deliveries.find_due(conn, _BATCH, renudge_s=renudge_s, limits=limits_of(ctx))
        due_deliveries.mark_nudged(conn, due)
    return _send(ctx, TaskName.DELIVER_CALLBACK, due, due_deliveries.forget_nudge)


def _hint_pushes(ctx: Context, found: Outlook) -> int:
    """Outputs are pushed by the workers that fetch: a quarter of their slots is for it, and never all of several.

    Those for which there is no room wait until an attempt ends, which wakes the sweepers.
    """
    with ctx.db.connection() as conn:
        if not pushes.find_due(conn, 1, renudge_s=_EMPTY_QUEUE_S):
            return 0
        held = pushes.held_count(conn)
    depth = ctx.enqueuer.depth(QueueName.PUSHES)
    least = 1 if 0 < found.slot_count <= _LEAST_PUSHES else _LEAST_PUSHES
    room = max(found.slot_count // _PUSHING_PART, least) - held - depth
    if room <= 0:
        return 0
    with ctx.db.transaction() as conn:
        due = pushes.find_due(conn, room, renudge_s=_EMPTY_QUEUE_S if depth == 0 else _HINT_LIVES_S)
        pushes.mark_nudged(conn, due)
    return _send(ctx, TaskName.PUSH_OUTPUT, due, pushes.forget_nudge)


def _send(ctx: Context, task: TaskName, row_ids: list[int], undo: Callable[[Connection, list[int]], None]) -> int:
    for sent, row_id in enumerate(row_ids):
        try:
            ctx.enqueuer.send(task, row_id)
        except BrokerUnavailableError:
            with ctx.db.connection() as conn:
                undo(conn, row_ids[sent:])
            raise
    return len(row_ids)
