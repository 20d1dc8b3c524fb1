"""From the criteria of a job to what is done to its records."""

from __future__ import annotations

from app.domain.criteria import DownloadCriteria
from app.domain.selection import InvalidWindowError, Selection, window_of
from app.errors import InvalidInputError


def selection_of(criteria: DownloadCriteria) -> Selection | None:
    """None where records stay as they are. Raises InvalidInputError that names the criterion."""
    try:
        window = window_of(criteria.filter_date_field, criteria.date_from, criteria.date_to)
    except InvalidWindowError as error:
        raise InvalidInputError(error.message, field=f"/{error.field}") from None
    selection = Selection(criteria.select_fields, drop_nulls=criteria.filter_nulls, window=window)
    return None if selection.changes_nothing else selection


def needed_fields(criteria: DownloadCriteria) -> tuple[str, ...]:
    """Dotted names of all that a job reads of its records; none where it keeps them whole."""
    if not criteria.select_fields:
        return ()
    dated = (criteria.filter_date_field,) if criteria.filter_date_field else ()
    return (*criteria.select_fields, *dated)
