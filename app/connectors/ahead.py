"""Which pages can be asked for before those in front of them have come: where places are counted and a total is known.

What is asked for ahead is only a guess at where the next cursors will point. A page that comes is read with the cursor
that led to it, and judged like any other; a guess that no cursor led to is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.connectors.model import PageKind, PageSpec

Place = tuple[int, int]
"""Page number or offset, and the size asked for: what tells the calls of one list apart."""

_NEXT: Place = (-1, -1)


def place_of(page: PageSpec, cursor: Any, size: int) -> Place:
    """Where a cursor points; the same for all cursors of kinds whose places cannot be counted."""
    if not can_guess(page):
        return _NEXT
    state = cursor or {}
    asked = int(state.get("size", size))
    if page.kind is PageKind.PAGE:
        return int(state.get("page", _first(page))), asked
    return int(state.get("offset", _first(page))), asked


def can_guess(page: PageSpec) -> bool:
    """Whether places are counted, so that the next ones are known before a page has come."""
    return page.kind is PageKind.PAGE or page.kind is PageKind.OFFSET


def guesses(page: PageSpec, cursor: Any, size: int) -> Iterator[dict[str, Any]]:
    """Cursors of the pages behind that of `cursor`, in order, to ask by and nothing else; none without a total."""
    state = cursor or {}
    total, page_size = state.get("total"), state.get("learnt")
    if not can_guess(page) or not total or not page_size:
        return
    name = page.kind.value
    step = 1 if page.kind is PageKind.PAGE else _stride(page, state, size)
    records_a_step = page_size if page.kind is PageKind.PAGE else step
    begun = place_of(page, cursor, size)[0]
    covered = (begun - _first(page)) * (records_a_step // step) + records_a_step
    while covered < total:
        begun, covered = begun + step, covered + records_a_step
        yield {**state, name: begun}


def is_guess_sure(page: PageSpec) -> bool:
    """Whether each guess is a page that will be wanted: the total is exact, and a short page moves no place behind it.

    An offset that moves by what came is the one that a short page moves.
    """
    return page.is_total_exact and (page.kind is PageKind.PAGE or page.step == "size")


def _first(page: PageSpec) -> int:
    default = 1 if page.kind is PageKind.PAGE else 0
    return int(page.start if page.start is not None else default)


def _stride(page: PageSpec, state: dict[str, Any], size: int) -> int:
    """How far an offset moves with a full page."""
    return int(state.get("size", size)) if page.step == "size" else int(state["learnt"])
