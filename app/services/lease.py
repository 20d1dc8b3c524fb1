"""A holder's side of a claim: signs of life, the stop flag, and interruptible waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from app.db import checkpoints, slices
from app.db.pool import Connection, Database
from app.db.slices import Claim, Standing
from app.domain.jobs import JobStatus
from app.domain.turns import turn_s
from app.errors import DatabaseUnavailableError, LostClaimError

_LOOK_S = 2.0
"""How often a holder that commits nothing asks whether its job was cancelled."""

_STEP_S = 0.05
_PAUSE_S = 0.25
_LAST_TRY_S = 0.5
_T = TypeVar("_T")
_DRAIN_GRACE_S = 3.0
"""How long a call that is under way may still take once the process is asked to stop."""


def claim_slice(
    db: Database, slice_id: int, *, worker_id: int | None, lease_s: float, is_stopping: Callable[[], bool]
) -> tuple[Claim | None, float]:
    """Claim a slice, through a restart of PostgreSQL. Returns the claim, if any, and when it was asked for.

    A claim whose reply was lost may stand, and then nobody works under it until the lease runs out: so it is asked for
    again, and given to the same worker. Raises DatabaseUnavailableError when PostgreSQL stays away for a whole lease.
    """
    began_at = time.monotonic()
    is_in_doubt = is_last = False
    while True:
        asked_at = time.monotonic()
        was_in_doubt = is_in_doubt
        try:
            with db.connection() as conn:
                is_in_doubt = True
                claim = slices.claim(conn, slice_id, worker_id=worker_id, lease_s=lease_s, again=was_in_doubt)
        except DatabaseUnavailableError:
            if is_stopping() or time.monotonic() - began_at > lease_s:
                raise
        else:
            # A first statement that is still at work skips the second one, and stands after it: look once more.
            if claim is not None or not was_in_doubt or is_last:
                return claim, asked_at
            is_last = True
        time.sleep(_PAUSE_S)


class Lease:
    """Keeps one claim alive while there is progress, and knows when to let go.

    Renewed by the thread that works, never by a thread beside it: a worker that hangs must lose its lease.
    """

    def __init__(
        self, db: Database, claim: Claim, *, claimed_at: float, lease_s: float, is_stopping: Callable[[], bool]
    ) -> None:
        """`claimed_at`: when the claim was asked for, by the monotonic clock."""
        self._db = db
        self._claim = claim
        self._lease_s = lease_s
        self._is_stopping = is_stopping
        self._look_s = min(_LOOK_S, lease_s / 4)
        self._stopping_since: float | None = None
        self._looked_at = 0.0
        self._ends_at = 0.0
        self.checkpoint = claim.checkpoint
        """Statements of holders that stand. Each carries this number, so that a repeated one does nothing twice."""
        self.turn_s = math.inf
        """How long a leg may last, since others wait for its slot."""
        self.is_cancelled = claim.job_status is JobStatus.CANCELLATION_PENDING
        self.is_lost = False
        self._doing: tuple[str, float] | None = None
        self.extend_from(claimed_at)

    def extend_from(self, asked_at: float) -> None:
        """The database prolonged the lease by a statement that was sent at `asked_at` (monotonic)."""
        self._looked_at = asked_at
        self._ends_at = asked_at + self._lease_s

    def note(self, standing: Standing | None, asked_at: float) -> None:
        """Take in what a statement of ours learnt. Raises LostClaimError."""
        if standing is None:
            self.is_lost = True
            raise LostClaimError(f"Claim {self._claim.number} on slice {self._claim.slice_id} is no longer ours.")
        self.extend_from(asked_at)
        self.turn_s = math.inf if standing.slots_per_slice is None else turn_s(standing.slots_per_slice)
        self.is_cancelled = self.is_cancelled or standing.is_cancelled

    @property
    def others_wait(self) -> bool:
        """Whether other slices were waiting for a slot when this one was last heard of."""
        return self.turn_s < math.inf

    @property
    def remaining_s(self) -> float:
        """Seconds until somebody else may take the slice, by our own clock (never longer than the database's)."""
        return self._ends_at - time.monotonic()

    @property
    def is_stopping(self) -> bool:
        """True once the process was asked to end or the job was cancelled."""
        if self._is_stopping() and self._stopping_since is None:
            self._stopping_since = time.monotonic()
        return self.is_cancelled or self._stopping_since is not None

    @contextmanager
    def doing(self, what: str, *, since: float | None = None) -> Iterator[None]:
        """Inside, signs of life say so: a job that stands still can tell what it waits for, `since` (monotonic)."""
        self._doing = (what, time.monotonic() if since is None else since)
        try:
            yield
        finally:
            self._doing = None

    def check(self) -> None:
        """Show a sign of life when one is due. Raises LostClaimError when the slice is not ours any more."""
        now = time.monotonic()
        if now - self._looked_at >= self._look_s:
            self._renew(now)
        if self.remaining_s <= 0:
            self.is_lost = True
            raise LostClaimError("The lease ran out before PostgreSQL could be asked to prolong it.")

    def _renew(self, now: float) -> None:
        try:
            with self._db.connection() as conn:
                what, since = self._doing or (None, now)
                standing = slices.renew(
                    conn,
                    self._claim.slice_id,
                    self._claim.number,
                    lease_s=self._lease_s,
                    doing=what,
                    doing_s=now - since,
                )
        except DatabaseUnavailableError:
            self._looked_at = now  # asked again after the next pause; the lease's end decides
            return
        self.note(standing, now)

    def persist(self, statement: Callable[[Connection], _T]) -> _T:
        """Run a statement that is safe to repeat, through a restart of PostgreSQL, as long as the lease surely lives.

        Raises DatabaseUnavailableError when PostgreSQL stayed away until the lease was about to run out.
        """
        while True:
            try:
                with self._db.connection() as conn:
                    return statement(conn)
            except DatabaseUnavailableError:
                if self.remaining_s <= _LAST_TRY_S:
                    raise
                time.sleep(min(_PAUSE_S, self.remaining_s / 4))

    def advance(self, statement: Callable[[Connection, int], Standing | None]) -> None:
        """Send a holder's numbered statement until it surely stands, or surely does not.

        After a broken connection the same statement is sent again: should the first one have been committed (or be
        committed late), the checkpoint number makes the second a no-op, and a look tells which of the two it was.
        Raises LostClaimError, and DatabaseUnavailableError as `persist` does.
        """
        asked_at = time.monotonic()
        self.note(self.persist(lambda conn: self._standing_after(conn, statement)), asked_at)
        self.checkpoint += 1

    def _standing_after(
        self, conn: Connection, statement: Callable[[Connection, int], Standing | None]
    ) -> Standing | None:
        slice_id, claim_number = self._claim.slice_id, self._claim.number
        standing = statement(conn, self.checkpoint)
        if standing is None and checkpoints.find_checkpoint(conn, slice_id, claim_number) == self.checkpoint + 1:
            return slices.renew(conn, slice_id, claim_number, lease_s=self._lease_s)
        return standing

    def beat(self) -> bool:
        """For the HTTP client, about once a second: False to abandon the call that is under way."""
        try:
            self.check()
        except LostClaimError:
            return False
        if self.is_cancelled:
            return False
        return not self.is_stopping or time.monotonic() - (self._stopping_since or 0.0) < _DRAIN_GRACE_S

    def beats_while(self, what: str, meanwhile: Callable[[], None]) -> Callable[[], bool]:
        """As `beat`, after `meanwhile`; signs of life tell of `what` since now."""
        since = time.monotonic()

        def beat() -> bool:
            with self.doing(what, since=since):
                meanwhile()
                return self.beat()

        return beat

    def wait(self, seconds: float) -> float:
        """Wait a little, as long as nobody asks us to stop. Returns the seconds left then. Raises LostClaimError."""
        until = time.monotonic() + seconds
        with self.doing("a short wait"):
            while (left := until - time.monotonic()) > 0 and not self.is_stopping:
                self.check()
                time.sleep(min(left, _STEP_S))
        return max(0.0, left)
