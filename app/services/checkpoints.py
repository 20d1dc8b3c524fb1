"""Checkpoints: segments, position and counters in one statement, with every doubt at COMMIT resolved."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from app.db import checkpoints
from app.db import segments as segment_rows
from app.db.checkpoints import Progress
from app.db.pool import Connection, Database
from app.db.slices import Claim, Position, Standing
from app.domain.chains import Noted
from app.domain.selection import Selected
from app.domain.stalls import PageTimes
from app.errors import StorageError, TransientError
from app.services.calls import CallBudget
from app.services.lease import Lease
from app.services.output import Output, Sealed
from app.services.overlap import Overlap
from app.storage.objects import ObjectStore

FIRST_AFTER_S = 0.2
"""The first checkpoint of a leg comes early, so that a worker that is killed often still makes progress."""


@dataclass(frozen=True)
class _Next:
    """What the next statement will say, once its segments are stored."""

    sealed: Sealed
    position: Position
    page_count: int
    vendor_total: int | None
    filtered_count: int
    undated_count: int
    stray_count: int
    noted: Noted | None
    child_count: int
    child_missing_count: int
    deleted_count: int


class Checkpoints:
    """Commits what a leg has fetched, about twice a second, fenced by claim and checkpoint number.

    In two steps, so that nobody waits for the store: what was taken in is sealed and stored beside the leg, which goes
    on; committed it is when it is stored.
    """

    def __init__(
        self,
        db: Database,
        claim: Claim,
        lease: Lease,
        output: Output,
        calls: CallBudget,
        overlap: Overlap | None = None,
        *,
        every_s: float,
        lease_s: float,
    ) -> None:
        self._db = db
        self._claim = claim
        self._lease = lease
        self._output = output
        self._calls = calls
        self._overlap = overlap
        self._every_s = every_s
        self._lease_s = lease_s
        self._sequence = claim.sequence
        self._forget()
        self._next: _Next | None = None
        self._next_at = time.monotonic() + min(FIRST_AFTER_S, every_s)
        self.committed = claim.position
        self.position = claim.position
        """Behind the last record that was taken in; ahead of `committed` between checkpoints."""
        self.vendor_total: int | None = None
        self._page_times = PageTimes(claim.page_times)

    @property
    def is_any_committed(self) -> bool:
        """True where this leg has made progress that counts."""
        return self.committed != self._claim.position

    def take_in(
        self,
        selected: Selected,
        size_bytes: int,
        position: Position,
        *,
        came_packed: bool,
        page_s: float,
        page_count: int = 1,
    ) -> None:
        """Add a page's records, about so long together; they count with the next commit. Raises the storage errors.

        `page_s`: how long the vendor took for them.
        """
        self._output.add(selected.records, size_bytes, came_packed=came_packed)
        self._is_any_taken = True
        self._page_count += page_count
        self._page_times.add(page_s)
        self._filtered_count += selected.filtered
        self._undated_count += selected.undated
        self._deleted_count += selected.deleted
        left_out = selected.filtered + selected.undated + selected.repeated + selected.deleted
        self._stray_count += selected.consumed - len(selected.records) - left_out
        self.position = position

    def count_children(self, found: int, missing: int) -> None:
        """Child look-ups that found something, and records that have no child; they count with the next commit."""
        self._child_count += found
        self._child_missing_count += missing

    def keep_up(self) -> None:
        """Do what is due and needs no waiting. Raises as `commit` does."""
        if self._next is not None:
            if self._next.sealed.is_stored:
                self._settle(self._next)
        elif time.monotonic() >= self._next_at:
            self._seal()

    def commit_due(self) -> None:
        """Commit if it is time, waiting for the store. Raises as `commit` does."""
        if self._next is not None or time.monotonic() >= self._next_at:
            self.commit()

    def commit(self) -> None:
        """Make everything that was taken in count, or raise and let nothing of it count.

        Raises the storage errors, LostClaimError, and DatabaseUnavailableError when PostgreSQL stayed away until the
        lease was about to run out.
        """
        for _ in range(2):  # what is sealed already, and what came since
            if self._next is None:
                self._seal()
            if self._next is not None:
                self._settle(self._next)

    def _seal(self) -> None:
        if not self._is_any_taken:
            return
        self._next = _Next(
            self._output.seal(),
            self.position,
            self._page_count,
            self.vendor_total,
            self._filtered_count,
            self._undated_count,
            self._stray_count,
            None if self._overlap is None else self._overlap.seal(),
            self._child_count,
            self._child_missing_count,
            self._deleted_count,
        )
        self._forget()
        self._next_at = time.monotonic() + self._every_s

    def _forget(self) -> None:
        self._is_any_taken = False
        self._page_count = self._filtered_count = self._undated_count = self._stray_count = 0
        self._deleted_count = self._child_count = self._child_missing_count = 0

    def _settle(self, following: _Next) -> None:
        segments = following.sealed.segments()
        progress = Progress(
            position=following.position,
            segments=segments,
            record_count=following.sealed.record_count,
            page_count=following.page_count,
            plain_bytes=following.sealed.plain_bytes,
            calls_made=max(0, self._calls.made),  # only the last report takes back
            calls_wanted=self._calls.wanted(),
            vendor_total=following.vendor_total,
            filtered_count=following.filtered_count,
            undated_count=following.undated_count,
            stray_count=following.stray_count,
            noted=following.noted,
            chain_id=0 if self._overlap is None else self._overlap.chain_id,
            child_count=following.child_count,
            child_missing_count=following.child_missing_count,
            deleted_count=following.deleted_count,
            page_times=self._page_times,
        )
        self._lease.advance(lambda conn, number: self._send(conn, number, progress))
        self._sequence += len(segments)
        self._output.committed(len(segments))
        self._calls.reported(progress.calls_wanted)
        self.committed = following.position
        self._next = None

    def _send(self, conn: Connection, number: int, progress: Progress) -> Standing | None:
        claim = self._claim
        return checkpoints.advance(
            conn, claim.slice_id, claim.number, number, progress, sequence=self._sequence, lease_s=self._lease_s
        )

    def abandon(self, store: ObjectStore) -> None:
        """The leg ends without a commit: delete objects that surely never count.

        Surely means that they have no row and that no statement of ours can still be under way, which holds when the
        claim is still ours and quiet, or when PostgreSQL says that it is somebody else's. When PostgreSQL or the store
        cannot be asked, the orphan sweep finds them later.
        """
        self.position = self.committed
        self._forget()
        self._next = None
        keys = self._output.discard()
        if not keys:
            return
        with contextlib.suppress(TransientError, StorageError), self._db.connection() as conn:
            for key in set(keys) - segment_rows.find_existing(conn, keys):
                store.delete(key)
