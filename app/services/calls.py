"""The calls that a run may still make: reserved in PostgreSQL before they are made (design 2.3)."""

from __future__ import annotations

import time

from app.db import checkpoints
from app.db.pool import Connection
from app.db.runs import Run
from app.db.slices import Claim
from app.domain.budgets import block_size
from app.errors import LostClaimError
from app.services.lease import Lease


class CallBudget:
    """Counts calls; with an apiLimit also reserves them in small blocks, ahead of use.

    A crash loses at most the block that is held. Without an apiLimit nothing is reserved and nothing can run out.
    """

    def __init__(self, lease: Lease, claim: Claim, run: Run) -> None:
        self._lease = lease
        self._claim = claim
        self._left = run.calls_left
        self._began_at = time.monotonic()
        self._made_in_leg = 0
        self.held = 0
        """Reserved and not used yet."""
        self.made = 0
        """Made since the last report; negative where calls that were reported were not made after all."""

    @property
    def made_in_leg(self) -> int:
        """All of this leg."""
        return self._made_in_leg

    @property
    def is_limited(self) -> bool:
        """Whether the run has an apiLimit."""
        return self._left is not None

    def take(self) -> bool:
        """Account for one call about to be made; False when the run's apiLimit is reached.

        Raises LostClaimError, DatabaseUnavailableError; then the call must not be made.
        """
        if self._left is not None:
            if self.held == 0 and not self._reserve(self._left):
                return False
            self.held -= 1
        self.made += 1
        self._made_in_leg += 1
        return True

    def give_back(self) -> None:
        """A call that `take` accounted for was not made after all."""
        self.made -= 1
        self._made_in_leg -= 1
        if self._left is not None:
            self.held += 1

    def _reserve(self, left: int) -> bool:
        wanted = self.wanted(left)
        if wanted == 0:
            return False
        if not self._lease.persist(lambda conn: self._send(conn, wanted)):
            raise LostClaimError("The slice was taken over while calls were being reserved.")
        self._lease.checkpoint += 1
        self.reported(wanted)
        return True

    def _send(self, conn: Connection, wanted: int) -> bool:
        """True once the reservation stands, by this statement or by one whose reply was lost."""
        claim, number = self._claim, self._lease.checkpoint
        return (
            checkpoints.reserve_calls(conn, claim.slice_id, claim.number, number, made=max(0, self.made), wanted=wanted)
            or checkpoints.find_checkpoint(conn, claim.slice_id, claim.number) == number + 1
        )

    def wanted(self, left: int | None = None) -> int:
        """How many calls to reserve with the next statement; 0 while enough are held or nothing is left."""
        left = self._left if left is None else left
        if left is None:
            return 0
        seconds = max(time.monotonic() - self._began_at, 1.0)
        return max(0, block_size(left, self._made_in_leg / seconds) - self.held)

    def reported(self, granted: int) -> None:
        """A statement that reported `made` and reserved `granted` stands."""
        self.made = min(self.made, 0)
        self.held += granted
        if self._left is not None:
            self._left -= granted
