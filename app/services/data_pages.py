"""Some records of a result: the same work on page 10,000 as on page 1.

A page names the segment in which it ends; the next one begins there, in the revision that the first one was of. A later
revision only adds segments behind it, so the pages of one walk always belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.db import segments
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.segments import Place
from app.domain.segments import Segment, total_records
from app.errors import InvalidInputError
from app.services.context import Caller, Context
from app.services.results import find_notice, readable_job


@dataclass(frozen=True)
class PageStart:
    """Where a page begins: so many records into the revision, `skip` of them in the segment at `place`."""

    revision: int
    after: int
    place: Place
    skip: int


@dataclass(frozen=True)
class DataPage:
    """`count` records, the first of which is record `skip` of these segments. `following` is None on the last page."""

    job_id: int
    segments: list[Segment]
    skip: int
    count: int
    total: int
    """Records of the whole revision."""
    following: PageStart | None
    notice: str | None


_BEGINNING = Place(0, 0, 0)


def open_page(ctx: Context, caller: Caller, job_id: int, start: PageStart | None, size: int) -> DataPage:
    """Find the page; `start` None means the first one, of the newest revision. `size` is at least 1.

    Raises as `app.services.results.open_result`, and InvalidInputError for a start that is in no revision.
    """
    with ctx.db.connection() as conn:
        job = readable_job(conn, caller, job_id)
        start = start or PageStart(job.revision, 0, _BEGINNING, 0)
        page = _find(conn, job, start, size)
        if page is None:
            # Deleted between two statements, most likely: then the job says so now.
            readable_job(conn, caller, job_id)
            raise InvalidInputError("nextPage is not of this result: begin at the first page.", field="nextPage")
    return page


def _find(conn: Connection, job: Job, start: PageStart, size: int) -> DataPage | None:
    total = segments.count_records(conn, job.id, start.revision)
    wanted = min(size, total - start.after)
    if start.revision > job.revision or wanted < 0:
        return None
    found = segments.find_from(conn, job.id, start.revision, start.place, start.skip + wanted) if wanted else []
    if total_records(segment for _, segment in found) < start.skip + wanted:
        return None
    return DataPage(
        job_id=job.id,
        segments=[segment for _, segment in found],
        skip=start.skip,
        count=wanted,
        total=total,
        following=_following(start, found, wanted) if start.after + wanted < total else None,
        notice=_notice(conn, job, start.revision),
    )


def _following(start: PageStart, found: list[tuple[Place, Segment]], count: int) -> PageStart:
    """What the last segment still holds comes next; perhaps nothing, then the page begins behind it."""
    last_place, _ = found[-1]
    before_last = total_records(segment for _, segment in found[:-1])
    return PageStart(start.revision, start.after + count, last_place, start.skip + count - before_last)


def _notice(conn: Connection, job: Job, revision: int) -> str | None:
    if revision < job.revision:
        return f"These are pages of the result as of run {revision}; it is of run {job.revision} now."
    return find_notice(conn, job)
