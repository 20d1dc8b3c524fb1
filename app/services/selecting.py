"""From the criteria of a job to what is done to its records."""

from __future__ import annotations

from dataclasses import replace

from app.domain.criteria import DownloadCriteria
from app.domain.ocnql import Condition, OcnqlError, fields_of, parse_condition
from app.domain.selection import InvalidWindowError, Selection, Window, window_of
from app.errors import InvalidInputError

_MOST_LEVELS = 100


def window_asked(criteria: DownloadCriteria) -> Window | None:
    """The range of dates; None without one. Raises InvalidInputError that names the criterion."""
    try:
        return window_of(criteria.filter_date_field, criteria.date_from, criteria.date_to)
    except InvalidWindowError as error:
        raise InvalidInputError(error.message, field=f"/{error.field}") from None


def selection_of(criteria: DownloadCriteria, window: Window | None = None) -> Selection | None:
    """None where records stay as they are. `window`: in the place of that of the criteria.

    Raises InvalidInputError that names the criterion.
    """
    _check_depth(criteria.select_fields)
    window = window or window_asked(criteria)
    condition = condition_of(criteria)
    selection = Selection(criteria.select_fields, drop_nulls=criteria.filter_nulls, window=window, condition=condition)
    return None if selection.changes_nothing else selection


def _check_depth(names: tuple[str, ...]) -> None:
    """A name stands for a path and for every way to join its parts, so that deep ones cost much."""
    for name in names:
        if name.count(".") >= _MOST_LEVELS:
            raise InvalidInputError(
                f"selectFields names {name[:80]!r}..., which has {name.count('.') + 1} levels; accepted: at most"
                f" {_MOST_LEVELS}.",
                field="/selectFields",
            )


def without_cutting(criteria: DownloadCriteria) -> DownloadCriteria:
    """Only what chooses records: done before they get their children, so that none is asked for in vain."""
    return replace(criteria, select_fields=(), filter_nulls=False)


def without_choice(criteria: DownloadCriteria) -> DownloadCriteria:
    """Only what chooses fields: done when records have their children."""
    return replace(criteria, date_from=None, date_to=None, filter_date_field=None, where=None)


def needed_fields(criteria: DownloadCriteria) -> tuple[str, ...]:
    """Dotted names of all that a job reads of its records; none where it needs them whole, as with `child`."""
    if not criteria.select_fields or criteria.child is not None:
        return ()
    dated = (criteria.filter_date_field,) if criteria.filter_date_field else ()
    condition = condition_of(criteria)
    judged = () if condition is None else sorted(fields_of(condition))
    return (*criteria.select_fields, *dated, *judged)


def condition_of(criteria: DownloadCriteria) -> Condition | None:
    """What `where` says; None without it. Raises InvalidInputError that names the position."""
    if criteria.where is None:
        return None
    try:
        return parse_condition(criteria.where)
    except OcnqlError as error:
        raise InvalidInputError(f"where: {error.message}", field="/where") from error
