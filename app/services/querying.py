"""From a call of `POST /bulk/query` to the criteria of a download."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.connectors.model import ObjectSpec
from app.domain.criteria import DownloadCriteria, split_names
from app.domain.jobs import FileFormat
from app.domain.ocnql import OcnqlError, Query, parse_query, text_of
from app.errors import InvalidInputError


@dataclass(frozen=True)
class Asked:
    """What the call said, by our names. Dates are readable and as they were written."""

    q: str | None = None
    date_from: str | None = None
    date_to: str | None = None
    filter_date_field: str | None = None
    continue_from_job_id: int | None = None
    file_format: FileFormat | None = None
    page_size: int | None = None
    file_name: str | None = None
    callback_payload: Any = None
    retention_hours: int | None = None


def criteria_of(
    asked: Asked, default_format: FileFormat, *, notification_url: str | None = None, ignored: tuple[str, ...] = ()
) -> DownloadCriteria:
    """The criteria that a query stands for. Raises InvalidInputError: `Error parsing query` with the position."""
    if asked.continue_from_job_id is not None:
        return _going_on(asked, default_format, notification_url, ignored)
    if asked.q is None:
        raise InvalidInputError(
            "Error parsing query: q is missing; accepted: a query such as `select * from contacts`, in the query"
            ' string, a form field or a JSON body {"query": "..."}.',
            field="q",
        )
    query = _parsed(asked.q)
    return DownloadCriteria(
        object_name=query.object_name,
        file_format=asked.file_format or default_format,
        page_size=asked.page_size,
        limit=query.limit,
        notification_url=notification_url,
        select_fields=_select_fields(query),
        date_from=asked.date_from,
        date_to=asked.date_to,
        filter_date_field=asked.filter_date_field,
        where=None if query.condition is None else text_of(query.condition),
        file_name=asked.file_name,
        callback_payload=asked.callback_payload,
        retention_hours=asked.retention_hours,
        q=asked.q,
        ignored=ignored,
    )


def _going_on(
    asked: Asked, default_format: FileFormat, notification_url: str | None, ignored: tuple[str, ...]
) -> DownloadCriteria:
    """The same query as the source's, from where it stopped (reference 2: q is left empty then)."""
    if asked.q is not None:
        raise InvalidInputError(
            "q is not accepted beside continueFromJobId: the query is that of the job that is gone on from.", field="q"
        )
    criteria = DownloadCriteria(
        object_name="",
        file_format=asked.file_format or default_format,
        page_size=asked.page_size,
        notification_url=notification_url,
        date_from=asked.date_from,
        date_to=asked.date_to,
        filter_date_field=asked.filter_date_field,
        file_name=asked.file_name,
        callback_payload=asked.callback_payload,
        retention_hours=asked.retention_hours,
        continue_from_job_id=asked.continue_from_job_id,
        ignored=ignored,
    )
    of_itself = {"objectName", *(() if asked.file_format else ("format",))}
    return replace(criteria, given=frozenset(criteria.echo()) - of_itself)


def _parsed(text: str) -> Query:
    try:
        query = parse_query(text)
    except OcnqlError as error:
        raise InvalidInputError(error.message, field="q") from error
    if query.order_by:
        raise InvalidInputError(
            "Error parsing query: ORDER BY is not accepted, since no connector can tell its vendor to sort and we do"
            " not hold all records at once; accepted: the query without it. Records come in the vendor's order.",
            field="q",
        )
    return query


def _select_fields(query: Query) -> tuple[str, ...]:
    """As criteria hold them: separated by commas, so that no name may have one."""
    for name in query.fields:
        if split_names(name) != (name,):
            raise InvalidInputError(
                f"Error parsing query: the selected field {name[:100]!r} holds a comma or begins or ends with a blank;"
                " accepted: other names, or `select *`.",
                field="q",
            )
    return tuple(dict.fromkeys(query.fields))


def with_date_field(wanted: ObjectSpec, criteria: DownloadCriteria) -> DownloadCriteria:
    """The criteria of a query with the date that `from` and `to` mean: of the last change, else of the creation.

    Raises InvalidInputError where the connector declares neither and the call names none.
    """
    is_dated = criteria.date_from is not None or criteria.date_to is not None
    if criteria.q is None or not is_dated or criteria.filter_date_field is not None:
        return criteria
    found = wanted.updated_field or wanted.created_field
    if not found:
        named = "from" if criteria.date_from is not None else "to"
        raise InvalidInputError(
            f"{named} has no date to be compared with: the object {criteria.object_name!r} of the connector declares"
            " none. Name one with filterDateField, or add `dates: {updated: <field>}` to the object.",
            field=named,
        )
    return replace(criteria, filter_date_field=found)
