"""Going on from another job (`continueFromJobId`): exactly where it stopped, or with what changed since it ended.

The source's row is locked while this is decided, so that one job at a time may go on from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn

from app.connectors.model import ObjectSpec
from app.connectors.objects import find_object
from app.db import chains, jobs
from app.db.connectors import Pin, get_revision
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.slices import Position
from app.domain.chains import US_A_SECOND, Mark, instant_text, us_of
from app.domain.criteria import DownloadCriteria
from app.domain.instants import parse_instant
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import seen_count
from app.errors import ConflictError, InvalidInputError, NotFoundError
from app.services.context import Caller, Context
from app.services.elements import connector_of, pinned_connector

_MAY_DIFFER = ("limit", "apiLimit", "format", "notificationUrl", "docsHubDetails", "metaData", "retentionHours")
ITS_OWN = frozenset({*_MAY_DIFFER, "continueFromJobId"})
"""Criteria that a job may name which goes on where another one stopped."""


@dataclass(frozen=True)
class GoingOn:
    """What a new job takes over from its source."""

    source: Job
    criteria: DownloadCriteria
    revision_id: int
    """Of the connector: a position belongs to the one that it was found with."""
    position: Position | None
    """None: from the beginning of the list."""
    mark: Mark | None


def go_on(
    ctx: Context, conn: Connection, caller: Caller, asked: DownloadCriteria, pin: Pin, *, is_anew: bool = False
) -> GoingOn:
    """Decide how to go on, inside the transaction that stores the new job.

    `is_anew`: in the place of jobs that went on from the source before, whose place in the list is lost.
    Raises NotFoundError, ConflictError where the source cannot be gone on from, InvalidInputError for criteria that
    do not fit it.
    """
    assert asked.continue_from_job_id is not None
    source = jobs.get(conn, caller.organisation_id, None, asked.continue_from_job_id, lock=True)
    _check_source(caller, asked, source)
    if not is_anew:
        _check_alone(conn, source)
    if source.has_more:
        return _at_position(ctx, conn, asked, source)
    return _incremental(conn, asked, source, pin)


def _check_source(caller: Caller, asked: DownloadCriteria, source: Job) -> None:
    if source.instance_id != caller.instance_id:
        raise ConflictError(f"Job {source.id} is of another instance, so this one cannot go on from it.")
    if "objectName" in asked.named and asked.object_name != source.object_name:
        raise ConflictError(
            f"Job {source.id} downloads {source.object_name!r}, so a job of {asked.object_name!r} cannot go on from it."
        )
    if source.status is not JobStatus.COMPLETED and source.stop_reason is not StopReason.API_LIMIT:
        raise ConflictError(
            f"Job {source.id} is {source.status.value}; only a job that is COMPLETED can be gone on from."
            + (" Restart it." if source.status in {JobStatus.ABORTED, JobStatus.CANCELLED} else "")
        )


def _check_alone(conn: Connection, source: Job) -> None:
    for other in chains.find_continuations(conn, source.id):
        if other.is_live:
            raise ConflictError(f"Job {other.job_id} goes on from job {source.id} already; go on from that one.")


# Where it stopped ----------------------------------------------------------------------------------------------------


def _at_position(ctx: Context, conn: Connection, asked: DownloadCriteria, source: Job) -> GoingOn:
    before = DownloadCriteria.from_echo(source.criteria)
    for name in asked.differing(before):
        if name not in ITS_OWN:
            raise InvalidInputError(
                f"{name} differs from that of job {source.id}, which had more records: going on where it stopped, only "
                f"{', '.join(_MAY_DIFFER)} may differ. Leave {name} out, or submit without continueFromJobId.",
                field=f"/{name}",
            )
    position = chains.find_position(conn, source.id)
    lost = find_lost_place(ctx, conn, source)
    if lost is not None:
        raise ConflictError(
            f"{lost} Submit a job without continueFromJobId: with from and filterDateField set to where the records "
            "stop (restart by range), or for the whole list with filterDateField, and go on from that one with what "
            "changes (incremental)."
        )
    mark = chains.find_mark(conn, source.id)
    return GoingOn(source, asked.over(before), source.connector_revision_id, position, mark)


@dataclass(frozen=True)
class LostPlace:
    """Where a job stopped that had more, and the vendor does not know it any more."""

    job_id: int
    stopped_at: datetime
    ttl_s: float

    def __str__(self) -> str:
        return (
            f"Job {self.job_id} stopped at {self.stopped_at:%Y-%m-%dT%H:%M:%SZ}, and the vendor keeps its place in the"
            f" list for {self.ttl_s:g} s only."
        )


def find_lost_place(ctx: Context, conn: Connection, source: Job) -> LostPlace | None:
    """None where it can be gone on from, as far as anybody knows, or where it had no more."""
    if not source.has_more or chains.find_position(conn, source.id).cursor is None:
        return None
    revision = get_revision(conn, source.connector_revision_id)
    wanted = find_object(connector_of(revision.id, revision.digest, revision.document), source.object_name)
    ttl_s, moved_at = wanted.list.page.token_ttl_s, chains.find_moved_at(conn, source.id)
    if ttl_s is None or moved_at is None or (ctx.now() - moved_at).total_seconds() <= ttl_s:
        return None
    return LostPlace(source.id, moved_at, ttl_s)


def find_pass_source(conn: Connection, caller: Caller, job: Job) -> Job | None:
    """The job whose end the pass of this one began at: before it, and had no more. None in a first pass, or where it is
    forgotten.
    """
    while (own := chains.find_own_continuation(conn, job.id)) is not None:
        try:
            job = jobs.get(conn, caller.organisation_id, caller.instance_id, own.source_job_id)
        except NotFoundError:
            return None
        if not job.has_more:
            return job
    return None


# What changed since --------------------------------------------------------------------------------------------------


def _incremental(conn: Connection, asked: DownloadCriteria, source: Job, pin: Pin) -> GoingOn:
    before = DownloadCriteria.from_echo(source.criteria)
    if before.child is not None or asked.child is not None:
        _refuse(source, "child", "jobs with child keep no account of what they delivered. Submit it without.")
    wanted = find_object(pinned_connector(conn, pin.revision_id, pin.digest), source.object_name)
    mark = _mark_of(conn, asked, source, before, wanted)
    floor_us = mark.ahead(_lookback_us(conn, source))
    if floor_us is None and chains.count_delivered(conn, source.id):
        _refuse(
            source,
            "filterDateField",
            f"{before.filter_date_field} holds no date in its records. Submit a new job whose filterDateField names "
            "the date of a record's last change, and go on from that one.",
        )
    criteria = asked.over(before, without={"from", "to"} if floor_us is not None else {"to"})
    mark = Mark(mark.chain_id, floor_us)
    return GoingOn(source, _from(criteria, floor_us), pin.revision_id, None, mark)


def _mark_of(
    conn: Connection, asked: DownloadCriteria, source: Job, before: DownloadCriteria, wanted: ObjectSpec
) -> Mark:
    """Where the source's pass ended, by its account. Raises InvalidInputError that says what to add."""
    if before.filter_date_field is None:
        _refuse(
            source,
            "filterDateField",
            "it had no filterDateField. Submit a new job with filterDateField (the date of a record's last change), "
            "and go on from that one.",
        )
    if "filterDateField" in asked.named and asked.filter_date_field != before.filter_date_field:
        _refuse(
            source,
            "filterDateField",
            f"it goes by {before.filter_date_field}. Leave filterDateField out, or submit without continueFromJobId.",
        )
    mark = chains.find_mark(conn, source.id)
    if wanted.id is None or mark is None:
        _refuse(
            source,
            "continueFromJobId",
            f"the connector did not say what identifies a record. Add `id` to its object {wanted.name!r}, submit a new "
            "job with filterDateField, and go on from that one.",
        )
    return mark


def _refuse(source: Job, name: str, why: str) -> NoReturn:
    raise InvalidInputError(
        f"Job {source.id} ran to the end of the list; what changed since cannot be told, since {why}", field=f"/{name}"
    )


def _lookback_us(conn: Connection, source: Job) -> int:
    """By the connector that the source worked with: so far back the chain remembers."""
    revision = get_revision(conn, source.connector_revision_id)
    wanted = find_object(connector_of(revision.id, revision.digest, revision.document), source.object_name)
    return int(wanted.list.lookback_s * US_A_SECOND)


def _from(criteria: DownloadCriteria, floor_us: int | None) -> DownloadCriteria:
    """A `from` that was asked for only narrows."""
    if floor_us is None:
        return criteria
    if criteria.date_from is not None:
        own_us = us_of(parse_instant(criteria.date_from))
        if own_us is None or own_us > floor_us:
            return criteria
    return replace(criteria, date_from=instant_text(floor_us))


# The new job, and restarts -------------------------------------------------------------------------------------------


def take_over(conn: Connection, job_id: int, going_on: GoingOn) -> None:
    """Put the new job, stored and not begun, where it goes on; jobs that tried before and failed count no more."""
    source = going_on.source
    _void(conn, source.id, going_on.mark)
    chains.insert_continuation(conn, job_id, source_job_id=source.id, source_run=source.run_number)
    if going_on.mark is not None:
        chains.insert_mark(conn, job_id, going_on.mark)
    if going_on.position is not None:
        moved_at = chains.find_moved_at(conn, source.id)
        chains.carry_over(conn, job_id, going_on.position, moved_at=moved_at, seen=seen_count(source))


def _void(conn: Connection, source_id: int, mark: Mark | None) -> None:
    if mark is not None:
        failed = [each.job_id for each in chains.find_continuations(conn, source_id) if not each.is_live]
        chains.forget_versions_of(conn, mark.chain_id, failed)


def prepare_restart(conn: Connection, job: Job) -> None:
    """Make sure that no other job has gone on in the place of this one. The job's row is locked by the caller.

    Raises ConflictError.
    """
    for other in chains.find_continuations(conn, job.id):
        if other.is_live:
            raise ConflictError(f"Job {other.job_id} goes on from job {job.id}; restart or go on from that one.")
    own = chains.find_own_continuation(conn, job.id)
    if own is not None:
        source_run = chains.lock_source(conn, own.source_job_id)
        newest = chains.find_continuations(conn, own.source_job_id)[0]
        if newest.job_id != job.id or source_run not in {None, own.source_run}:
            raise ConflictError(f"Job {own.source_job_id} went on otherwise since; job {job.id} cannot any more.")
    _void(conn, job.id, chains.find_mark(conn, job.id))
