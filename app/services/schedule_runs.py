"""The runs of schedules: each due time is taken once, whoever sweeps and whatever dies.

A run's row, its job and the schedule's next due time stand or fall together, under the lock of the schedule's row. So
after any crash, and after a COMMIT in doubt, the next look finds either all of it or nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from app.db import chains, jobs, schedule_runs, schedules
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.schedules import Schedule
from app.domain.criteria import SUPPORTED, DownloadCriteria
from app.domain.schedules import Decision, RunKind, RunState, Times, decide
from app.errors import ConflictError, HaulageError, InvalidInputError, TransientError
from app.services.context import Caller, Context
from app.services.continuation import ITS_OWN, LostPlace, find_lost_place, find_pass_source
from app.services.recurrences import recurrence_of
from app.services.submission import Submission
from app.services.submit import store_download
from app.services.workflows import feed_later

log = structlog.get_logger()

_BATCH = 50
"""Schedules of one look, so that hints do not wait for long."""

_LOOK_S = 0.5
"""So long a look makes runs; then hints have their turn, and the next look goes on."""

_ANOTHER_DATE = "In a schedule: change its filterDateField, and the next run begins anew."
_OF_NO_USE = (
    "That is less than the time between two runs, and begun anew under the same limits the list would end at the same"
    " record. Take limit and apiLimit away or raise them, or let it run more often: the next run then begins the list"
    " anew."
)
_CRASHED = "The job could not be made; the log of the sweeper says why."


def take_due(ctx: Context, now: datetime | None = None) -> datetime | None:
    """Make the runs that are due. Returns when there is something to do again; None: when something changes.

    `now`: by the database's clock, but for tests. One bad schedule does not stop the others. Raises
    DatabaseUnavailableError.
    """
    with ctx.db.connection() as conn:
        now, earliest = schedules.look(conn, now)
        if earliest is None or earliest > now:
            return earliest
        due = schedules.find_due(conn, now, _BATCH)
    is_any, ends_at = False, time.monotonic() + _LOOK_S
    turn = due
    while turn:  # in turns: a backlog of one does not keep the others waiting
        turn = [schedule_id for schedule_id in turn if _is_one_taken(ctx, schedule_id, now)]
        is_any = is_any or bool(turn)
        if time.monotonic() >= ends_at:
            break
    if turn or (is_any and len(due) == _BATCH):
        return now
    with ctx.db.connection() as conn:
        return schedules.next_due_at(conn, now)


def _is_one_taken(ctx: Context, schedule_id: int, now: datetime) -> bool:
    """Take the oldest of what is due of the schedule; False also where it could not be."""
    try:
        return _is_taken(ctx, schedule_id, now)
    except HaulageError as error:  # the next look finds it due again, unless the COMMIT stands
        log.warning("schedule.not_taken", schedule=schedule_id, reason=error.message)
    except Exception:
        log.exception("schedule.not_taken", schedule=schedule_id)
        _give_up(ctx, schedule_id, now)
    return False


def _is_taken(ctx: Context, schedule_id: int, now: datetime, failure: str | None = None) -> bool:
    """Take what is due of the schedule; False where nothing is, or another sweeper is at it.

    `failure`: why no job is even tried.
    """
    with ctx.db.transaction() as conn:
        schedule = schedules.lock_due(conn, schedule_id, now)
        if schedule is None or schedule.next_due_at is None:
            return False
        try:
            decision = _decide(conn, schedule, schedule.next_due_at, now)
        except HaulageError as error:  # the zone is not known here: it ends, and says so
            times = Times(schedule.next_due_at, schedule.next_due_at)
            decision, failure = Decision(times, None, None), error.message
        _note_skipped(conn, schedule, decision.skipped)
        job_id = None
        if decision.run is not None:
            job_id = _made(ctx, conn, schedule, decision.run, failure)
        schedules.go_on(conn, schedule.id, decision.next_due_at, job_id)
        return True


def _decide(conn: Connection, schedule: Schedule, next_due_at: datetime, now: datetime) -> Decision:
    recurrence = recurrence_of(schedule.cron, schedule.time_zone)
    taken_at = schedule_runs.last_due_at(conn, schedule.id)
    if taken_at is not None and taken_at >= next_due_at:  # somebody has set the row back
        behind = recurrence.after(taken_at)
        if behind is None or behind > now:
            return Decision(None, None, behind)
        next_due_at = behind
    return decide(recurrence, schedule.catch_up, schedule.catch_up_limit, next_due_at=next_due_at, now=now)


def _give_up(ctx: Context, schedule_id: int, now: datetime) -> None:
    """What failed in a way that nobody foresaw fails once a due time, and not at every look."""
    try:
        _is_taken(ctx, schedule_id, now, _CRASHED)
    except Exception:
        log.exception("schedule.not_given_up", schedule=schedule_id)


def _note_skipped(conn: Connection, schedule: Schedule, skipped: Times | None) -> None:
    if skipped is None:
        return
    note = " ".join(["Over before it could run.", *_waits(conn, schedule, skipped)])
    _note(conn, schedule, skipped, RunState.SKIPPED, note=note)


def _note(
    conn: Connection,
    schedule: Schedule,
    times: Times,
    state: RunState,
    *,
    kind: RunKind = RunKind.DUE,
    job_id: int | None = None,
    note: str | None = None,
) -> None:
    schedule_runs.insert(conn, schedule.id, schedule.chain_number, kind, times, state, job_id=job_id, note=note)


def _waits(conn: Connection, schedule: Schedule, times: Times) -> Iterator[str]:
    """That the run before was still under way at the due time."""
    if schedule.current_job_id is None or schedule.may_overlap:
        return
    ended_at = schedule_runs.find_end(conn, schedule.current_job_id)
    if ended_at is not None and ended_at > times.first:
        yield f"Job {schedule.current_job_id} of the run before was under way until {ended_at:%Y-%m-%dT%H:%M:%SZ}."


def _made(ctx: Context, conn: Connection, schedule: Schedule, times: Times, failure: str | None) -> int | None:
    """The job of a due time; None where there can be none, which is noted."""
    notes = list(_waits(conn, schedule, times))
    if times.count > 1:
        notes.append(f"One run for {times.counted} due times since {times.first:%Y-%m-%dT%H:%M:%SZ}.")
    job_id = None
    if failure is None:
        try:
            with conn.transaction():
                submission, told = submit_run(ctx, conn, schedule)
            job_id = submission.job_id
            notes += told
        except TransientError:
            raise
        except HaulageError as error:
            failure = error.message
    state = RunState.SUBMITTED if failure is None else RunState.FAILED
    _note(conn, schedule, times, state, job_id=job_id, note=" ".join([*notes, failure or ""]).strip() or None)
    return job_id


def note_asked(
    conn: Connection, schedule: Schedule, kind: RunKind, now: datetime, job_id: int, told: list[str]
) -> None:
    """A run that a user asked for, in the transaction that made its job."""
    note = " ".join(told) or None
    _note(conn, schedule, Times(now, now), RunState.SUBMITTED, kind=kind, job_id=job_id, note=note)


def submit_run(
    ctx: Context, conn: Connection, schedule: Schedule, asked: DownloadCriteria | None = None
) -> tuple[Submission, list[str]]:
    """Make the job of a run, in the caller's transaction; what is to be said of it for a person.

    `asked`: in the place of the criteria that the schedule would ask for. Raises as `store_download`.
    """
    caller = Caller(schedule.organisation_id, schedule.user_id, schedule.instance_id)
    asking = _asking(ctx, conn, caller, schedule) if asked is None else _Asking(asked)
    submission, told = _submitted(ctx, conn, caller, asking), asking.told
    if submission.notice:
        told = [*told, submission.notice]
    if schedule.target is not None:
        feed_later(conn, caller, submission.job_id, schedule.target)
    return submission, told


# Going on from the last success --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asking:
    """What a run asks for, and what is to be said of it."""

    criteria: DownloadCriteria
    told: list[str] = field(default_factory=list)
    is_anew: bool = False
    """In the place of runs whose place in the list is lost."""


def _submitted(ctx: Context, conn: Connection, caller: Caller, asking: _Asking) -> Submission:
    try:
        return store_download(ctx, conn, caller, asking.criteria, is_anew=asking.is_anew)
    except InvalidInputError as error:
        if asking.criteria.continue_from_job_id is None or error.field != "/filterDateField":
            raise
        raise InvalidInputError(f"{error.message} {_ANOTHER_DATE}", field=error.field) from error


def _asking(ctx: Context, conn: Connection, caller: Caller, schedule: Schedule) -> _Asking:
    """Raises ConflictError where nothing is left to go on from."""
    own = DownloadCriteria.from_echo(schedule.criteria)
    if not schedule.is_incremental:
        return _Asking(own)
    source = _source(conn, schedule)
    if source is None:
        is_forgotten = schedule_runs.has_forgotten(conn, schedule.id, schedule.chain_number)
        return _Asking(own, ["The last success is forgotten: begun anew."] if is_forgotten else [])
    lost = find_lost_place(ctx, conn, source)
    if lost is not None:
        return _begun_anew(conn, caller, schedule, source, lost)
    # Where it stopped, the criteria are those of its list; behind the end of the list they are the schedule's.
    named = ITS_OWN if source.has_more else frozenset(SUPPORTED)
    return _Asking(replace(own, continue_from_job_id=source.id, given=named), [f"Goes on from job {source.id}."])


def _begun_anew(conn: Connection, caller: Caller, schedule: Schedule, source: Job, lost: LostPlace) -> _Asking:
    """The whole list once more, from where the runs that cannot be gone on from began it."""
    own = DownloadCriteria.from_echo(schedule.criteria)
    if not _is_of_use(schedule, own, source, lost):
        raise ConflictError(f"{lost} {_OF_NO_USE}")
    before = find_pass_source(conn, caller, source)
    told = [f"{lost} Its list is begun anew; records of it may come again."]
    if before is None:
        return _Asking(own, told)
    named = replace(own, continue_from_job_id=before.id, given=frozenset(SUPPORTED))
    return _Asking(named, [*told, f"Goes on from job {before.id}."], is_anew=True)


def _is_of_use(schedule: Schedule, own: DownloadCriteria, source: Job, lost: LostPlace) -> bool:
    """Whether it may come further than the source: by other limits, or by a next run that is in time to go on."""
    then = DownloadCriteria.from_echo(source.criteria)
    if (own.limit, own.api_limit) != (then.limit, then.api_limit):
        return True
    if schedule.next_due_at is None:
        return False
    following = recurrence_of(schedule.cron, schedule.time_zone).after(schedule.next_due_at)
    return following is not None and (following - schedule.next_due_at).total_seconds() < lost.ttl_s


def _source(conn: Connection, schedule: Schedule) -> Job | None:
    """The last success, or what a user let go on from it since."""
    source_id = schedule_runs.find_last_success(conn, schedule.id, schedule.chain_number)
    if source_id is None:
        return None
    while live := [each.job_id for each in chains.find_continuations(conn, source_id) if each.is_live]:
        source_id = live[0]
    # Locked, so that nobody restarts it while it is decided what to do without it.
    return jobs.get(conn, schedule.organisation_id, schedule.instance_id, source_id, lock=True)
