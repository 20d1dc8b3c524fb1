"""One leg of a download: claim a slice, fetch pages from its position, checkpoint, and hand it on.

Any crash, at any line, loses at most what was fetched since the last checkpoint, and doubles nothing (design 2.2).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

import structlog

from app.connectors.classify import Verdict
from app.connectors.client import Failed, GotPage
from app.connectors.model import Action, ErrorClass
from app.db import jobs, segments
from app.db.slices import Claim, HandBack, Position
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.domain.retry import GiveUp
from app.errors import (
    ConfigError,
    DatabaseUnavailableError,
    LostClaimError,
)
from app.http_client import Interrupted
from app.services.calls import CallBudget
from app.services.checkpoints import Checkpoints
from app.services.context import Context
from app.services.fetching import Fetching
from app.services.finish import BY_THE_USER, abort_run
from app.services.lease import Lease, claim_slice
from app.services.leg_end import LegEnd
from app.services.nesting import Nesting
from app.services.output import Output
from app.services.plan import InstanceGoneError, Plan, load_plan
from app.services.upload import UploadLeg
from app.services.upload_plan import load_upload
from app.services.vendor_budget import BudgetWait

log = structlog.get_logger()

_QUICK_S = 0.01
"""A vendor that takes longer leaves time to wait for the store, and may take so long that waiting is the safer way."""


def run_leg(ctx: Context, slice_id: int, *, worker_id: int | None, is_stopping: Callable[[], bool]) -> None:
    """Work on a slice for one leg. Quietly does nothing when the hint was late or doubled.

    Never raises for what vendors, stores or databases do: those end in the rows. A PostgreSQL that stays away ends
    the leg; the lease runs out and somebody goes on from the last checkpoint.
    """
    try:
        claim, claimed_at = claim_slice(
            ctx.db, slice_id, worker_id=worker_id, lease_s=ctx.settings.lease_s, is_stopping=is_stopping
        )
    except DatabaseUnavailableError as error:
        log.warning("leg.not_claimed", slice=slice_id, reason=error.message)
        return
    if claim is None:
        return
    lease = Lease(ctx.db, claim, claimed_at=claimed_at, lease_s=ctx.settings.lease_s, is_stopping=is_stopping)
    with structlog.contextvars.bound_contextvars(job=claim.job_id, run=claim.run_number, claim=claim.number):
        _work(ctx, claim, lease)


def _work(ctx: Context, claim: Claim, lease: Lease) -> None:
    try:
        if claim.crash_count >= ctx.settings.crash_tries:
            abort_run(ctx, claim, StopReason.CRASHES, _crash_text(claim))
            return
        leg: Leg | UploadLeg
        if claim.direction == "UPLOAD":
            leg = UploadLeg(ctx, claim, lease, lease.persist(lambda conn: load_upload(ctx, conn, claim)))
        else:
            leg = Leg(ctx, claim, lease, lease.persist(lambda conn: load_plan(ctx, conn, claim, lease)))
    except InstanceGoneError as error:
        abort_run(ctx, claim, StopReason.INSTANCE_GONE, error.message)
    except ConfigError as error:
        abort_run(ctx, claim, StopReason.CONFIG, error.message)
    except (DatabaseUnavailableError, LostClaimError) as error:
        log.warning("leg.given_up", reason=error.message)
    else:
        leg.run()


def _crash_text(claim: Claim) -> str:
    return (
        f"Workers died {claim.crash_count} times in a row at the same position (after {claim.sequence} segments), "
        "so the job was stopped: the page there may be too much for a worker. What was committed stays readable and "
        "the job can be restarted."
    )


def _text_of(failed: Failed) -> str:
    """What went wrong, in our words and the vendor's."""
    return f"{failed.verdict.message} {failed.detail}".strip()


class Leg:
    """The loop over pages. One thread, one slice."""

    def __init__(self, ctx: Context, claim: Claim, lease: Lease, plan: Plan) -> None:
        """Raises DatabaseUnavailableError."""
        settings = ctx.settings
        self._ctx = ctx
        self._claim = claim
        self._plan = plan
        self._lease = lease
        self._calls = CallBudget(self._lease, claim, plan.run)
        self._fetching = Fetching(
            plan, self._lease, self._calls, most_calls=settings.calls_ahead if settings.checkpoint_s else 1
        )
        self._output = Output(ctx.store, claim, encoding=settings.segment_encoding, columns=self._known_columns())
        self._checkpoints = Checkpoints(
            ctx.db,
            claim,
            lease,
            self._output,
            self._calls,
            plan.overlap,
            every_s=settings.checkpoint_s,
            lease_s=settings.lease_s,
        )
        self._end = LegEnd(ctx, claim, lease, self._calls, self._checkpoints, let_go=self._fetching.abandon)
        self._records_left = plan.run.records_left
        self._tries = claim.try_count
        self._is_refreshed = False
        """The credentials were read anew since the vendor last accepted them."""
        self._goes_ahead = settings.checkpoint_s > 0
        """The next page is on its way while one is packed; where every page must count before the next, it is not."""
        self._began_at = time.monotonic()

    def _known_columns(self) -> list[str] | None:
        # Whoever reads a query job chooses the format: only the first one who wants CSV needs columns (design 4).
        if self._plan.job.file_format is not FileFormat.CSV or self._plan.job.engine == "V2":
            return None
        return self._lease.persist(lambda conn: segments.find_columns(conn, self._claim.job_id))

    def run(self) -> None:
        """Fetch until something ends the leg, and leave the slice in a state from which anybody can go on."""
        try:
            if self._end.carry(self):  # an object whose write failed may be there all the same
                with self._ctx.db.connection() as conn:
                    jobs.schedule_orphan_sweep(conn, self._claim.job_id, in_s=self._ctx.settings.lease_s)
        except LostClaimError as error:
            log.info("leg.lost_claim", reason=error.message)
            self.drop()
        except DatabaseUnavailableError as error:
            log.warning("leg.given_up", reason=error.message)
        finally:
            self._fetching.abandon()
            self._output.close()

    @property
    def is_any_committed(self) -> bool:
        """See LegEnd.carry; so are the other public methods."""
        return self._checkpoints.is_any_committed

    def settle(self) -> None:
        """What the store did not take cannot count."""
        self.drop()

    def drop(self) -> None:
        """Nothing since the last commit counts."""
        self._checkpoints.abandon(self._ctx.store)

    def step(self) -> bool:
        """Do the next thing; False once the slice is handed back or the run has ended."""
        position = self._checkpoints.position
        if self._lease.is_cancelled:
            return self._end.finish(*BY_THE_USER)
        if position.exhausted:
            return self._end.finish(JobStatus.COMPLETED, StopReason.EXHAUSTED, "")
        if self._records_left == 0:
            return self._end.finish(JobStatus.COMPLETED, StopReason.LIMIT, "The limit of the criteria was reached.")
        if not self._fetching.is_under_way(position):
            if self._is_leg_over():
                return self._end.pause(self._tries)
            return self._begin(position)
        return self._take_page(position)

    def _begin(self, position: Position) -> bool:
        try:
            is_begun = self._fetching.begin(position, self._records_left)
        except BudgetWait as wait:
            return self._end.wait_for_budget(wait, self._tries)
        return is_begun or self._end.api_limit_reached(self._plan.run.api_limit)

    def _is_leg_over(self) -> bool:
        lasted_s = time.monotonic() - self._began_at
        return self._lease.is_stopping or lasted_s >= min(self._lease.turn_s, self._ctx.settings.leg_s)

    def _take_page(self, position: Position) -> bool:
        try:
            result = self._fetching.result(position, self._checkpoints.keep_up)
        except Interrupted:
            self._lease.check()
            return True  # the next step sees why: cancelled, stopping or lost
        match result:
            case GotPage():
                return self._accept(result, position)
            case Failed():
                return self._failed(result, position)
            case _:
                assert_never(result)

    def _accept_nested(self, nesting: Nesting, got: GotPage, position: Position) -> bool:
        """Take in the records that have their children; only they are progress."""
        done = nesting.take_in(got, position, self._records_left, self._checkpoints, behind=self._behind)
        if done.is_any:
            self._tries, self._is_refreshed, self._records_left = 0, False, done.records_left
        if done.failed is not None:
            return self._failed(done.failed, position)
        if done.budget_wait is not None:
            return self._wait_for_look_up(done.budget_wait)
        self._lease.check()  # where a look-up was interrupted, the next step sees why
        return not done.is_out_of_calls or self._end.api_limit_reached(self._plan.run.api_limit)

    def _wait_for_look_up(self, wait: BudgetWait) -> bool:
        """The next leg asks for the page anew. Where that and a record's children took all calls, it gets no further
        than this one unless all are free again; and never, if this one had them all.
        """
        if self._checkpoints.position != self._claim.position:
            return self._end.wait_for_budget(wait, self._tries)
        whole, window = wait.until_all_is_free(), wait.window
        if window is None or self._calls.made_in_leg < window.limit.calls:
            return self._end.wait_for_budget(whole, self._tries)
        text = f"One page and the children of one record take more calls than a window allows. {wait.message}."
        verdict = Verdict(Action.WAIT, ErrorClass.RATE_LIMIT, text, retry_after_s=whole.snooze_s)
        return self._try_again(verdict, Failed(verdict, None, ""))

    def _accept(self, got: GotPage, position: Position) -> bool:
        if self._fetching.nesting is not None:
            return self._accept_nested(self._fetching.nesting, got, position)
        self._tries = 0
        self._is_refreshed = False
        # A vendor that lost records since may answer a shorter page than the one that was left half delivered.
        available = 0 if got.next.is_discarded else max(0, got.page.count - position.skip)
        if self._records_left is None:  # the whole page will be used, so the next call need not wait for the choice
            behind = self._behind(got, position, available, available)
            self._go_ahead(behind)
            selected = self._plan.select(got.page.chosen(position.skip, available), None)
        else:
            selected = self._plan.select(got.page.chosen(position.skip, available), self._records_left)
            behind = self._behind(got, position, selected.consumed, available)
            self._records_left -= len(selected.records)
            self._go_ahead(behind)
        if got.total is not None:
            self._checkpoints.vendor_total = got.total
        size_bytes = got.body_bytes * len(selected.records) // max(1, got.page.count)
        self._checkpoints.take_in(selected, size_bytes, behind, came_packed=got.came_packed, page_s=got.elapsed_s)
        if self._goes_ahead and got.elapsed_s < _QUICK_S:
            self._checkpoints.keep_up()
        else:
            self._checkpoints.commit_due()
        return True

    def _go_ahead(self, position: Position) -> None:
        """Begin the next call, where there will be one: at an apiLimit that is reached the next step ends the run."""
        if self._goes_ahead and not (position.exhausted or self._records_left == 0 or self._is_leg_over()):
            self._fetching.begin_ahead(position, self._records_left)

    @staticmethod
    def _behind(got: GotPage, position: Position, take: int, available: int) -> Position:
        """The position after `take` more records of the page: inside it, or at the next page."""
        if take < available:
            return Position(position.cursor, position.page_size, position.skip + take, exhausted=False)
        return Position(got.next.cursor, position.page_size, 0, got.next.is_exhausted)

    # What a failed call leads to -------------------------------------------------------------------------------------

    def _failed(self, failed: Failed, position: Position) -> bool:
        verdict = failed.verdict
        log.info("vendor.failed", status=failed.status, error_class=verdict.error_class, detail=failed.detail)
        action = verdict.action
        if action is Action.SHRINK_PAGE:
            if self._shrink(position, verdict):
                return True
            action = verdict.otherwise
        if action is Action.REFRESH_AUTH:
            if not self._is_refreshed:
                return self._refresh()
            action = verdict.otherwise
        if action in {Action.RETRY, Action.WAIT}:
            return self._try_again(verdict, failed)
        return self._vendor_refused(failed)

    def _refresh(self) -> bool:
        """Somebody may have renewed the instance's credentials while this leg ran."""
        self._is_refreshed = True
        self._fetching.abandon()
        try:
            self._lease.persist(lambda conn: self._plan.reload_credentials(self._ctx, conn))
        except InstanceGoneError as error:
            return self._end.finish(JobStatus.ABORTED, StopReason.INSTANCE_GONE, error.message)
        except ConfigError as error:
            return self._end.finish(JobStatus.ABORTED, StopReason.CONFIG, error.message)
        return True

    def _shrink(self, position: Position, verdict: Verdict) -> bool:
        """Go on with smaller pages at the same record. The records of the page that are delivered must fit in one."""
        smaller = self._plan.client.shrink(position.cursor, position.page_size, verdict)
        if smaller is None or smaller[1] < position.skip:
            return False
        cursor, size = smaller
        log.info("page.shrunk", page_size=size)
        self._checkpoints.position = Position(cursor, size, position.skip, exhausted=False)
        return True

    def _try_again(self, verdict: Verdict, failed: Failed) -> bool:
        self._tries += 1
        decision = self._end.decide(self._tries, verdict.retry_after_s)
        if isinstance(decision, GiveUp):
            return self._vendor_refused(failed, tries=decision.tries)
        self._checkpoints.commit()
        left_s = self._lease.wait(decision.wait_s) if decision.is_short else decision.wait_s
        if left_s == 0 or self._lease.is_cancelled:
            return True
        text = _text_of(failed)
        return self._end.hand_back(HandBack(left_s, self._tries, wait_reason=f"Vendor: {text}", last_error=text))

    def _vendor_refused(self, failed: Failed, *, tries: int = 0) -> bool:
        after = f" ({tries} tries without progress)" if tries else ""
        return self._end.finish(JobStatus.ABORTED, StopReason.VENDOR_ERROR, f"{_text_of(failed)}{after}")
