"""Push a finished output to where `docsHubDetails` says: tidy up after dead attempts, write, publish, end the job.

The vendor is not asked again: what is pushed was fetched and committed before. Any number of workers may be told of
the same push. A crash at any line leaves the lease to run out; the next attempt removes what that one left, and sends
the same bytes again.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import structlog

from app.db import jobs, notices, pushes, segments
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.pushes import Claimed, Remains
from app.domain.pushes import PushState, is_packed, one_line
from app.domain.retry import RetryPolicy, TryAgain, decide
from app.errors import (
    CommitInDoubtError,
    DatabaseUnavailableError,
    HaulageError,
    LostClaimError,
    StopRequestedError,
    StorageError,
)
from app.services.context import Context
from app.services.destinations import DestinationGoneError, open_instance
from app.services.finish import close_run
from app.services.results import Result, csv_columns
from app.storage.destinations.model import Destination, NotComposedError, ReplacedMeanwhileError, Unpublished
from app.storage.destinations.stored import StoredOutput
from app.storage.formats import Format, Rendered, render
from app.storage.time_limits import TimeLimit

LEASE_S = 900.0
"""Sending one part over a slow line, and putting the parts of a very large object together, take minutes without a sign
of life. A worker that dies is noticed all the same (app.db.workers). Where the lease would be over, the connections to
the destination are cut: whoever drips a byte now and then would keep the slot."""

_RENEW_EVERY_S = 5.0
_TURN_S = 0.5
_LONGEST_TURN_S = 300.0
_CAP_S = 600.0
_PATIENCE_S = 30.0
"""So long a restart of PostgreSQL may take while bytes are on their way; after that they are sent again."""

_log = structlog.get_logger()
_T = TypeVar("_T")


def push_output(ctx: Context, push_id: int, *, worker_id: int | None, is_stopping: Callable[[], bool]) -> None:
    """Make one attempt of a push that is due; of one that has ended, remove what its attempts left.

    Quietly does nothing where it is not due or somebody else holds it. Raises nothing for what destinations, stores or
    databases do: that ends in the rows.
    """
    nonce = secrets.token_hex(8)
    try:
        claimed = _claim(ctx, push_id, worker_id, nonce)
        if claimed is None:
            return
        with structlog.contextvars.bound_contextvars(job=claimed.job_id, run=claimed.run_number, claim=claimed.claim):
            _Attempt(ctx, claimed, nonce, is_stopping).run()
        with ctx.db.connection() as conn:
            notices.wake_sweepers(conn)  # others may wait for this slot
    except (DatabaseUnavailableError, CommitInDoubtError) as error:
        _log.warning("push.given_up", reason=error.message)


def _claim(ctx: Context, push_id: int, worker_id: int | None, nonce: str) -> Claimed | None:
    """A claim whose COMMIT is in doubt is let go: another worker may have one of the same number."""
    claimed = None
    try:
        with ctx.db.transaction() as conn:
            claimed = pushes.claim(conn, push_id, worker_id, nonce=nonce, lease_s=LEASE_S)
    except CommitInDoubtError:
        if (doubtful := claimed) is not None:
            _persist(ctx, lambda conn: pushes.let_go(conn, doubtful, worker_id, nonce=nonce))
        return None
    return claimed


def _persist(ctx: Context, statements: Callable[[Connection], _T]) -> _T:
    """One transaction that is safe to repeat, tried through a restart of PostgreSQL."""
    patience = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with ctx.db.transaction() as conn:
                return statements(conn)
        except (DatabaseUnavailableError, CommitInDoubtError):
            if time.monotonic() >= patience:
                raise
            time.sleep(_TURN_S)


class _Attempt:
    def __init__(self, ctx: Context, claimed: Claimed, nonce: str, is_stopping: Callable[[], bool]) -> None:
        self._ctx = ctx
        self._claimed = claimed
        self._nonce = nonce
        self._is_stopping = is_stopping
        self._renewed_at = time.monotonic()
        self._sent_bytes = 0
        self._notes: list[str] = []
        self._limit = TimeLimit(LEASE_S)

    def run(self) -> None:
        """Raises DatabaseUnavailableError and CommitInDoubtError where not even that can be recorded."""
        try:
            with self._limit:
                self._run()
        except LostClaimError as error:
            _log.info("push.claim_lost", reason=error.message)

    def _run(self) -> None:
        claimed = self._claimed
        try:
            if claimed.state is not PushState.PENDING:
                self._tidy_after_the_end()
            elif claimed.lost_count >= self._ctx.settings.crash_tries:
                self._end(
                    PushState.FAILED, f"The worker died in {claimed.lost_count} attempts; no further one is made."
                )
            else:
                self._push()
        except LostClaimError:
            raise
        except StopRequestedError:
            self._later(0.0, "The worker was asked to stop.", is_failure=False)
        except DestinationGoneError as error:
            self._end(PushState.FAILED, error.message)
        except (DatabaseUnavailableError, CommitInDoubtError) as error:
            # The worker lives: its lease would hold the push, and the slot, for a quarter of an hour.
            _log.warning("push.database_away", reason=error.message)
            self._failed("Haulage's database did not answer.")
        except HaulageError as error:
            self._failed(error.message)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not hold the lease, nor look like a death
            _log.exception("push.crashed")
            self._failed(f"Haulage itself failed ({type(error).__name__}); see the worker's log.")

    def _failed(self, cause: str) -> None:
        cause = one_line(cause)
        _log.warning("push.failed", path=self._claimed.path, reason=cause)
        if not self._claimed.is_late:
            self._later(_backoff_s(self._ctx, self._claimed.attempt_count + 1), cause)
        elif self._claimed.state is PushState.PENDING:
            self._end(PushState.FAILED, cause)
        else:
            _log.error("push.remains_left", path=self._claimed.path, reason=cause)
            self._persist(lambda conn: pushes.tidied(conn, self._claimed))

    def _later(self, wait_s: float, cause: str, *, is_failure: bool = True) -> None:
        self._persist(lambda conn: pushes.retry(conn, self._claimed, wait_s=wait_s, error=cause, is_failure=is_failure))

    def _persist(self, statements: Callable[[Connection], _T]) -> _T:
        return _persist(self._ctx, statements)

    # What dead attempts left ------------------------------------------------------------------------------------------

    def _tidy_after_the_end(self) -> None:
        try:
            with closing(self._open()) as place:
                self._tidy(place)
        except DestinationGoneError as error:
            _log.warning("push.remains_left", path=self._claimed.path, reason=error.message)
        with self._ctx.db.connection() as conn:
            pushes.tidied(conn, self._claimed)

    def _tidy(self, place: Destination) -> None:
        with self._ctx.db.connection() as conn:
            left = pushes.find_remains(conn, self._claimed)
        for each in left:
            self._discard(place, each)

    def _discard(self, place: Destination, left: Remains) -> None:
        place.discard(self._claimed.path, nonce=left.nonce, notes=left.notes)
        with self._ctx.db.connection() as conn:
            pushes.forget_remains(conn, self._claimed.id, left.claim)

    # Pushing ----------------------------------------------------------------------------------------------------------

    def _open(self) -> Destination:
        claimed = self._claimed
        with self._ctx.db.connection() as conn:
            return open_instance(self._ctx, conn, claimed.organisation_id, claimed.instance_id, self._limit)

    def _push(self) -> None:
        with closing(self._open()) as place:
            try:
                self._tidy(place)
            except StorageError as error:  # such as a key that may not list: it has its turn after the end
                _log.warning("push.remains_left", path=self._claimed.path, reason=error.message)
            with self._ctx.db.connection() as conn:
                job = jobs.get_for_worker(conn, self._claimed.job_id)
                found = segments.find_result(conn, job.id, self._claimed.run_number)
            rendered = _rendered(self._ctx, Result(job, found, None), is_packed=is_packed(self._claimed.path))
            self._write_and_publish(place, job, rendered)

    def _write_and_publish(self, place: Destination, job: Job, rendered: Rendered) -> None:
        self._renew()  # of one that froze before, the next attempt has tidied up already
        is_newest = self._compose(place, job, rendered)
        if is_newest is None:
            is_newest = self._send(place, job, rendered)
        if is_newest:
            self._forget_own_remains()
        self._end(PushState.PUSHED if is_newest else PushState.SUPERSEDED, None)

    def _compose(self, place: Destination, job: Job, rendered: Rendered) -> bool | None:
        """Publish what the other side makes of what it has, as `_publish`; None: the output must be sent."""
        if rendered.pieces is None:
            return None
        output = StoredOutput(self._ctx.store, rendered.pieces)
        composing = place.compose(self._claimed.path, nonce=self._nonce, output=output, note=self._note)
        if composing is None:
            return None
        try:
            for size in composing.compose():
                self._sent_bytes += size
                self._keep_up()
            return self._publish(composing, job)
        except NotComposedError as error:
            _log.info("push.not_composed", path=self._claimed.path, reason=one_line(error.message))
        finally:
            composing.abandon()
        place.discard(self._claimed.path, nonce=self._nonce, notes=self._notes)  # which fails if something is left
        self._sent_bytes = 0
        return None

    def _send(self, place: Destination, job: Job, rendered: Rendered) -> bool:
        writing = place.begin(self._claimed.path, nonce=self._nonce, most_bytes=rendered.most_bytes, note=self._note)
        try:
            for chunk in rendered.chunks:
                writing.write(chunk)
                self._sent_bytes += len(chunk)
                self._keep_up()
            for _ in writing.finish():
                self._keep_up()
            return self._publish(writing, job)
        finally:
            writing.abandon()

    def _forget_own_remains(self) -> None:
        """What was published is whole, and nothing of the attempt stands beside it."""
        with self._ctx.db.connection() as conn:
            pushes.forget_remains(conn, self._claimed.id, self._claimed.claim)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._persist(lambda conn: pushes.note(conn, self._claimed, text))

    def _keep_up(self) -> None:
        """Now and then between two chunks. Raises LostClaimError, StopRequestedError."""
        now = time.monotonic()
        if now - self._renewed_at >= _RENEW_EVERY_S:
            self._renew()
        if self._is_stopping():
            raise StopRequestedError("The worker was asked to stop.")

    def _renew(self) -> None:
        sent_bytes = self._sent_bytes
        self._persist(lambda conn: pushes.renew(conn, self._claimed, lease_s=LEASE_S, sent_bytes=sent_bytes))
        self._renewed_at = time.monotonic()
        self._limit.extend()

    def _publish(self, writing: Unpublished, job: Job) -> bool:
        """Make the object appear, unless a newer run's is there: then False. One at a time at each path.

        The order matters. What is there is looked at under the lock, and then the lock is asked for a sign of life: so
        whoever gets it later publishes after that look, and where the other side compares, this one is refused then.
        """
        patience = time.monotonic() + _LONGEST_TURN_S
        while True:
            with pushes.publishing(self._ctx.db, self._claimed) as lock:
                if lock is not None:
                    self._renew()
                    with self._ctx.db.guard():
                        if not pushes.is_newest(lock, self._claimed, job.number):
                            return False
                    try:
                        return self._publish_as_seen(writing, lock)
                    except ReplacedMeanwhileError:
                        if time.monotonic() >= patience:
                            raise
                        continue
            if time.monotonic() >= patience:
                raise ReplacedMeanwhileError(f"Another push has published at {self._claimed.path} for minutes.")
            self._keep_up()
            time.sleep(_TURN_S)

    def _publish_as_seen(self, writing: Unpublished, lock: Connection) -> bool:
        state = writing.state()
        with self._ctx.db.guard():
            lock.execute("select 1")
        writing.publish(state)
        return True

    # The end ----------------------------------------------------------------------------------------------------------

    def _end(self, state: PushState, error: str | None) -> None:
        """The push has come to this, and so has its run: in one transaction."""
        ended = self._persist(lambda conn: self._close(conn, state, error))
        level = _log.error if state is PushState.FAILED else _log.info
        level("push.ended", state=state.value, path=self._claimed.path, bytes=self._sent_bytes, error=error)
        _log.info("job.ended", status=ended.status.value, stop_reason=ended.stop_reason)

    def _close(self, conn: Connection, state: PushState, error: str | None) -> Job:
        claimed = self._claimed
        job = jobs.get_for_worker(conn, claimed.job_id, lock=True)
        ending = pushes.find_ending(conn, claimed.job_id, claimed.run_number)
        if ending is None or not pushes.is_held(conn, claimed):
            raise LostClaimError(f"The push of job {claimed.job_id} is no longer ours.")
        told = {"bytes": self._sent_bytes, "error": None} if error is None else {"error": error}
        pushes.end(conn, claimed.job_id, claimed.run_number, state, **told)
        return close_run(self._ctx, conn, jobs.get_for_worker(conn, job.id), ending)


def _backoff_s(ctx: Context, failed: int) -> float:
    policy = RetryPolicy(tries=failed + 1, base_s=ctx.settings.retry_base_s, cap_s=_CAP_S)
    decision = decide(policy, failed, None, random.Random())  # noqa: S311 - jitter, not a secret
    return decision.wait_s if isinstance(decision, TryAgain) else _CAP_S


def _rendered(ctx: Context, result: Result, *, is_packed: bool) -> Rendered:
    """The output in the job's format. Raises the storage errors."""
    fmt: Format = result.job.file_format.short.lower()  # type: ignore[assignment]
    return render(
        ctx.store,
        result.segments,
        fmt,
        "gzip" if is_packed else None,
        columns=csv_columns(result) or None,
    )
