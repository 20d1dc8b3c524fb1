"""The rows of an upload's file: read one ahead of what is in work, and put together to what one call takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby

from app.connectors.writing import OutRow
from app.db.upload_rows import Ending, NewRow, OpenRow
from app.domain.rows import BadRow, Row
from app.domain.uploads import RowVerdict
from app.services.upload_plan import UploadPlan

_MOST_READ = 500
"""Rows of one step, at most: bad ones end as they are read, and take no call."""


class Feed:
    """For one leg, and for one thread."""

    def __init__(self, plan: UploadPlan, rows: Iterator[Row | BadRow]) -> None:
        self._plan = plan
        self._rows = rows
        self._peeked: Row | None = None
        self._fault: Exception | None = None
        self._until = 0
        self.at = plan.position
        """Behind the last row that was taken or ended as it was read."""
        self.is_at_end = False
        self.new: list[NewRow] = []
        """Those rows, for the next step."""

    def begin_step(self) -> None:
        """From here on `is_any` reads what one step may tell of, and no more."""
        self._until = self.at.row + _MOST_READ

    def is_any(self) -> bool:
        """Whether there is a good row for this step; bad ones before it end here.

        Raises what reading the file raises: rows before the fault are in `new` then.
        """
        while self._peeked is None and self.at.row < self._until:
            read = self._read()
            if read is None:
                self.is_at_end = True
                return False
            if isinstance(read, Row):
                self._peeked = read
            else:
                self._end(read)
        return self._peeked is not None

    def _read(self) -> Row | BadRow | None:
        """What broke the reading is raised each time: a generator that has raised only looks like one at its end."""
        if self._fault is None:
            try:
                return next(self._rows, None)
            except Exception as error:  # noqa: BLE001 - raised below
                self._fault = error
        raise self._fault

    def _end(self, bad: BadRow) -> None:
        ending = Ending(RowVerdict.FAILED, error_class="data", detail=bad.message[:200])
        self.new.append(NewRow(bad.number, bad.line, bad.excerpt.encode("utf-8", "replace"), ending))
        self.at = bad.behind

    def take(self) -> list[OutRow]:
        """The rows of one call: the one that `is_any` saw, and what fits behind it."""
        unit: list[OutRow] = []
        room = self._plan.client.room()
        self.begin_step()
        while len(unit) < self._plan.most_rows and self._is_another() and (row := self._peeked) is not None:
            out = out_row(self._plan, row.number, row.record, row.keyed_by)
            if not room.takes(out):
                break
            self._peeked, self.at = None, row.behind
            unit.append(out)
            self.new.append(NewRow(row.number, row.line, row.record, keyed_by=row.keyed_by))
        return unit

    def _is_another(self) -> bool:
        """As `is_any`. A fault behind rows that were taken waits until these are sent; `is_any` raises it then."""
        with suppress(Exception):
            return self.is_any()
        return False


def regrouped(plan: UploadPlan, rows: Sequence[OpenRow]) -> Iterator[list[OutRow]]:
    """Rows that an earlier leg gave back, as calls again.

    Each time that one was sent in vain halves the call that it goes out with: a refused batch that is halved for longer
    than a leg lasts would else be tried whole again by each leg, and come to no end.
    """
    for attempt_count, alike in groupby(rows, lambda each: each.attempt_count):
        most_rows = max(1, plan.most_rows >> max(0, attempt_count - 1))
        unit: list[OutRow] = []
        room = plan.client.room()
        for each in alike:
            out = out_row(plan, each.number, each.record, each.keyed_by)
            if len(unit) == most_rows or not room.takes(out):
                yield unit
                unit, room = [], plan.client.room()
                room.takes(out)
            unit.append(out)
        yield unit


def out_row(plan: UploadPlan, number: int, record: bytes, keyed_by: int | None) -> OutRow:
    """As the client sends it, with its idempotency key."""
    digest = hashlib.sha256(record).hexdigest()[:16]
    return OutRow(number, record, f"{plan.key_prefix(keyed_by)}-{number}-{digest}")
