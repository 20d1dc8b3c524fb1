"""A job's criteria on records: which ones are kept, and what of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.ocnql import Condition, compile_condition, fields_of
from app.domain.selection.by_member import cut_by_member
from app.domain.selection.cutting import Cutting
from app.domain.selection.fields import WHOLE, Fields
from app.domain.selection.judging import Judge, Record
from app.domain.selection.scanning import UnreadableError
from app.domain.selection.window import Window

_CUT_AT_ONCE = 200  # records, usually few enough to stay in the processor's cache

__all__ = ["Record", "Selected", "Selection"]


@dataclass(frozen=True)
class Selected:
    """What came out. `consumed` records went in, of which `filtered` lie outside the window or fail the condition.

    `undated` ones have no readable date where a window needs one; they are left out too and are no part of `filtered`.
    `repeated` ones were delivered before.
    """

    records: Sequence[Record]
    consumed: int
    filtered: int = 0
    undated: int = 0
    repeated: int = 0


class Selection:
    """Criteria of one job. Learns how its records are laid out, so it is made once a leg, for one thread.

    `fields`: dotted names, none for all. `drop_nulls`: fields that are null go, at every depth.
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
        self._fields = Fields(names) if names else WHOLE
        self._drops_nulls = drop_nulls
        self._judge = _judge(window, condition)
        changes = names or drop_nulls
        self._cutting = Cutting(self._fields, drops_nulls=drop_nulls, cut_one=self._cut_one) if changes else None

    @property
    def changes_nothing(self) -> bool:
        """True where every record stays as it is."""
        return self._judge is None and self._cutting is None

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
        if self._cutting is None:
            return records
        cut: list[Record] = []
        for start in range(0, len(records), _CUT_AT_ONCE):
            block = b"\n".join([*records[start : start + _CUT_AT_ONCE], b""])
            cut += self._cut_block(block, self._cutting)
        return cut

    def _cut_block(self, block: bytes, cutting: Cutting) -> list[bytes]:
        lines = block.split(b"\n")[:-1]
        if not self._fields.whole:
            return cutting.cut(lines, block)
        with_null = [number for number, line in enumerate(lines) if b"null" in line] if b"null" in block else []
        if 2 * len(with_null) > len(lines):
            return cutting.cut(lines, block)
        touched = [lines[number] for number in with_null]
        for number, line in zip(with_null, cutting.cut(touched, b"\n".join([*touched, b""])), strict=True):
            lines[number] = line
        return lines

    def _cut_one(self, record: bytes) -> bytes:
        if self._fields.whole and b"null" not in record:
            return record
        try:
            return cut_by_member(record, self._fields, drops_nulls=self._drops_nulls)
        except UnreadableError:
            return record


def _judge(window: Window | None, condition: Condition | None) -> Judge | None:
    if window is None and condition is None:
        return None
    if condition is None:
        return Judge(window, None, ())
    return Judge(window, compile_condition(condition), fields_of(condition))
