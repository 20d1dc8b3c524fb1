"""What of a job's conditions its vendor is told. All of them are applied to the records afterwards all the same."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from app.connectors.model import ObjectSpec, WhereSpec
from app.connectors.pushdown import Pushed, pushed
from app.domain.criteria import DownloadCriteria, Engine
from app.domain.instants import NS_A_SECOND
from app.domain.ocnql import And, Comparison, Condition, Date, Operator, text_of
from app.domain.selection import Window, window_of
from app.services.selecting import condition_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pushed_of(
    wanted: ObjectSpec, criteria: DownloadCriteria, engine: Engine, *, asked: Collection[str] = ()
) -> dict[str, Any] | None:
    """`params` for the vendor's call and, as OCNQL, what they say (`vendor`) and what only we apply (`here`).

    None where there is nothing to push. A query job's dates are pushed, those of the newer engine are not: there
    records without a date are counted, and a vendor that filters does not show them (reference 8). `asked`: names of
    the ends of the range that the vendor is asked for in another way (`list.dates`), so that each is told once.
    """
    found = condition_of(criteria)
    parts = [] if found is None else [found]
    if engine == "V2":
        window = window_of(criteria.filter_date_field, criteria.date_from, criteria.date_to)
        parts += _ends(wanted.list.where, None if window is None else _without(window, asked))
    if not parts:
        return None
    whole = parts[0] if len(parts) == 1 else And(tuple(parts))
    told = pushed(wanted.list.where, whole, object_name=criteria.object_name)
    if told.params.keys() & criteria.query.keys():
        # The caller's own parameter wins, so that what it replaces would not be told.
        told = Pushed(rest_text=text_of(whole))
    return {"params": told.params, "vendor": told.pushed_text, "here": told.rest_text}


def _without(window: Window, asked: Collection[str]) -> Window:
    start_ns, end_ns = (None if "from" in asked else window.start_ns), (None if "to" in asked else window.end_ns)
    return Window(window.field, start_ns, end_ns)


def _ends(spec: WhereSpec | None, window: Window | None) -> list[Condition]:
    """The ends of a range as far as the vendor takes them; in whole seconds, and rather more than less."""
    declared = None if spec is None or window is None else spec.field(window.field)
    if window is None or declared is None:
        return []
    found: list[Condition] = []
    if window.start_ns is not None:
        is_open = declared.target(">=") is None
        start = _date(window.start_ns // NS_A_SECOND - is_open)
        operator = Operator.GREATER if is_open else Operator.GREATER_OR_EQUAL
        found += [] if start is None else [Comparison(window.field, operator, start)]
    if window.end_ns is not None:
        is_open = declared.target("<=") is None
        end = _date(-(-window.end_ns // NS_A_SECOND) + is_open)
        operator = Operator.LESS if is_open else Operator.LESS_OR_EQUAL
        found += [] if end is None else [Comparison(window.field, operator, end)]
    return [each for each in found if _is_declared(spec, each)]


def _is_declared(spec: WhereSpec | None, condition: Condition) -> bool:
    """A range that the vendor does not take is told as such, and is no condition."""
    return spec is not None and bool(pushed(spec, condition).pushed_text)


def _date(seconds: int) -> Date | None:
    try:
        return Date(f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()}Z")
    except OverflowError:
        return None
