"""Dates of a job's criteria as the vendor is asked for them, and the windows that a job is cut into."""

from __future__ import annotations

from datetime import datetime

from app.connectors.date_filters import date_params, unit_ns
from app.connectors.model import DateFilter, ListSpec
from app.domain.criteria import DownloadCriteria
from app.domain.instants import NS_A_SECOND
from app.domain.selection import Selection, Window
from app.domain.slicing import SliceSelection, Span, cut, slice_window
from app.services.selecting import selection_of, window_asked


def spans_of(listed: ListSpec, criteria: DownloadCriteria, *, most: int, now: datetime) -> tuple[Span, ...]:
    """The windows to fetch side by side; empty where the job is fetched as one.

    That is any job whose limits count over all its records, and one whose range is not over yet: a record that changes
    meanwhile may move into a window that was read before. Nor is a job with children cut: look-ups are most of its
    calls, are made side by side anyway, and are remembered by each leg for itself alone. Raises InvalidInputError that
    names the criterion.
    """
    window = window_asked(criteria)
    asked = _filter_of(listed, criteria, window)
    if window is None or asked is None or window.start_ns is None or window.end_ns is None:
        return ()
    if criteria.continue_from_job_id is not None:
        return ()
    if criteria.limit is not None or criteria.api_limit is not None or window.end_ns >= _ns(now):
        return ()
    if criteria.child is not None:
        return ()
    return cut(
        Span(window.start_ns, window.end_ns + 1),
        most=min(most, asked.most_slices),
        shortest_ns=max(1, round(asked.shortest_s * NS_A_SECOND)),
        grain_ns=unit_ns(asked),
    )


def query_of(listed: ListSpec, criteria: DownloadCriteria, span: Span | None = None) -> dict[str, str]:
    """Extra query parameters of a job's list calls: the user's own, and its range where the vendor filters by it."""
    window = window_asked(criteria)
    asked = _filter_of(listed, criteria, window)
    if window is None or asked is None:
        return criteria.query
    part = window if span is None else slice_window(window, span)
    return date_params(asked, part.start_ns, part.end_ns) | criteria.query


def asked_of_vendor(listed: ListSpec, criteria: DownloadCriteria) -> tuple[str, ...]:
    """Names of the criteria that the vendor is asked to apply as well."""
    window = window_asked(criteria)
    asked = _filter_of(listed, criteria, window)
    if window is None or asked is None:
        return ()
    sent = {
        "from": date_params(asked, window.start_ns, None),
        "to": date_params(asked, None, window.end_ns),
    }
    return tuple(name for name, params in sent.items() if params)


def slice_selection(criteria: DownloadCriteria, span: Span | None) -> Selection | SliceSelection | None:
    """What is done to the records of a slice; None where they stay as they are. Raises InvalidInputError."""
    window = window_asked(criteria)
    if span is None or window is None:
        return selection_of(criteria)
    own = selection_of(criteria, slice_window(window, span))
    assert own is not None  # it has a window
    return SliceSelection(window, span, own)


def _filter_of(listed: ListSpec, criteria: DownloadCriteria, window: Window | None) -> DateFilter | None:
    """None too where the user sets one of its parameters: then that is what was asked for."""
    found = None if window is None else listed.date_filter(window.field)
    return None if found is None or found.params & criteria.query.keys() else found


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS_A_SECOND
