"""Schedules as their users steer them. What is due is taken by app.services.schedule_runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import msgspec

from app.connectors.model import ObjectSpec
from app.db import idempotency, schedule_runs, schedules
from app.db.pool import Connection
from app.db.schedule_runs import ScheduleRun
from app.db.schedules import Schedule, Terms
from app.domain.criteria import DownloadCriteria
from app.domain.request_digest import digest_of
from app.domain.schedules import DEFAULT_CATCH_UP, CatchUp, RunKind
from app.errors import ConflictError, InvalidInputError, NotFoundError, UnauthorizedError
from app.services.context import Caller, Context
from app.services.recurrences import recurrence_of
from app.services.schedule_runs import note_asked, submit_run
from app.services.submission import Submission, check_callback, submit_once, wake_sweepers
from app.services.submit import check_download

_SHOWN_TIMES = 5
_SHOWN_RUNS = 5


@dataclass(frozen=True)
class Wish:
    """What a caller wants a schedule to be."""

    criteria: DownloadCriteria
    cron: str
    time_zone: str = "UTC"
    name: str = ""
    """Empty: the object's."""
    catch_up: CatchUp = CatchUp.ONE
    catch_up_limit: int = DEFAULT_CATCH_UP
    is_incremental: bool = False
    may_overlap: bool = False

    @property
    def terms(self) -> Terms:
        """As they are stored."""
        own = {spec.name: getattr(self, spec.name) for spec in fields(Terms)}
        return Terms(**own | {"criteria": self.criteria.echo(), "name": self.name or self.criteria.object_name})


@dataclass(frozen=True)
class Shown:
    """A schedule and what is to be known of it."""

    schedule: Schedule
    due_times: list[datetime]
    """The next ones, in its zone."""
    runs: list[ScheduleRun]
    """The newest ones."""
    success_job_id: int | None
    """What the next run goes on from, where it is incremental."""


@dataclass(frozen=True)
class Page:
    """Schedules, or runs of one, newest first. `next_after`: the last one's id or number where there are more."""

    items: list[Any]
    next_after: int | None


def create_schedule(
    ctx: Context,
    caller: Caller,
    wish: Wish,
    *,
    idempotency_key: str | None = None,
    target: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> Shown:
    """Store a schedule; its criteria are checked as those of a job.

    With an Idempotency-Key the same request gives the same schedule for 24 h. `now`: by the database's clock, but for
    tests. Raises as `submit_download`.
    """
    instance_id = _instance_of(caller)
    check_callback(ctx, wish.criteria.notification_url, "notificationUrl")
    digest = digest_of(instance_id, "schedule", msgspec.to_builtins(wish.terms), target)
    with ctx.db.transaction() as conn:
        if idempotency_key is not None:
            claimed = idempotency.claim(conn, caller.organisation_id, idempotency_key, digest)
            if isinstance(claimed, idempotency.Existing):
                return _shown(conn, _get(conn, caller, claimed.response["scheduleId"]))
        _check(ctx, conn, caller, wish)
        schedule_id = schedules.insert(
            conn,
            wish.terms,
            organisation_id=caller.organisation_id,
            instance_id=instance_id,
            user_id=caller.user_id,
            next_due_at=_first_due(wish, now or schedules.clock(conn)),
            target=target,
            id_key=ctx.settings.id_key,
        )
        if idempotency_key is not None:
            idempotency.complete(conn, caller.organisation_id, idempotency_key, {"scheduleId": schedule_id})
        shown = _shown(conn, _get(conn, caller, schedule_id))
    wake_sweepers(ctx)
    return shown


def _instance_of(caller: Caller) -> int:
    if caller.instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    return caller.instance_id


def _get(conn: Connection, caller: Caller, schedule_id: int, *, lock: bool = False) -> Schedule:
    return schedules.get(conn, caller.organisation_id, caller.instance_id, schedule_id, lock=lock)


def _check(ctx: Context, conn: Connection, caller: Caller, wish: Wish) -> None:
    """Refuse what no run of it could be. Raises as `submit_download`."""
    recurrence_of(wish.cron, wish.time_zone)
    if wish.criteria.continue_from_job_id is not None:
        raise InvalidInputError(
            "continueFromJobId is not accepted in a schedule; `incremental` lets each run go on from the last success.",
            field="/continueFromJobId",
        )
    wanted = check_download(ctx, conn, caller, wish.criteria)
    if wish.is_incremental:
        _check_incremental(wish, wanted)


def _check_incremental(wish: Wish, wanted: ObjectSpec) -> None:
    criteria = wish.criteria
    for name, is_bad, why in (
        ("filterDateField", criteria.filter_date_field is None, "names the date of a record's last change; add it"),
        ("to", criteria.date_to is not None, "would end each run at the same moment; leave it out"),
        ("child", criteria.child is not None, "keeps no account of what was delivered; leave it out"),
        ("allowOverlap", wish.may_overlap, "cannot be: each run goes on from the one before; leave it out"),
        ("objectName", wanted.id is None, f"{wanted.name!r} has no `id` in the connector, which tells records apart"),
    ):
        if is_bad:
            raise InvalidInputError(f"incremental is not accepted: {name} {why}.", field=f"/{name}")


def _first_due(wish: Wish, now: datetime) -> datetime:
    due_at = recurrence_of(wish.cron, wish.time_zone).after(now)
    if due_at is None:
        raise InvalidInputError(
            f"cron {wish.cron!r} matches no time to come; an expression that does is accepted.", field="/cron"
        )
    return due_at


def _shown(conn: Connection, schedule: Schedule, now: datetime | None = None) -> Shown:
    recurrence = recurrence_of(schedule.cron, schedule.time_zone)
    times = recurrence.following(now or schedules.clock(conn), _SHOWN_TIMES)
    return Shown(
        schedule,
        [each.astimezone(recurrence.zone) for each in times],
        schedule_runs.find_page(conn, schedule.id, None, _SHOWN_RUNS),
        schedule_runs.find_last_success(conn, schedule.id, schedule.chain_number),
    )


def get_schedule(ctx: Context, caller: Caller, schedule_id: int) -> Shown:
    """A schedule of the caller's instance. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        return _shown(conn, _get(conn, caller, schedule_id))


def list_schedules(ctx: Context, caller: Caller, *, after: int, page_size: int) -> Page:
    """The page of the instance's schedules that follows schedule `after` (0: the newest). Raises InvalidInputError."""
    with ctx.db.connection() as conn:
        before = None
        if after:
            try:
                before = _get(conn, caller, after).number
            except NotFoundError as error:
                raise InvalidInputError("nextPage is too old: begin at the first page.", field="nextPage") from error
        found = schedules.find_page(conn, caller.organisation_id, caller.instance_id, before, page_size + 1)
        now = schedules.clock(conn)
        items = [_shown(conn, each, now) for each in found[:page_size]]
    return Page(items, found[page_size - 1].id if len(found) > page_size else None)


def list_runs(ctx: Context, caller: Caller, schedule_id: int, *, after: int, page_size: int) -> Page:
    """The page of a schedule's runs that follows run `after` (0: the newest). Raises NotFoundError."""
    with ctx.db.connection() as conn:
        schedule = _get(conn, caller, schedule_id)
        found = schedule_runs.find_page(conn, schedule.id, after or None, page_size + 1)
    return Page(found[:page_size], found[page_size - 1].number if len(found) > page_size else None)


# Changes -------------------------------------------------------------------------------------------------------------


def change_schedule(ctx: Context, caller: Caller, schedule_id: int, make: Callable[[Schedule], Wish]) -> Shown:
    """Give it the terms that `make` gives for those it has. Raises as `create_schedule`, and ConflictError.

    With another cron or zone due times that were not taken yet are dropped; with another object or date, or another
    `incremental`, the next run begins anew.
    """
    with ctx.db.connection() as conn:
        read = _get(conn, caller, schedule_id)
    wish = make(read)
    check_callback(ctx, wish.criteria.notification_url, "notificationUrl")
    with ctx.db.transaction() as conn:
        old = _get(conn, caller, schedule_id, lock=True)
        if old.updated_at != read.updated_at:
            raise ConflictError(f"Schedule {schedule_id} was changed at this moment; look at it again.")
        _check(ctx, conn, caller, wish)
        due_at = old.next_due_at
        if due_at is None or (wish.cron, wish.time_zone) != (old.cron, old.time_zone):
            due_at = _first_due(wish, _untaken(conn, schedule_id))
        chain_number = old.chain_number + _is_other_chain(old, wish)
        schedules.change(conn, schedule_id, wish.terms, next_due_at=due_at, chain_number=chain_number)
        shown = _shown(conn, _get(conn, caller, schedule_id))
    wake_sweepers(ctx)
    return shown


def _is_other_chain(old: Schedule, wish: Wish) -> bool:
    before = DownloadCriteria.from_echo(old.criteria)
    return (before.object_name, before.filter_date_field, old.is_incremental) != (
        wish.criteria.object_name,
        wish.criteria.filter_date_field,
        wish.is_incremental,
    )


def _untaken(conn: Connection, schedule_id: int) -> datetime:
    """Now, but not before a due time that was taken: the database's clock may have been set back."""
    now, taken_at = schedules.clock(conn), schedule_runs.last_due_at(conn, schedule_id)
    return now if taken_at is None else max(now, taken_at)


def set_schedule_paused(ctx: Context, caller: Caller, schedule_id: int, *, paused: bool) -> Shown:
    """Pause or resume; doing it twice changes nothing. Times that come while it is paused are not caught up.

    Raises NotFoundError.
    """
    with ctx.db.transaction() as conn:
        schedule = _get(conn, caller, schedule_id, lock=True)
        if (schedule.paused_at is not None) != paused:
            due_at = schedule.next_due_at
            if not paused:
                due_at = recurrence_of(schedule.cron, schedule.time_zone).after(_untaken(conn, schedule_id))
            schedules.set_paused(conn, schedule_id, paused=paused, next_due_at=due_at)
        shown = _shown(conn, _get(conn, caller, schedule_id))
    wake_sweepers(ctx)
    return shown


def delete_schedule(ctx: Context, caller: Caller, schedule_id: int) -> None:
    """No further run is made; jobs that it made go on. Raises NotFoundError."""
    with ctx.db.transaction() as conn:
        schedules.delete(conn, _get(conn, caller, schedule_id, lock=True).id)


# Runs that are asked for ---------------------------------------------------------------------------------------------


def run_now(ctx: Context, caller: Caller, schedule_id: int, *, idempotency_key: str | None = None) -> Submission:
    """Make a run at once, also of a paused schedule; it counts for the chain.

    With an Idempotency-Key the same call gives the same job for 24 h. Raises NotFoundError, ConflictError while the run
    before is under way, and as `submit_download`.
    """

    def store(conn: Connection) -> Submission:
        schedule = _get(conn, caller, schedule_id, lock=True)
        if schedule.is_waiting:
            raise ConflictError(
                f"Job {schedule.current_job_id} of the run before is under way; wait for it, or cancel it."
            )
        submission = _asked_for(ctx, conn, schedule, RunKind.NOW, None)
        schedules.go_on(conn, schedule.id, schedule.next_due_at, submission.job_id)
        return submission

    return _run(ctx, caller, idempotency_key, digest_of(caller.instance_id, "run", schedule_id), store)


def run_range(
    ctx: Context, caller: Caller, schedule_id: int, begin: str, end: str, *, idempotency_key: str | None = None
) -> Submission:
    """Make a run of the records from `begin` to `end`, beside the others: later runs do not go on from it.

    Raises as `run_now`, and InvalidInputError where the schedule has no filterDateField.
    """

    def store(conn: Connection) -> Submission:
        schedule = _get(conn, caller, schedule_id, lock=True)
        own = DownloadCriteria.from_echo(schedule.criteria)
        asked = replace(own, date_from=begin, date_to=end)
        return _asked_for(ctx, conn, schedule, RunKind.RANGE, asked)

    return _run(ctx, caller, idempotency_key, digest_of(caller.instance_id, "run", schedule_id, begin, end), store)


def _asked_for(
    ctx: Context, conn: Connection, schedule: Schedule, kind: RunKind, asked: DownloadCriteria | None
) -> Submission:
    submission, told = submit_run(ctx, conn, schedule, asked)
    note_asked(conn, schedule, kind, schedules.clock(conn), submission.job_id, told)
    return submission


def _run(
    ctx: Context, caller: Caller, key: str | None, digest: str, store: Callable[[Connection], Submission]
) -> Submission:
    _instance_of(caller)
    with ctx.db.transaction() as conn:
        submission = submit_once(conn, caller, key, digest, lambda: store(conn))
    wake_sweepers(ctx)
    return submission
