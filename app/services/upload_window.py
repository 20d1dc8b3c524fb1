"""The rows of an upload that are in work: read, told to PostgreSQL, sent many at once, and told of again.

No row is sent before the step that says so has committed, and what came of it is told by a later step; so a crash
leaves in doubt at most the rows that were under way (design 2.2, issue 5.3).
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from app.connectors.classify import Verdict
from app.connectors.model import Action, ErrorClass
from app.connectors.writing import (
    Absent,
    Found,
    LookUpCall,
    OutRow,
    Postponed,
    Refused,
    RowOutcome,
    Unclear,
    Unknown,
    WriteCall,
    WriteClient,
    WriteResult,
    Written,
)
from app.db.upload_rows import Change, Ending, OpenRow, Step
from app.domain.rows import BadRow, Row
from app.domain.uploads import RowVerdict, UploadAction
from app.http_client import Beat, Interrupted
from app.services.upload_feed import Feed, out_row, regrouped
from app.services.upload_pace import Pace
from app.services.upload_plan import UploadPlan
from app.services.vendor_budget import BudgetWait

_MOST_BYTES = 8 * 1024 * 1024
"""Of the rows in work, so that many large ones do not fill the memory."""

_UNHEARD = "What became of the call was not known when a leg of the job ended."
"""A worker died, or let go of it: the next one cannot tell."""

_UNKNOWN_IN_A_ROW = 3
"""After so many calls whose outcome nobody knows the vendor is taken to be in trouble: one row a try is spent on it."""


@dataclass(frozen=True)
class _Doubt:
    """A row that may have been taken; `look_at`: when (monotonic) its absence would be believed."""

    row: OutRow
    look_at: float
    reason: str


@dataclass(frozen=True)
class _Sent:
    """Rows under way since `at` (monotonic), with credentials that were renewed so many times."""

    rows: list[OutRow]
    renewal: int
    at: float


class Window:
    """For one leg, and for one thread. `fill`, commit its `step`, `committed`, `send`, wait, `collect`; again."""

    def __init__(self, plan: UploadPlan, rows: Iterator[Row | BadRow], opened: Sequence[OpenRow], now: float) -> None:
        """`opened`: rows of the table without a verdict, as the holder before left them; `now`: monotonic."""
        self._plan = plan
        self._feed = Feed(plan, rows)
        self._pace = Pace(plan.most_calls)
        self.is_more_due = False
        """More could have been taken: by another step, at once."""
        self._ready: list[tuple[int, list[OutRow]]] = []
        """What goes into one call each, a heap by the first row: what was given back goes out in the file's order."""
        self._doubts: list[_Doubt] = []
        self._calls: dict[WriteCall, _Sent] = {}
        self._looks: dict[LookUpCall, _Doubt] = {}
        self._to_send: list[list[OutRow]] = []
        self._changes: dict[int, Change] = {}
        self.calls_made = self.look_up_count = 0
        """Since the last step; look-ups are calls, too."""
        self.ended_count = 0
        """Rows whose outcome is known."""
        self._unknown_in_a_row = 0
        self._is_trial = plan.is_trial
        """The vendor is in trouble; one call at a time finds out whether it still is."""
        self._bytes = 0
        self._renewal = 0
        self._doubtful: set[int] = set()
        """Rows that are sent again though an earlier call may have been taken."""
        self._absent_count: Counter[int] = Counter()
        self._take_over(opened, now)

    def _take_over(self, opened: Sequence[OpenRow], now: float) -> None:
        """What the holder before left: rows that were not sent, and rows that may have been."""
        self._bytes += sum(len(each.record) for each in opened)
        for each in opened:
            if each.is_sent:
                row = out_row(self._plan, each.number, each.record, each.keyed_by)
                self._in_doubt(row, _UNHEARD, None, now - each.doubted_s)
        for unit in regrouped(self._plan, [each for each in opened if not each.is_sent]):
            self._put_back(unit)

    @property
    def _client(self) -> WriteClient:
        return self._plan.client  # may be made anew, with other credentials

    # What is under way ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """No call is under way."""
        return not self._calls and not self._looks

    @property
    def is_empty(self) -> bool:
        """Nothing is left to do but what the file still holds."""
        return self.is_idle and not (self._ready or self._doubts or self._to_send or self.is_step_due)

    @property
    def is_read(self) -> bool:
        """The file is at its end."""
        return self._feed.is_at_end

    @property
    def is_any_ready(self) -> bool:
        """More rows could be sent, whatever becomes of those in doubt."""
        if self._doubts and self._plan.options.is_serial:
            return False
        return bool(self._ready) or not (self.is_read or self._is_full)

    @property
    def _is_full(self) -> bool:
        return self._bytes >= _MOST_BYTES or len(self._doubts) >= self._plan.most_calls * self._plan.most_rows

    @property
    def is_done(self) -> bool:
        """With the next step every row of the file has its verdict."""
        told = [*(each.ending for each in self._feed.new), *(each.ending for each in self._changes.values())]
        is_any_open = self._ready or self._doubts or self._to_send or not self.is_idle
        return self.is_read and not is_any_open and None not in told

    @property
    def is_step_due(self) -> bool:
        """There is something that PostgreSQL must hear."""
        return bool(self._feed.new or self._changes)

    @property
    def is_unanswered(self) -> bool:
        """The last of its calls came to nothing that anybody knows."""
        return self._unknown_in_a_row > 0

    @property
    def next_look_at(self) -> float | None:
        """When (monotonic) the first of the rows in doubt may be looked up; None without any."""
        return min((each.look_at for each in self._doubts), default=None)

    @property
    def _busy_count(self) -> int:
        return len(self._calls) + len(self._looks) + len(self._to_send)

    # Filling ----------------------------------------------------------------------------------------------------------

    def fill(self, now: float) -> BudgetWait | None:
        """Take what the next step may tell of; why not more, where the vendor's budget is the reason.

        Raises what reading the file raises: rows before the fault are in the window then.
        """
        self.is_more_due = False
        self._feed.begin_step()
        most_units = self._pace.most_calls
        while self._busy_count < (1 if self._is_trial else self._plan.most_calls):
            if not self._is_any_due(now):
                return None
            if len(self._to_send) >= most_units:
                self.is_more_due = True
                return None
            try:
                self._plan.budget.reserve()
                self._take(now)
            except BudgetWait as wait:
                return wait
        return None

    def _is_any_due(self, now: float) -> bool:
        if any(each.look_at <= now for each in self._doubts):
            return True
        return self.is_any_ready and (bool(self._ready) or self._feed.is_any())

    def _take(self, now: float) -> None:
        doubt = next((each for each in self._doubts if each.look_at <= now), None)
        if doubt is not None:
            look = self._client.start_look_up(doubt.row)
            self._looks[look] = doubt
            self._doubts.remove(doubt)
            self.calls_made += look.pending is not None
            self.look_up_count += look.pending is not None
        elif self._ready:
            _, unit = heapq.heappop(self._ready)
            for row in unit:
                self._changes[row.number] = Change(row.number, is_sent=True)
            self._to_send.append(unit)
        else:
            unit = self._feed.take()
            self._bytes += sum(len(row.record) for row in unit)
            self._to_send.append(unit)

    # Telling and sending ----------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """What PostgreSQL must hear next."""
        position = self._plan.at(self._feed.at, is_done=self.is_done)
        return Step(position, self._feed.new, list(self._changes.values()), self.calls_made, self.look_up_count)

    def committed(self, step: Step, took_s: float) -> None:
        """That step stands, `took_s` after it was begun."""
        self._pace.step_took(took_s)
        self._feed.new, self._changes = [], {}
        self.calls_made -= step.calls_made
        self.look_up_count -= step.look_up_count

    def send(self, check: Callable[[], None], beat: Beat, now: float) -> None:
        """Send what the step before told of. What the budget refuses after all is told of and waits.

        `check` is asked before each and right before they leave, and raises where the slice is somebody else's by now:
        one that stood still between the step and here would send what others have settled. `beat`: as in `start`.
        """
        units, self._to_send = self._to_send, []
        if units:
            with self._plan.budget.together():
                self._start(units, check, beat, now)
                check()
        self._plan.budget.release()

    def _start(self, units: list[list[OutRow]], check: Callable[[], None], beat: Beat, now: float) -> None:
        left = deque(units)
        is_put_off = False
        while left and not is_put_off:
            check()
            try:
                call = self._client.start(left[0], beat)
            except (BudgetWait, Interrupted):
                break
            self._calls[call] = _Sent(left.popleft(), self._renewal, now)
            self.calls_made += call.pending is not None
            is_put_off = call.is_put_off
        for unit in left:
            self._wait_again(unit)

    def _wait_again(self, unit: list[OutRow]) -> None:
        """Surely not taken; to be sent again."""
        for row in unit:
            if row.number not in self._doubtful:
                self._changes[row.number] = Change(row.number)
        self._put_back(unit)

    def _put_back(self, unit: list[OutRow]) -> None:
        heapq.heappush(self._ready, (unit[0].number, unit))

    # What came of it --------------------------------------------------------------------------------------------------

    def collect(self, now: float) -> Verdict | None:
        """Take in the answers that are there. Returns why nothing more should be sent for now, if one says so."""
        trouble: Verdict | None = None
        for call in [each for each in self._calls if each.is_over]:
            trouble = self._ended(call, self._calls.pop(call), now) or trouble
        for look in [each for each in self._looks if each.is_over]:
            trouble = self._looked(look, self._looks.pop(look), now) or trouble
        return trouble

    def renewed(self) -> None:
        """The credentials are other ones now: that calls under way are refused says nothing about them."""
        self._renewal += 1

    def _ended(self, call: WriteCall, sent: _Sent, now: float) -> Verdict | None:
        self._pace.call_took(now - sent.at)
        trouble = self._heard(call.result(), sent.rows, now)
        is_old = sent.renewal < self._renewal
        return None if trouble is not None and trouble.action is Action.REFRESH_AUTH and is_old else trouble

    def _heard(self, result: WriteResult, unit: list[OutRow], now: float) -> Verdict | None:
        match result:
            case Written():
                found = [self._row_ended(*each, now) for each in zip(unit, result.outcomes, strict=True)]
                return next((each for each in found if each is not None), None)
            case Refused():
                self._refused(unit, result, now)
            case Postponed():
                self._wait_again(unit)
                return result.verdict
            case Unknown():
                return [self._row_ended(row, result, now) for row in unit][-1]
            case _:
                assert_never(result)
        return None

    def _row_ended(self, row: OutRow, outcome: RowOutcome | Postponed | Unknown, now: float) -> Verdict | None:
        match outcome:
            case RowOutcome():
                self._unknown_in_a_row, self._is_trial = 0, False
                if outcome.error_class is ErrorClass.DUPLICATE and self._absent_count[row.number] == 1:
                    # It was looked for too early: what is there now may well be this row.
                    self._doubts.append(_Doubt(row, now, "The vendor reports a duplicate of a row sent before."))
                else:
                    self._end(row, outcome)
            case Postponed():
                self._wait_again([row])
                return outcome.verdict
            case Unknown():
                self._in_doubt(row, outcome.reason, outcome.http_status, now)
                self._unknown_in_a_row += 1
                if self._is_trial or self._unknown_in_a_row >= _UNKNOWN_IN_A_ROW * self._plan.most_rows:
                    self._is_trial = True
                    text = outcome.brief or outcome.reason
                    return Verdict(Action.RETRY, ErrorClass.TRANSIENT, text, outcome.retry_after_s)
            case _:
                assert_never(outcome)
        return None

    def _end(self, row: OutRow, outcome: RowOutcome) -> None:
        verdict = outcome.verdict
        is_gone = self._plan.options.action is UploadAction.DELETE and outcome.error_class is ErrorClass.NOT_FOUND
        if is_gone and row.number in self._doubtful:
            verdict = RowVerdict.DELETED  # by the call whose answer did not come
        ending = Ending(
            verdict,
            outcome.vendor_id,
            outcome.http_status,
            None if outcome.error_class is None else str(outcome.error_class),
            outcome.detail or None,
        )
        self._note_end(row, ending)

    def _note_end(self, row: OutRow, ending: Ending) -> None:
        self._changes[row.number] = Change(row.number, ending)
        self._bytes -= len(row.record)
        self.ended_count += ending.verdict is not RowVerdict.UNCERTAIN

    def _refused(self, unit: list[OutRow], result: Refused, now: float) -> None:
        """Nothing of it was taken: halves are tried until the guilty rows stand alone."""
        if len(unit) == 1:
            self._row_ended(unit[0], result.outcome, now)
            return
        middle = len(unit) // 2
        for half in (unit[:middle], unit[middle:]):
            self._wait_again(half)

    def _in_doubt(self, row: OutRow, reason: str, status: int | None, now: float) -> None:
        if self._client.is_repeatable or self._plan.options.resends_uncertain:
            self._doubtful.add(row.number)  # in the table it stays sent
            self._put_back([row])
        elif self._client.can_look_up:
            self._doubts.append(_Doubt(row, now + self._client.look_up_after_s, reason))
        else:
            self._stays_uncertain(row, reason, status)

    def _stays_uncertain(self, row: OutRow, reason: str, status: int | None) -> None:
        self._note_end(row, Ending(RowVerdict.UNCERTAIN, None, status, "uncertain", reason[:200]))

    def _looked(self, look: LookUpCall, doubt: _Doubt, now: float) -> Verdict | None:
        result = look.result()
        self._is_trial = self._is_trial and isinstance(result, Unclear)
        match result:
            case Found():
                detail = f"{doubt.reason} Found by looking it up."
                self._note_end(doubt.row, Ending(RowVerdict.CREATED, result.vendor_id, detail=detail[:200]))
            case Absent():
                self._absent_count[doubt.row.number] += 1
                self._wait_again([doubt.row])
            case Unclear() if result.verdict.action is Action.FAIL and result.verdict.error_class is ErrorClass.DATA:
                self._stays_uncertain(doubt.row, doubt.reason, None)  # of this row nobody can tell
            case Unclear():
                self._doubts.append(_Doubt(doubt.row, now, doubt.reason))
                return result.verdict
            case _:
                assert_never(result)
        return None

    def abandon(self) -> None:
        """Break off what is under way: it stays in doubt, but for calls whose connection never came about."""
        for call, sent in self._calls.items():
            if not call.abandon():
                self._wait_again(sent.rows)
                self.calls_made -= call.pending is not None
        for look in self._looks:
            look.abandon()
        self._calls.clear()
        self._looks.clear()
        self._plan.budget.release()
