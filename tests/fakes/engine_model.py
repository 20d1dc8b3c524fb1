"""What the engine promises, in memory: a job, its slice, its counters, and who may change them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.db.slices import Claim
from app.domain.jobs import JobStatus

Lease = Literal["none", "live", "expired"]


@dataclass
class Hand:
    """A worker with a claim, perhaps lost: what it believes. A dead one may still strike at any time."""

    claim: Claim
    checkpoint: int
    sequence: int
    record_count: int
    """Records delivered up to its position."""
    left: int | None
    """Calls of the run's apiLimit that were not reserved when it last heard."""
    held: int = 0
    made: int = 0
    written: list[str] = field(default_factory=list)
    """Keys of objects that it stored and has not committed."""

    def let_go(self) -> None:
        """The leg has ended: whatever the rows say, it makes no more calls."""
        self.held = self.made = 0

    @property
    def unfinished(self) -> int:
        """Sequence number of the next object that it would write."""
        return self.sequence + len(self.written)


@dataclass
class ModelJob:
    """One job as it must stand in the rows. Calls, reservations and vendor's log are of the newest run."""

    id: int
    slice_id: int
    api_limit: int | None
    status: JobStatus = JobStatus.CREATED
    run: int = 1
    revision: int = 0
    record_count: int = 0
    call_count: int = 0
    written_off: int = 0
    claim: int = 0
    checkpoint: int = 0
    sequence: int = 0
    crash_count: int = 0
    exhausted: bool = False
    has_more: bool = False
    lease: Lease = "none"
    is_over: bool = False
    """Nothing is left to do in this run."""
    is_due: bool = True
    reserved: int = 0
    held: int = 0
    vendor_calls: int = 0
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    """(run, sequence, records) of everything committed."""
    keys: set[str] = field(default_factory=set)
    callbacks: int = 0

    def can_claim(self) -> bool:
        return not self.is_over and self.is_due and self.lease != "live"

    def take(self) -> None:
        """Somebody claims."""
        self.crash_count += self.lease == "expired"
        self.claim += 1
        self.lease = "live"
        self.written_off += self.held
        self.held = 0
        if self.status is JobStatus.CREATED:
            self.status = JobStatus.STARTED

    def is_held_by(self, hand: Hand) -> bool:
        """Whether what the hand does counts: the claim number says so, never the time."""
        return hand.claim.slice_id == self.slice_id and hand.claim.number == self.claim and self.lease != "none"

    def report(self, made: int, wanted: int) -> None:
        """Calls were made, and others reserved."""
        self.call_count += made
        self.held = max(0, self.held - made) + wanted
        self.reserved += wanted

    def advance(self, records: list[int], keys: list[str], *, exhausted: bool) -> None:
        """A checkpoint stands."""
        self.segments += [(self.run, self.sequence + n, count) for n, count in enumerate(records)]
        self.keys |= set(keys)
        self.sequence += len(records)
        self.checkpoint += 1
        self.record_count += sum(records)
        self.exhausted = exhausted
        self.crash_count = 0
        self.lease = "live"
        if self.status in {JobStatus.CREATED, JobStatus.STARTED}:
            self.status = JobStatus.RUNNING

    def settle(self, made: int, unused: int) -> None:
        """The holder's last report: what it cannot account for is written off."""
        self.call_count += made
        self.reserved -= unused
        self.written_off += max(0, self.held - made - unused)
        self.held = 0

    def hand_back(self, *, is_due: bool) -> None:
        self.lease, self.is_due, self.crash_count = "none", is_due, 0

    def end(self, status: JobStatus) -> None:
        """The run ends, whoever holds it. A cancel that was promised wins."""
        self.status = JobStatus.CANCELLED if self.status is JobStatus.CANCELLATION_PENDING else status
        self.revision = self.run
        self.has_more = not self.exhausted
        self.written_off += self.held
        self.held = 0
        self.claim += 1
        self.lease = "none"
        self.is_over = True
        self.callbacks += 1

    def can_restart(self) -> bool:
        return self.status.is_terminal and (self.status is not JobStatus.COMPLETED or self.has_more)

    def restart(self, slice_id: int) -> None:
        self.slice_id = slice_id
        self.status = JobStatus.CREATED
        self.run += 1
        self.claim = self.checkpoint = self.sequence = self.crash_count = 0
        self.reserved = self.vendor_calls = 0
        self.has_more = False
        self.is_over, self.is_due = False, True

    def rows(self) -> dict[str, object]:
        """What the rows must say."""
        return {
            "status": self.status.value,
            "run_number": self.run,
            "revision": self.revision,
            "records": self.record_count,
            "calls": self.call_count,
            "written_off": self.written_off,
            "has_more": self.has_more,
            "claim": self.claim,
            "checkpoint": self.checkpoint,
            "sequence": self.sequence,
            "crash_count": self.crash_count,
            "exhausted": self.exhausted,
            "position": self.record_count,
            "lease": self.lease,
            "is_over": self.is_over,
            "is_due": self.is_due and not self.is_over,
            "held": self.held,
            "reserved": self.reserved,
            "callbacks": self.callbacks,
            "segments": [list(segment) for segment in sorted(self.segments)],
        }
