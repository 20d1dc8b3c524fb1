"""`where` and `fields` of `GET /bulk/jobs`: a condition in OCNQL, and a choice of keys."""

from __future__ import annotations

from typing import Any

from app.api.bulk_schemas import JobItemSchema
from app.db.job_conditions import JobFilter, job_filter
from app.domain.ocnql import OcnqlError, parse_condition
from app.errors import InvalidInputError

_NAMES = frozenset(JobItemSchema().fields)


def parse_where(where: str | None) -> JobFilter | None:
    """The condition on jobs; None for all. Raises InvalidInputError that names the position in `where`."""
    if not where:
        return None
    try:
        return job_filter(parse_condition(where))
    except OcnqlError as error:
        raise InvalidInputError(error.message, field="where") from error


def parse_fields(names: str | None) -> list[str]:
    """A comma-separated choice of keys; empty for all. Raises InvalidInputError."""
    chosen = [name.strip() for name in (names or "").split(",") if name.strip()]
    for name in chosen:
        if name not in _NAMES:
            raise InvalidInputError(
                f"fields {name[:100]!r} is not accepted: {', '.join(sorted(_NAMES))}.", field="fields"
            )
    return chosen


def choose(item: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
    """The chosen keys of a job item."""
    return {name: item[name] for name in chosen} if chosen else item
