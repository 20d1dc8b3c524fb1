"""One leg of an upload: send the rows of a file, and leave each with a verdict (issue 5).

Rows that were under way when a worker died are settled by the next one: sent again where that is harmless, looked up
where the connector says how, and else called uncertain.
"""

from __future__ import annotations

import time
from contextlib import suppress

import structlog

from app.connectors.classify import Verdict
from app.connectors.model import Action
from app.db import upload_rows, uploads
from app.db.slices import Claim, HandBack, Position
from app.domain.jobs import JobStatus, StopReason
from app.domain.retry import PATIENCE_S, GiveUp
from app.domain.stalls import CALLING
from app.errors import DatabaseUnavailableError, LostClaimError
from app.services.context import Context
from app.services.finish import BY_THE_USER
from app.services.lease import Lease
from app.services.leg_end import LegEnd
from app.services.plan import InstanceGoneError
from app.services.upload_plan import UploadPlan, form_of, rows_of
from app.services.upload_window import Window
from app.services.vendor_budget import BudgetWait

log = structlog.get_logger()

_KEEP_SLOTS_S = 1.0
_LAST_ANSWERS_S = 3.0
"""How long the calls that are under way may still take once the job is cancelled or the process asked to end."""


class _ReadingStoppedError(Exception):
    """Nobody wants the rows any more that the file is read for."""


class UploadLeg:
    """The loop over rows. One thread, one slice. It is also the account of calls and progress that LegEnd asks for."""

    held = 0
    """Calls reserved and not used: uploads have no apiLimit."""

    def __init__(self, ctx: Context, claim: Claim, lease: Lease, plan: UploadPlan) -> None:
        self._ctx = ctx
        self._claim = claim
        self._lease = lease
        self._plan = plan
        self._window: Window | None = None
        self._end = LegEnd(ctx, claim, lease, self, self)
        self._tries = claim.try_count
        self._is_refreshed = False
        self._trouble: Verdict | None = None
        self._resume_at = 0.0
        self._began_at = self._slots_kept_at = self._heard_at = self._reading_at = time.monotonic()
        self._reaching_s: float | None = None
        """How long it took to come to the position in the file; None before that."""
        self.committed = claim.position

    @property
    def made(self) -> int:
        """Calls made since the last step."""
        return self._window.calls_made if self._window else 0

    @property
    def position(self) -> Position:
        """Never ahead of what is committed when LegEnd asks: `commit` comes first."""
        return self.committed

    def run(self) -> None:
        """Send until something ends the leg, and leave the slice in a state from which anybody can go on."""
        try:
            self._end.carry(self)
        except LostClaimError as error:
            log.info("leg.lost_claim", reason=error.message)
        except DatabaseUnavailableError as error:
            log.warning("leg.given_up", reason=error.message)
        finally:
            self.drop()
            self._ctx.http.let_handles_go()

    @property
    def is_any_committed(self) -> bool:
        """See LegEnd.carry; so are the other public methods."""
        return self.committed != self._claim.position

    def settle(self) -> None:
        """The file cannot be read on, but answers are under way: rows must not be uncertain for that."""
        self.commit()

    def drop(self) -> None:
        """What is under way stays in doubt: nobody knows what the window is worth."""
        if self._window is not None:
            self._window.abandon()

    def step(self) -> bool:
        """Do the next thing; False once the slice is handed back or the run has ended."""
        if self._claim.position.exhausted:
            return self._end.finish(JobStatus.COMPLETED, StopReason.EXHAUSTED, "")
        self._window = self._window or self._open()
        return self._step(self._window)

    def _open(self) -> Window:
        claim, form = self._claim, form_of(self._ctx, self._plan, self._lease.check)
        if self._plan.upload.form is None:
            self._lease.persist(lambda conn: uploads.set_form(conn, claim.job_id, form.as_json()))
        opened = self._lease.persist(lambda conn: upload_rows.take_over(conn, claim.slice_id, claim.number))
        rows = rows_of(self._ctx, self._plan, form, self._on_piece)
        self._began_at = time.monotonic()
        return Window(self._plan, rows, opened, self._began_at)

    def _on_piece(self, is_at_position: bool) -> None:
        """Inflating a packed file up to where the last leg was may take longer than a lease lives; so may blank lines.

        The time of the leg is counted from there: else it would be over before a row was read.
        """
        self._lease.check()
        if self._lease.is_stopping:
            raise _ReadingStoppedError
        if is_at_position and self._reaching_s is None:
            now = time.monotonic()
            self._reaching_s, self._began_at = now - self._reading_at, now

    def _step(self, window: Window) -> bool:
        self._show_life(window)
        self._take_in(window)
        if self._lease.is_cancelled:
            return self._end.finish(*BY_THE_USER)
        if self._trouble is not None and (ended := self._answer_trouble(self._trouble)) is not None:
            return ended
        if self._is_leg_over():
            return self._end.pause(self._tries)
        may_send = time.monotonic() >= self._resume_at
        wait = self._fill(window) if may_send else None
        self._tell_and_send(window)
        if not window.is_idle:
            if not (may_send and window.is_more_due):
                self._wait_for_answers()
            return True
        if window.is_empty and window.is_read:
            return self._end.finish(JobStatus.COMPLETED, StopReason.EXHAUSTED, "")
        return window.is_step_due or self._rest(window, wait)

    def _fill(self, window: Window) -> BudgetWait | None:
        self._reading_at = time.monotonic()
        with suppress(_ReadingStoppedError):
            return window.fill(self._reading_at)
        return None

    def _show_life(self, window: Window) -> None:
        """What is waited for is told with it, and since when."""
        if window.is_idle:
            self._lease.check()
            return
        with self._lease.doing(CALLING, since=self._heard_at):
            self._lease.check()

    def _is_leg_over(self) -> bool:
        """The way to its place in the file must not be most of what a leg does, however far that is."""
        least_s = min(self._lease.turn_s, self._ctx.settings.leg_s)
        lasted_s = time.monotonic() - self._began_at
        return self._lease.is_stopping or lasted_s >= max(least_s, self._reaching_s or 0.0)

    def _take_in(self, window: Window) -> None:
        ended_count = window.ended_count
        trouble = window.collect(time.monotonic())
        if window.ended_count > ended_count:
            self._tries, self._is_refreshed, self._heard_at = 0, False, time.monotonic()
        if trouble is not None and time.monotonic() >= self._resume_at:
            self._trouble = trouble

    def _tell_and_send(self, window: Window) -> None:
        if window.is_step_due:
            self._commit_step(window)
        if window.is_idle:
            self._heard_at = time.monotonic()
        window.send(self._lease.check, self._lease.beat, time.monotonic())

    def _wait_for_answers(self) -> None:
        self._ctx.http.wait()
        now = time.monotonic()
        if now - self._slots_kept_at >= _KEEP_SLOTS_S:
            self._slots_kept_at = now
            self._plan.budget.keep_slots()

    def _rest(self, window: Window, wait: BudgetWait | None) -> bool:
        """Nothing is under way, and nothing may be sent now."""
        if wait is not None and wait.wait_s > PATIENCE_S:
            return self._end.wait_for_budget(wait, self._tries)
        now = time.monotonic()
        due_at = [self._resume_at, now + wait.wait_s if wait else 0.0]
        if not window.is_any_ready and window.next_look_at is not None:
            due_at.append(window.next_look_at)
        left_s = max(max(due_at) - now, 0.0)
        if left_s <= PATIENCE_S:
            self._lease.wait(left_s)
            return True
        return self._look_later(window, left_s)

    def _look_later(self, window: Window, left_s: float) -> bool:
        """A leg that sends a row again and hears nothing of it is a try, or a row would be sent for ever."""
        is_try = window.is_unanswered and self._tries <= self._claim.try_count
        tries = self._tries + is_try
        if tries >= self._ctx.settings.retry_tries:
            text = f"The vendor gives no answer that tells what became of a row ({tries} tries without progress)"
            return self._end.finish(JobStatus.ABORTED, StopReason.VENDOR_ERROR, text)
        self.commit()
        if self._lease.is_cancelled:
            return True
        reason = "Rows whose outcome is unknown are looked up once the vendor must have settled"
        return self._end.hand_back(HandBack(left_s, tries, wait_reason=reason))

    # Telling ----------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Hear the answers that are under way, and tell of them; what does not come in time stays in doubt."""
        window = self._window
        if window is None:
            return
        until = None
        while True:
            self._show_life(window)
            self._take_in(window)
            self._tell_and_send(window)
            if window.is_idle and not window.is_step_due:
                break
            if until is None and self._lease.is_stopping:
                until = time.monotonic() + min(_LAST_ANSWERS_S, self._ctx.settings.cancel_grace_s / 2)
            if until is not None and time.monotonic() >= until:
                window.abandon()
                break
            if not window.is_idle:
                self._wait_for_answers()
        is_done = window.is_done and not self.committed.exhausted
        if is_done or window.is_step_due or window.look_up_count:  # a hand-back tells of no look-ups, only of calls
            self._commit_step(window)

    def _commit_step(self, window: Window) -> None:
        step, claim, lease_s = window.step(), self._claim, self._ctx.settings.lease_s
        began_at = time.monotonic()
        self._lease.advance(
            lambda conn, number: upload_rows.advance(conn, claim.slice_id, claim.number, number, step, lease_s=lease_s)
        )
        window.committed(step, time.monotonic() - began_at)
        self.committed = step.position

    # What a failed call leads to --------------------------------------------------------------------------------------

    def _answer_trouble(self, verdict: Verdict) -> bool | None:
        """None where the leg simply goes on, perhaps later."""
        self._trouble = None
        log.info("vendor.failed", error_class=verdict.error_class, detail=verdict.message)
        if verdict.action is Action.REFRESH_AUTH and not self._is_refreshed:
            return self._refresh()
        if verdict.action in {Action.RETRY, Action.WAIT}:
            return self._try_again(verdict)
        return self._end.finish(JobStatus.ABORTED, StopReason.VENDOR_ERROR, verdict.message)

    def _refresh(self) -> bool | None:
        """Somebody may have renewed the instance's credentials while this leg ran."""
        self._is_refreshed = True
        try:
            self._lease.persist(lambda conn: self._plan.reload_credentials(self._ctx, conn))
            if self._window is not None:
                self._window.renewed()
        except InstanceGoneError as error:
            return self._end.finish(JobStatus.ABORTED, StopReason.INSTANCE_GONE, error.message)
        return None

    def _try_again(self, verdict: Verdict) -> bool | None:
        self._tries += 1
        decision = self._end.decide(self._tries, verdict.retry_after_s)
        if isinstance(decision, GiveUp):
            text = f"{verdict.message} ({decision.tries} tries without progress)"
            return self._end.finish(JobStatus.ABORTED, StopReason.VENDOR_ERROR, text)
        if decision.is_short:
            self._resume_at = time.monotonic() + decision.wait_s
            return None
        self.commit()
        if self._lease.is_cancelled:
            return None
        text = verdict.message
        return self._end.hand_back(
            HandBack(decision.wait_s, self._tries, wait_reason=f"Vendor: {text}", last_error=text)
        )
