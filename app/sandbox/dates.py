"""Filtering by date: which records a request for a range of createdAt or updatedAt sees.

The two fields are asked for in two ways, as vendors do: ``created_from`` and ``created_to`` are both included,
``updated_to`` is not. Values are written as the vendor writes its own dates (habit ``dates``), in UTC, to the second.
Both dates rise with the record's number.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from typing import Final

from app.sandbox.kinds import QuestionError
from app.sandbox.records import created_s, date_s, updated_s, written_date
from app.sandbox.selection import Selection, within

_Bisect = Callable[..., int]
_EXAMPLE_S: Final = 1_706_689_800  # 2024-01-31T08:30:00Z
_LOW: Final[Mapping[str, Callable[[int], int]]] = {"created_from": created_s, "updated_from": updated_s}
_HIGH: Final[Mapping[str, tuple[Callable[[int], int], _Bisect]]] = {
    "created_to": (created_s, bisect_right),
    "updated_to": (updated_s, bisect_left),
}


def in_range(selection: Selection, query: Mapping[str, str], count: int, form: str) -> Selection:
    """What of the selection lies in the range that is asked for, out of ``count`` records. Raises QuestionError.

    ``form``: how dates are written.
    """
    if not query.keys() & {*_LOW, *_HIGH}:
        return selection
    numbers = range(1, count + 1)
    lows = [bisect_left(numbers, _second(name, query, form), key=_LOW[name]) for name in _LOW if name in query]
    highs = [
        side(numbers, _second(name, query, form), key=date) for name, (date, side) in _HIGH.items() if name in query
    ]
    return within(selection, first=max(lows, default=0) + 1, last=min(highs, default=count))


def _second(name: str, query: Mapping[str, str], form: str) -> float:
    try:
        return date_s(form, query[name])
    except ValueError:
        accepted = f"accepted: as {written_date(form, _EXAMPLE_S)}"
        raise QuestionError(400, "bad_parameter", f"{name}: {query[name]!r} is no date; {accepted}") from None
