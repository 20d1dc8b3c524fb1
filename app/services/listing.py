"""Read jobs: one, or those of an instance page by page."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import feeds, jobs, queue
from app.db.delivery_listing import ListedDelivery, find_one
from app.db.feeds import Links
from app.db.job_conditions import JobFilter
from app.db.jobs import Job, ListedJob
from app.db.pool import Connection
from app.db.queue import Waiting
from app.domain.deliveries import event_id
from app.domain.stalls import Stall
from app.errors import InvalidInputError, NotFoundError
from app.services.context import Caller, Context
from app.services.stalls import find_stall


@dataclass(frozen=True)
class JobPage:
    """Jobs, newest first. `next_after` is the id of the last one where there are more, else None."""

    jobs: list[ListedJob]
    next_after: int | None


def get_job(ctx: Context, caller: Caller, job_id: int) -> Job:
    """A job of the caller's instance. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        return jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)


@dataclass(frozen=True)
class Standing:
    """A job and, while it is not ended, what it waits for."""

    job: Job
    waiting: Waiting | None = None
    """It is not to go on before some time."""
    stall: Stall | None = None
    """It has made no progress for long."""
    callback: ListedDelivery | None = None
    """What became of the callback of its last run, where one is owed."""


def get_progress(ctx: Context, caller: Caller, job_id: int) -> Standing:
    """How a job of the caller's instance stands. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
        if job.status.is_terminal:
            return Standing(job, callback=_callback(conn, caller, job))
        return Standing(job, queue.find_waiting(conn, job_id), find_stall(ctx, conn, job_id))


def _callback(conn: Connection, caller: Caller, job: Job) -> ListedDelivery | None:
    if job.notification_url is None:
        return None
    return find_one(conn, caller.organisation_id, job.instance_id, event_id(job.id, job.run_number))


def list_jobs(ctx: Context, caller: Caller, *, after: int, page_size: int, narrow: JobFilter | None) -> JobPage:
    """The page of the instance's jobs that follows job `after` (0: the newest). Raises InvalidInputError.

    The position is a job's id and not its place in the sequence, which would tell how busy the service is.
    """
    with ctx.db.connection() as conn:
        before = None
        if after:
            try:
                before = jobs.get(conn, caller.organisation_id, caller.instance_id, after).number
            except NotFoundError as error:
                raise InvalidInputError("nextPage is too old: begin at the first page.", field="nextPage") from error
        found = jobs.find_page(conn, caller.organisation_id, caller.instance_id, before, page_size + 1, narrow)
    more = len(found) > page_size
    return JobPage(found[:page_size], found[page_size - 1].id if more else None)


@dataclass(frozen=True)
class LinkedPage(JobPage):
    """With what else belongs to each job, by its id."""

    links: dict[int, Links]


def list_linked(ctx: Context, caller: Caller, *, after: int, page_size: int, narrow: JobFilter | None) -> LinkedPage:
    """As `list_jobs`."""
    page = list_jobs(ctx, caller, after=after, page_size=page_size, narrow=narrow)
    with ctx.db.connection() as conn:
        return LinkedPage(page.jobs, page.next_after, feeds.find_links(conn, [job.id for job in page.jobs]))
