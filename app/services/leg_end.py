"""How a leg ends: the slice is handed back for a later one, or its run is over."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from app.db import jobs, slices
from app.db.jobs import Job
from app.db.pool import Connection
from app.db.slices import Claim, HandBack, Position
from app.domain.jobs import JobStatus, StopReason
from app.domain.retry import Decision, GiveUp, RetryPolicy, decide
from app.domain.rows import UnreadableInputError
from app.enqueue import TaskName
from app.errors import (
    BrokerUnavailableError,
    ConfigError,
    DatabaseUnavailableError,
    LostClaimError,
    StorageError,
    TransientError,
)
from app.services.context import Context
from app.services.finish import finish_run, leave_run, tell_end
from app.services.lease import Lease
from app.services.vendor_budget import BudgetWait

log = structlog.get_logger()


class CallAccount(Protocol):
    """What is needed of app.services.calls.CallBudget: calls made since the last report, and reserved for nothing."""

    @property
    def made(self) -> int: ...
    @property
    def held(self) -> int: ...


class ProgressAccount(Protocol):
    """What is needed of app.services.checkpoints.Checkpoints."""

    @property
    def position(self) -> Position: ...
    @property
    def committed(self) -> Position: ...
    def commit(self) -> None: ...


class Work(Protocol):
    """What a leg does, as `LegEnd.carry` drives it."""

    @property
    def is_any_committed(self) -> bool:
        """True where the leg has made progress that counts."""

    def step(self) -> bool:
        """Do the next thing; False once the slice is handed back or the run has ended."""

    def settle(self) -> None:
        """Before an error of the surroundings ends the leg: let what can still count do so, and drop the rest."""

    def drop(self) -> None:
        """After a mistake of ours: nothing since the last commit counts."""


class LegEnd:
    """One a leg. What gives a bool says whether the leg goes on: False once the slice is out of its hands.

    All of it raises LostClaimError and DatabaseUnavailableError, and the storage errors where it commits.
    """

    def __init__(
        self,
        ctx: Context,
        claim: Claim,
        lease: Lease,
        calls: CallAccount,
        checkpoints: ProgressAccount,
        *,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        """`let_go`: breaks off calls that nobody will ask for; asked before calls are told of for the last time."""
        self._ctx = ctx
        self._claim = claim
        self._lease = lease
        self._calls = calls
        self._checkpoints = checkpoints
        self._let_go = let_go
        settings = ctx.settings
        self._policy = RetryPolicy(settings.retry_tries, settings.retry_base_s, settings.retry_cap_s)
        self._dice = random.Random()  # noqa: S311 - jitter, not a secret

    def decide(self, tries: int, retry_after_s: float | None) -> Decision:
        """What follows from so many failed tries in a row; see app.domain.retry."""
        return decide(self._policy, tries, retry_after_s, self._dice)

    def carry(self, work: Work) -> bool:
        """Step until there is nothing more to do; what goes wrong ends the run. True if the slice starts over later."""
        try:
            while work.step():
                pass
        except (LostClaimError, DatabaseUnavailableError):
            raise
        except TransientError as error:
            work.settle()
            return self._start_over(work, StopReason.CONFIG, f"Storage: {error.message}", error.retry_after_s)
        except StorageError as error:
            return self._give_up(work, StopReason.CONFIG, f"The storage refuses: {error.message}")
        except ConfigError as error:
            return self._give_up(work, StopReason.CONFIG, error.message)
        except UnreadableInputError as error:
            return self._give_up(work, StopReason.UNREADABLE_INPUT, error.message)
        except Exception as error:
            # A mistake of ours must not hold the lease until it runs out, nor look like a worker's death.
            log.exception("leg.failed")
            work.drop()
            cause = f"Haulage itself failed ({type(error).__name__}); see the worker's log."
            return self._start_over(work, StopReason.CRASHES, cause)
        return False

    def _give_up(self, work: Work, reason: StopReason, cause: str) -> bool:
        work.settle()
        self.run_over(JobStatus.ABORTED, reason, cause)
        return False

    def _start_over(self, work: Work, reason: StopReason, cause: str, retry_after_s: float | None = None) -> bool:
        """The position is tried again later, or given up as any other failure."""
        tries = 1 if work.is_any_committed else self._claim.try_count + 1
        decision = self.decide(tries, retry_after_s)
        if isinstance(decision, GiveUp):
            self.run_over(JobStatus.ABORTED, reason, f"{cause} ({tries} tries without progress)")
        else:
            self.hand_back(HandBack(decision.wait_s, tries, wait_reason=cause, last_error=cause))
        return True

    def pause(self, tries: int) -> bool:
        """Commit what is there, and let the slice go on as soon as it is its turn."""
        self._checkpoints.commit()
        self.hand_back(HandBack(0.0, tries))
        self._nudge_myself()
        return False

    def wait_for_budget(self, wait: BudgetWait, tries: int) -> bool:
        """Somebody else's turn at the vendor: no attempt is spent."""
        self._checkpoints.commit()
        if self._lease.is_cancelled:
            return True
        return self.hand_back(HandBack(wait.snooze_s, tries, wait_reason=wait.message))

    def hand_back(self, back: HandBack) -> bool:
        """At the position that was reached: a changed page size alone is no progress and is saved here."""
        self._let_go()
        moved = self._checkpoints.position if self._checkpoints.position != self._checkpoints.committed else None
        full = replace(back, calls_made=self._calls.made, calls_unused=self._calls.held, position=moved)
        self._lease.persist(lambda conn: slices.hand_back(conn, self._claim.slice_id, self._claim.number, full))
        return False

    def _nudge_myself(self) -> None:
        """Go on at once unless others wait: then the sweeper decides whose turn it is."""
        if self._lease.is_stopping or self._lease.others_wait:
            return
        try:
            self._ctx.enqueuer.send(TaskName.DOWNLOAD_LEG, self._claim.slice_id)
        except BrokerUnavailableError as error:
            log.info("hint.not_sent", reason=error.message)

    def api_limit_reached(self, api_limit: int | None) -> bool:
        """The run has made all the vendor calls that it may."""
        state = JobStatus(self._ctx.settings.api_limit_state)
        text = f"The apiLimit of {api_limit} vendor calls was reached; restart the job to go on."
        return self.finish(state, StopReason.API_LIMIT, text)

    def finish(self, status: JobStatus, reason: StopReason, detail: str) -> bool:
        """Commit what is there, and end the run or this slice of it."""
        self._checkpoints.commit()
        self.run_over(status, reason, detail)
        return False

    def run_over(self, status: JobStatus, reason: StopReason, detail: str) -> None:
        """One transaction; after a doubtful COMMIT it is tried again and finds the slice fenced if the first stands."""
        self._let_go()

        def end(conn: Connection) -> Job:
            with conn.transaction():
                job = jobs.get_for_worker(conn, self._claim.job_id, lock=True)
                if not slices.is_held_by(conn, self._claim.slice_id, self._claim.number):
                    raise LostClaimError("The run has ended already, or somebody else holds the slice.")
                slices.settle_calls(conn, self._claim.slice_id, made=self._calls.made, unused=self._calls.held)
                return finish_run(self._ctx, conn, job.id, status, reason, detail)

        if self._claim.span is not None and self._lease.persist(self._leave(reason)):
            log.info("slice.ended", stop_reason=reason.value)
            return
        tell_end(self._lease.persist(end), reason)

    def _leave(self, reason: StopReason) -> Callable[[Connection], bool]:
        made, unused = self._calls.made, self._calls.held
        return lambda conn: leave_run(conn, self._claim, reason, made=made, unused=unused)
