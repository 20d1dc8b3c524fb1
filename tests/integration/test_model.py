"""The engine's statements against a small model of them, in sequences that Hypothesis makes up.

Workers claim, renew, write, commit, doubt, hand back and end; leases expire; users cancel and restart; the sweeper
sweeps. A hand that has lost its claim keeps its knowledge and strikes again whenever it likes. After every step the
rows must say what the model says.

`HAULAGE_MODEL_SEQUENCES=2000` makes so many sequences (default: what takes less than half a minute).
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.db import checkpoints, jobs, plans, slices
from app.db.checkpoints import Progress
from app.db.pool import Connection
from app.db.slices import HandBack, Position, Standing
from app.domain.jobs import JobStatus, StopReason
from app.domain.segments import Segment, segment_key
from app.errors import ConflictError, LostClaimError
from app.services import control, retention
from app.services.finish import finish_run
from app.services.sweep import sweep
from tests.fakes.engine import Engine
from tests.fakes.engine_model import Hand, ModelJob
from tests.fakes.memory_store import MemoryStore

SEQUENCES = int(os.environ.get("HAULAGE_MODEL_SEQUENCES", "200"))
STEPS = 40
PENDING = JobStatus.CANCELLATION_PENDING

_STATE = """
select jobs.status, jobs.run_number, jobs.revision, jobs.record_count as records, jobs.call_count as calls,
  jobs.calls_written_off as written_off, jobs.has_more, s.claim, s.checkpoint, s.sequence, s.crash_count, s.exhausted,
  coalesce((s.cursor->>'n')::int, 0) as position,
  case when s.lease_expires_at is null then 'none' when s.lease_expires_at > now() then 'live' else 'expired' end
    as lease,
  s.next_run_at is null as is_over, coalesce(s.next_run_at <= now(), false) as is_due, s.calls_held as held,
  runs.calls_reserved as reserved,
  (select count(*) from deliveries d where d.job_id = jobs.id) as callbacks,
  (select coalesce(jsonb_agg(jsonb_build_array(g.run_number, g.sequence, g.record_count)
    order by g.run_number, g.sequence), '[]') from segments g where g.job_id = jobs.id) as segments
from jobs join slices s on s.job_id = jobs.id and s.run_number = jobs.run_number
  join runs on runs.job_id = jobs.id and runs.number = jobs.run_number
where jobs.id = %s
"""


class EngineMachine(RuleBasedStateMachine):
    """Every rule does one thing to the rows and to the model."""

    models = Bundle("models")
    hands = Bundle("hands")

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.store = MemoryStore()
        self.ctx = replace(engine.ctx, db=engine.plain_db, store=self.store)
        self.jobs: list[ModelJob] = []
        self.all_hands: list[Hand] = []
        self.nonce = 0

    def teardown(self) -> None:
        self.engine.execute("delete from jobs")

    # Users -----------------------------------------------------------------------------------------------------------

    @initialize(target=models, api_limits=st.lists(st.none() | st.integers(1, 12), min_size=1, max_size=2))
    def submit(self, api_limits: list[int | None]) -> object:
        for api_limit in api_limits:
            job_id = self.engine.submit(api_limit=api_limit, notification_url="http://127.0.0.1:9/callback")
            self.jobs.append(ModelJob(job_id, self.engine.slice_of(job_id), api_limit))
        return multiple(*self.jobs)

    @rule(model=models)
    def cancel(self, model: ModelJob) -> None:
        if model.status in {JobStatus.COMPLETED, JobStatus.ABORTED}:
            with pytest.raises(ConflictError):
                control.cancel(self.ctx, self.engine.tenant.caller, model.id)
            return
        if not model.status.is_terminal and model.status is not PENDING:
            if model.lease == "live":
                model.status = PENDING
            else:
                model.end(JobStatus.CANCELLED)
        assert control.cancel(self.ctx, self.engine.tenant.caller, model.id).status is model.status

    @rule(model=models)
    def restart(self, model: ModelJob) -> None:
        if not model.can_restart():
            with pytest.raises(ConflictError):
                control.restart(self.ctx, self.engine.tenant.caller, model.id)
            return
        control.restart(self.ctx, self.engine.tenant.caller, model.id)
        model.restart(self.engine.slice_of(model.id))

    # Time ------------------------------------------------------------------------------------------------------------

    @rule(model=models)
    def let_the_lease_expire(self, model: ModelJob) -> None:
        self.engine.lose_holder(model.id)
        if model.lease == "live":
            model.lease = "expired"

    @rule(model=models)
    def let_the_wait_end(self, model: ModelJob) -> None:
        self.engine.make_due(model.id)
        model.is_due = True

    # Workers ---------------------------------------------------------------------------------------------------------

    @rule(target=hands, model=models, is_at_work=st.booleans())
    def claim(self, model: ModelJob, is_at_work: bool) -> object:
        with self.engine.plain_db.connection() as conn:
            claim = slices.claim(conn, model.slice_id, worker_id=None, lease_s=600)
            run = plans.find(conn, model.id, model.run).run
        assert (claim is not None) == model.can_claim()
        if claim is None:
            return multiple()
        model.take()
        assert (claim.number, claim.checkpoint, claim.sequence) == (model.claim, model.checkpoint, model.sequence)
        assert (claim.crash_count, claim.job_status) == (model.crash_count, model.status)
        hand = Hand(claim, claim.checkpoint, claim.sequence, model.record_count, run.calls_left)
        self.all_hands.append(hand)
        if is_at_work:
            self.make_progress(model, 1, False)
        return hand

    @rule(hand=hands)
    def renew(self, hand: Hand) -> None:
        model = self.model_of(hand)
        with self.engine.plain_db.connection() as conn:
            standing = slices.renew(conn, hand.claim.slice_id, hand.claim.number, lease_s=600)
        assert (standing is not None) == model.is_held_by(hand)
        if standing is not None:
            model.lease = "live"
            assert standing.is_cancelled == (model.status is PENDING)

    @rule(hand=hands, wanted=st.integers(1, 4), is_doubtful=st.booleans())
    def reserve(self, hand: Hand, wanted: int, is_doubtful: bool) -> None:
        """Ahead of the calls; a reply that is lost makes the holder ask again."""
        model = self.model_of(hand)
        if hand.left is None:
            return
        wanted = min(wanted, hand.left)

        def send(conn: Connection) -> bool:
            return checkpoints.reserve_calls(
                conn, hand.claim.slice_id, hand.claim.number, hand.checkpoint, made=hand.made, wanted=wanted
            )

        kept = self.send(send, is_doubtful=is_doubtful)
        assert kept == self.counts(hand)
        if kept:
            model.report(hand.made, wanted)
            model.checkpoint += 1
            self.heard(hand, wanted)

    @rule(hand=hands)
    def reserve_beyond_the_limit(self, hand: Hand) -> None:
        """A holder that miscounts is refused by the table itself."""
        if not self.counts(hand) or hand.left is None:
            return
        with pytest.raises(psycopg.errors.CheckViolation), self.engine.plain_db.connection() as conn:
            checkpoints.reserve_calls(
                conn, hand.claim.slice_id, hand.claim.number, hand.checkpoint, made=0, wanted=hand.left + 1
            )

    @rule(hand=hands)
    def call(self, hand: Hand) -> None:
        """The vendor is called, by a zombie too: it cannot know."""
        if hand.left is not None:
            if hand.held == 0:
                return
            hand.held -= 1
        hand.made += 1
        model = self.model_of(hand)
        if hand.claim.run_number == model.run:
            model.vendor_calls += 1

    @rule(hand=hands)
    def write(self, hand: Hand) -> None:
        """An object is stored; it does not count yet, and perhaps never will."""
        self.nonce += 1
        claim = hand.claim
        key = segment_key(claim.job_id, claim.run_number, 1, hand.unfinished, claim.number, f"{self.nonce:x}")
        self.store.put(key, [b"{}\n"])
        hand.written.append(key)

    @rule(model=models, objects=st.integers(1, 2), exhausted=st.booleans())
    def make_progress(self, model: ModelJob, objects: int, exhausted: bool) -> None:
        """What most legs do: rules on single hands alone would seldom meet one that counts."""
        for hand in [hand for hand in self.all_hands if self.counts(hand) and hand.claim.job_id == model.id]:
            self.call(hand)
            for _ in range(objects):
                self.write(hand)
            self.commit(hand, 1, exhausted, False)

    @rule(hand=hands, records=st.integers(0, 3), exhausted=st.booleans(), is_doubtful=st.booleans())
    def commit(self, hand: Hand, records: int, exhausted: bool, is_doubtful: bool) -> None:
        """Everything written, in one checkpoint; a reply that is lost makes the holder send it again."""
        model = self.model_of(hand)
        counts = [records + 1] * len(hand.written)
        position = Position({"n": hand.record_count + sum(counts)}, 10, 0, exhausted)
        rows = [Segment(key, "plain", n, 3, 3, 0, ()) for key, n in zip(hand.written, counts, strict=True)]
        wanted = 0 if hand.left is None else min(1, hand.left)
        progress = Progress(position, rows, sum(counts), 1, 3 * len(rows), hand.made, wanted, None)

        def send(conn: Connection) -> Standing | None:
            return checkpoints.advance(
                conn,
                hand.claim.slice_id,
                hand.claim.number,
                hand.checkpoint,
                progress,
                sequence=hand.sequence,
                lease_s=600,
            )

        kept = self.send(send, is_doubtful=is_doubtful)
        assert bool(kept) == self.counts(hand)
        if kept:
            model.advance(counts, hand.written, exhausted=exhausted)
            model.report(hand.made, wanted)
            hand.sequence += len(counts)
            hand.record_count += sum(counts)
            hand.written = []
            self.heard(hand, wanted)

    @rule(hand=hands, waits=st.booleans(), is_doubtful=st.booleans())
    def hand_back(self, hand: Hand, waits: bool, is_doubtful: bool) -> None:
        model = self.model_of(hand)
        back = HandBack(600.0 if waits else 0.0, 0, calls_made=hand.made, calls_unused=hand.held)
        with self.engine.plain_db.connection() as conn:
            kept = slices.hand_back(conn, hand.claim.slice_id, hand.claim.number, back)
            assert kept == model.is_held_by(hand)
            if is_doubtful:
                assert not slices.hand_back(conn, hand.claim.slice_id, hand.claim.number, back)
        if kept:
            model.settle(hand.made, hand.held)
            model.hand_back(is_due=not waits)
        hand.let_go()

    @rule(hand=hands, status=st.sampled_from([JobStatus.COMPLETED, JobStatus.ABORTED]), is_doubtful=st.booleans())
    def finish(self, hand: Hand, status: JobStatus, is_doubtful: bool) -> None:
        model = self.model_of(hand)
        if model.is_held_by(hand):
            self.end_as_a_leg_does(hand, status)
            model.settle(hand.made, hand.held)
            model.end(status)
        if is_doubtful or not model.is_held_by(hand):
            with pytest.raises(LostClaimError):
                self.end_as_a_leg_does(hand, status)
        hand.let_go()

    # Sweepers --------------------------------------------------------------------------------------------------------

    @rule()
    def sweep(self) -> None:
        self.engine.execute("update slices set nudged_at = null")
        self.engine.hints.take()
        pending = [model for model in self.jobs if model.status is PENDING]
        assert sweep(self.ctx).ended == len(pending)
        for model in pending:
            model.end(JobStatus.CANCELLED)
        hinted = {row_id for task, row_id in self.engine.hints.take() if task.value == "download.leg"}
        assert hinted == {model.slice_id for model in self.jobs if model.can_claim()}

    @rule()
    @precondition(lambda self: len(self.store.objects) > 0)
    def sweep_orphans(self) -> None:
        """What counts stays, what a holder may yet commit stays, all else goes."""
        self.engine.execute("update jobs set sweep_orphans_at = now()")
        retention.sweep_orphans(self.ctx)
        committable = {key for hand in self.all_hands if self.model_of(hand).is_held_by(hand) for key in hand.written}
        committed = {key for model in self.jobs for key in model.keys}
        assert set(self.store.objects) == committed | committable

    # What always holds -----------------------------------------------------------------------------------------------

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        for model in self.jobs:
            assert self.engine.one(_STATE, model.id) == model.rows()

    @invariant()
    def committed_objects_are_there(self) -> None:
        for model in self.jobs:
            assert model.keys <= set(self.store.objects)

    @invariant()
    def the_vendor_saw_no_more_calls_than_allowed(self) -> None:
        for model in self.jobs:
            if model.api_limit is not None:
                assert model.vendor_calls <= model.api_limit
                assert model.reserved <= model.api_limit

    # Help ------------------------------------------------------------------------------------------------------------

    def model_of(self, hand: Hand) -> ModelJob:
        return next(model for model in self.jobs if model.id == hand.claim.job_id)

    def counts(self, hand: Hand) -> bool:
        """Whether a numbered statement of this hand is carried out."""
        model = self.model_of(hand)
        return model.is_held_by(hand) and hand.checkpoint == model.checkpoint

    @staticmethod
    def heard(hand: Hand, wanted: int) -> None:
        """The holder knows that its numbered statement stands."""
        hand.checkpoint += 1
        hand.made = 0
        hand.held += wanted
        if hand.left is not None:
            hand.left -= wanted

    def send(self, statement: Callable[[Connection], object], *, is_doubtful: bool) -> object:
        """Once, or twice where the first reply was lost: then only a look tells what became of the first."""
        with self.engine.plain_db.connection() as conn:
            kept = statement(conn)
            if is_doubtful:
                assert not statement(conn)
            return kept or False

    def end_as_a_leg_does(self, hand: Hand, status: JobStatus) -> None:
        claim = hand.claim
        with self.engine.plain_db.transaction() as conn:
            job = jobs.get_for_worker(conn, claim.job_id, lock=True)
            if not slices.is_held_by(conn, claim.slice_id, claim.number):
                raise LostClaimError("somebody else holds it")
            slices.settle_calls(conn, claim.slice_id, made=hand.made, unused=hand.held)
            ending = JobStatus.CANCELLED if job.status is PENDING else status
            finish_run(self.ctx, conn, job.id, ending, StopReason.VENDOR_ERROR, "ended")


def test_the_engine_does_what_the_model_says(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(cancel_grace_s=0.0)
    run_state_machine_as_test(
        cast("type[RuleBasedStateMachine]", partial(EngineMachine, engine)),
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
