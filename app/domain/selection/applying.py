"""A job's criteria on records: which ones are kept, and what of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from app.domain.ocnql import Condition, compile_condition, fields_of
from app.domain.selection.choosing import Choosing
from app.domain.selection.judging import Judge, Record
from app.domain.selection.nulls import Nulls
from app.domain.selection.window import Window

__all__ = ["Record", "Selected", "Selection"]


class Selected(msgspec.Struct, frozen=True):
    """What came out. `consumed` records went in, of which `filtered` lie outside the window or fail the condition.

    `undated` ones have no readable date where a window needs one; they are left out too and are no part of `filtered`.
    `repeated` ones were delivered before, `deleted` ones say of themselves that they are.
    """

    records: Sequence[Record]
    consumed: int
    filtered: int = 0
    undated: int = 0
    repeated: int = 0
    deleted: int = 0


class Selection:
    """Criteria of one job. Learns how its records are laid out, so it is made once a leg, for one thread.

    `fields`: dotted names in the order in which they are written, none for all fields as they came. `drop_nulls`:
    fields that are null go, at every depth.
    """

    def __init__(
        self,
        fields: Iterable[str] = (),
        *,
        drop_nulls: bool = False,
        window: Window | None = None,
        condition: Condition | None = None,
    ) -> None:
        names = tuple(fields)
        self._judge = _judge(window, condition)
        self._choosing = Choosing(names) if names else None
        self._nulls = Nulls() if drop_nulls else None

    @property
    def changes_nothing(self) -> bool:
        """True where every record stays as it is."""
        return self._judge is None and self._choosing is None and self._nulls is None

    def apply(self, records: Sequence[Record], room: int | None = None) -> Selected:
        """The records that are kept, at most `room`, each with what is kept of it. Each is one JSON text on one line.

        A record that is no object, or no JSON, has no fields: a window leaves it out as undated, a condition sees an
        empty record, and what passes them stays as it is.
        """
        chosen = self.choose(records, room)
        return Selected(self.cut(chosen.records), chosen.consumed, chosen.filtered, chosen.undated)

    def choose(self, records: Sequence[Record], room: int | None = None) -> Selected:
        """The records that `apply` would keep, as they came."""
        most = len(records) if room is None else room
        if self._judge is None:
            kept: Sequence[Record] = records if most >= len(records) else records[:most]
            consumed, undated = len(kept), 0
        else:
            kept, consumed, undated = self._judge.kept(records, most)
        return Selected(kept, consumed, consumed - len(kept) - undated, undated)

    def cut(self, records: Sequence[Record]) -> Sequence[Record]:
        """Of each record what `apply` would keep."""
        if self._choosing is not None:
            records = self._choosing.cut(records)
        return records if self._nulls is None else self._nulls.cut(records)


def _judge(window: Window | None, condition: Condition | None) -> Judge | None:
    if window is None and condition is None:
        return None
    if condition is None:
        return Judge(window, None, ())
    return Judge(window, compile_condition(condition), fields_of(condition))
