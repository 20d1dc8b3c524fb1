"""Cutting a job's range of dates into windows that can be fetched side by side, and who counts which record.

Every instant of the range lies in exactly one window. A record belongs to the slice in whose window its date lies; what
comes from before the range belongs to the first slice, what comes from behind it to the last one. So each record is
delivered, or counted as left out, once, whatever the vendor sends for a window. Only a record without a date cannot be
told to belong elsewhere: it is never delivered, and counted by each slice that gets it (a vendor that filters by a date
gives it to one at most).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec import structs

from app.domain.selection import Record, Selected, Selection, Window

_LARGEST_NS = 2**63 - 1
"""What a bigint column holds: dates up to the year 2262, and back to 1677."""


@dataclass(frozen=True)
class Span:
    """From `start_ns` to before `end_ns`, nanoseconds since 1970 UTC."""

    start_ns: int
    end_ns: int


def cut(whole: Span, *, most: int, shortest_ns: int, grain_ns: int = 1) -> tuple[Span, ...]:
    """At most `most` spans about as long as each other that together are `whole`, none much shorter than `shortest_ns`.

    They meet at multiples of `grain_ns`, which the vendor can be told exactly. Empty where there would be only one.

    >>> cut(Span(0, 10), most=3, shortest_ns=1)
    (Span(start_ns=0, end_ns=3), Span(start_ns=3, end_ns=6), Span(start_ns=6, end_ns=10))
    """
    length_ns = whole.end_ns - whole.start_ns
    count = min(most, length_ns // shortest_ns)
    if count <= 1 or whole.start_ns < -_LARGEST_NS or whole.end_ns > _LARGEST_NS:
        return ()
    even = (whole.start_ns + length_ns * number // count for number in range(1, count))
    inner = sorted({at // grain_ns * grain_ns for at in even} - {whole.start_ns})
    ends = [whole.start_ns, *(at for at in inner if whole.start_ns < at < whole.end_ns), whole.end_ns]
    spans = tuple(Span(start, end) for start, end in pairwise(ends))
    return spans if len(spans) > 1 else ()


class SliceSelection:
    """A job's selection on one slice: keeps what lies in the slice's window, and counts only what belongs to it."""

    def __init__(self, window: Window, span: Span, criteria: Selection) -> None:
        """`criteria`: the job's, with the window of the slice. `window`: the whole job's."""
        self._criteria = criteria
        own = slice_window(window, span)
        is_first, is_last = own.start_ns == window.start_ns, own.end_ns == window.end_ns
        belonging = Window(own.field, None if is_first else own.start_ns, None if is_last else own.end_ns)
        self._belonging = Selection(window=belonging)

    def apply(self, records: Sequence[Record], room: int | None = None) -> Selected:
        """As Selection does; what was consumed and is neither kept nor counted belongs to another slice."""
        chosen = self.choose(records, room)
        return structs.replace(chosen, records=self.cut(chosen.records))

    def cut(self, records: Sequence[Record]) -> Sequence[Record]:
        """As Selection does."""
        return self._criteria.cut(records)

    def choose(self, records: Sequence[Record], room: int | None = None) -> Selected:
        """As `apply`, and the records are as they came."""
        selected = self._criteria.choose(records, room)
        if not selected.filtered:
            return selected
        strays = self._belonging.choose(records[: selected.consumed]).filtered
        return structs.replace(selected, filtered=selected.filtered - strays)


def slice_window(window: Window, span: Span) -> Window:
    """The part of the job's window that a slice fetches."""
    return Window(window.field, span.start_ns, span.end_ns - 1)
