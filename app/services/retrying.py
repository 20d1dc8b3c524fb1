"""A new upload of the rows that failed in another one, and of nothing else.

A row that may have been taken goes under the idempotency key that it had. Which rows were given away is noted with the
job that had them, in the transaction that makes the new one: no row is given away twice, and a restart of the first job
leaves them alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from app.db import idempotency, intakes, jobs, upload_verdicts, uploads
from app.db.idempotency import Existing
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.uploads import Upload
from app.domain.request_digest import digest_of
from app.domain.rows import KEPT_FORM, kept_line
from app.domain.uploads import RowVerdict, UploadOptions
from app.errors import (
    CommitInDoubtError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TransientError,
    UnauthorizedError,
)
from app.services.context import Caller, Context
from app.services.intake import Intake, submit_kept
from app.services.submission import Submission, as_before, wake_sweepers
from app.services.upload_job import Target, check_options, find_target, store_job
from app.services.verdicts import MOST_RECORD_BYTES, check_kept
from app.storage.chunks import in_blocks

_BATCH = 2000
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True)
class _Source:
    """The job whose rows are taken, as it was when they were read."""

    job: Job
    upload: Upload
    target: Target
    is_uncertain_too: bool

    @property
    def options(self) -> UploadOptions:
        """Of the new job: the same."""
        return UploadOptions.from_echo(self.job.criteria)

    def takes(self, verdict: RowVerdict | None, number: int) -> bool:
        """Whether the row is to be sent, and was not given to another job before."""
        if verdict is RowVerdict.UNCERTAIN:
            return self.is_uncertain_too and number > self.upload.uncertain_retried_to
        return number > self.upload.retried_to


def retry_failed(
    ctx: Context, caller: Caller, job_id: int, *, is_uncertain_too: bool, idempotency_key: str | None = None
) -> Submission:
    """Store a job of the rows that failed or were not sent, and of the uncertain ones if asked for.

    With an Idempotency-Key the same call gives the same job for 24 h. Raises NotFoundError, InvalidInputError for a
    download, ConflictError for a job that is under way or has no such rows, GoneError after the retention,
    IdempotencyMismatchError, TransientError; then nothing is stored.
    """
    if caller.instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    digest = _digest(caller.instance_id, job_id, is_uncertain_too=is_uncertain_too)
    with ctx.db.connection() as conn:
        source = None
        known = idempotency_key and idempotency.find(conn, caller.organisation_id, idempotency_key, digest)
        if not known:
            source = _find_source(conn, caller, job_id, is_uncertain_too=is_uncertain_too)
    if source is None:
        assert isinstance(known, Existing)
        return as_before(known)
    intake = Intake(ctx, caller.organisation_id, source.target, is_digested=False)
    try:
        submission = _submit(ctx, caller, source, intake, idempotency_key, digest)
    except CommitInDoubtError:
        raise  # as in app.services.intake
    except BaseException:
        intake.discard()
        raise
    wake_sweepers(ctx)
    return submission


def _find_source(conn: Connection, caller: Caller, job_id: int, *, is_uncertain_too: bool) -> _Source:
    job = jobs.get(conn, caller.organisation_id, caller.instance_id, job_id)
    upload = uploads.find(conn, job_id)
    if upload is None:
        raise InvalidInputError(
            f"Job {job_id} is a download; accepted: jobs of POST /bulk/{{objectName}}. Restart it, or submit it again."
        )
    if not job.status.is_terminal:
        raise ConflictError(
            f"Job {job_id} is {job.status.value}; only the rows of a job that has ended can be retried."
        )
    check_kept(job)
    target = find_target(conn, caller.organisation_id, job.instance_id, job.object_name)
    check_options(target, UploadOptions.from_echo(job.criteria))
    return _Source(job, upload, target, is_uncertain_too)


class _Rows:
    """The rows of the new job, read once."""

    def __init__(self, ctx: Context, source: _Source) -> None:
        self._ctx = ctx
        self._source = source
        self.taken_count = 0
        self.unreadable_count = 0
        """Failed rows that could not be parsed: there is no record of them to be sent."""
        self.uncertain_count = 0
        """Left out since they were not asked for."""

    def lines(self) -> Iterator[bytes]:
        """In the order of their numbers."""
        for _, line in heapq.merge(self._unsent(), self._failed()):
            self.taken_count += 1
            yield line

    def _unsent(self) -> Iterator[tuple[int, bytes]]:
        job_id = self._source.job.id
        with self._ctx.db.connection() as conn:
            numbers = upload_verdicts.find_unsent(conn, job_id)
        for number in numbers:
            with self._ctx.db.connection() as conn:
                row = upload_verdicts.get_unsent(conn, job_id, number)
            if row is not None:
                yield number, kept_line(number, row.line, row.keyed_by or job_id, row.record)

    def _failed(self) -> Iterator[tuple[int, bytes]]:
        after, job_id = 0, self._source.job.id
        while True:
            with self._ctx.db.connection() as conn:
                found = upload_verdicts.find_failed(conn, job_id, after, _BATCH, most_bytes=MOST_RECORD_BYTES)
            if not found:
                return
            after = found[-1].number
            for row in found:
                if not self._source.takes(row.verdict, row.number):
                    self.uncertain_count += row.verdict is RowVerdict.UNCERTAIN
                elif row.record is None or not row.is_readable:
                    self.unreadable_count += 1
                else:
                    # A vendor may answer a key again as it did before: a row that surely failed has a new one.
                    is_known = row.verdict is not RowVerdict.FAILED
                    keyed_by = (row.keyed_by or job_id) if is_known else None
                    yield row.number, kept_line(row.number, row.line, keyed_by, row.record)


def _submit(ctx: Context, caller: Caller, source: _Source, intake: Intake, key: str | None, digest: str) -> Submission:
    rows = _Rows(ctx, source)
    lines = rows.lines()
    first = next(lines, None)
    if first is None:
        raise ConflictError(_nothing(ctx, source, rows))
    intake.keep(in_blocks(chain([first], lines), _BLOCK_BYTES))
    return submit_kept(
        ctx, caller, intake, key, digest, lambda conn: _take_over(ctx, conn, caller, source, intake, rows)
    )


def _take_over(
    ctx: Context, conn: Connection, caller: Caller, source: _Source, intake: Intake, rows: _Rows
) -> Submission:
    """Job, input and note in the caller's transaction, if the rows are still those that were read."""
    old = source.job
    job = jobs.get(conn, caller.organisation_id, caller.instance_id, old.id, lock=True)
    upload = uploads.find(conn, old.id)
    if upload is None:
        raise NotFoundError(f"There is no bulk job {old.id}.")
    check_kept(job)
    marks = (job.run_number, job.status, upload.retried_to, upload.uncertain_retried_to)
    if marks != (old.run_number, old.status, source.upload.retried_to, source.upload.uncertain_retried_to):
        raise ConflictError(f"Job {old.id} was restarted, or its rows were retried, at this moment; look at it again.")
    target = find_target(conn, caller.organisation_id, old.instance_id, old.object_name)
    check_options(target, source.options)
    if not intakes.remove(conn, intake.key):
        raise TransientError("The rows took so long to be read that they were given up; try again.")
    new = Upload(0, intake.key, intake.input_bytes, KEPT_FORM.as_json(), source_job_id=old.id)
    submission = store_job(ctx, conn, caller, target, source.options, new)
    last = upload_verdicts.give_away(conn, old.id, f"Not sent by this job; job {submission.job_id} sends it.")
    uploads.note_retry(conn, old.id, last, is_uncertain_too=source.is_uncertain_too)
    return replace(submission, notice=" ".join(_notices(source, rows)) or None)


def _notices(source: _Source, rows: _Rows) -> Iterator[str]:
    if rows.unreadable_count:
        yield f"{rows.unreadable_count} rows could not be read and are left out: they hold no record to be sent."
    if rows.uncertain_count and not source.is_uncertain_too:
        yield f"{rows.uncertain_count} rows that the vendor may have taken are left out; includeUncertain sends them."
    if source.job.has_more:
        yield f"The file of job {source.job.id} was not read to its end; restart that job for the rest."


def _nothing(ctx: Context, source: _Source, rows: _Rows) -> str:
    """Why there is no row to be sent."""
    with ctx.db.connection() as conn:
        others = uploads.find_retries(conn, source.job.id)
    taken = f" Job {others[-1]} took over those that there were: retry what failed there." if others else ""
    left_out = " ".join(_notices(source, rows))
    return f"Job {source.job.id} has no failed rows to be sent again.{taken} {left_out}".strip()


def _digest(instance_id: int, job_id: int, *, is_uncertain_too: bool) -> str:
    return digest_of(instance_id, "retry-failed", job_id, is_uncertain_too)
