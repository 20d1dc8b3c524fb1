"""`where` and `fields` of `GET /bulk/jobs`: equality on three names, and a choice of keys."""

from __future__ import annotations

import re
from typing import Any

from app.api.bulk_schemas import JobItemSchema
from app.db.jobs import JobFilter
from app.domain.jobs import JobStatus
from app.errors import InvalidInputError

_CONDITION = re.compile(r"\s*(object_name|job_status|job_direction)\s*=\s*'((?:[^']|'')*)'\s*", re.IGNORECASE)
_AND = re.compile(r"and\b", re.IGNORECASE)
_NAMES = frozenset(JobItemSchema().fields)


def parse_where(where: str | None) -> JobFilter:
    """`name='value'` joined by AND over object_name, job_status, job_direction. Raises InvalidInputError."""
    found: dict[str, str] = {}
    rest = where or ""
    while rest:
        match = _CONDITION.match(rest)
        if match is None or match[1].lower() in found:
            raise _refused(where)
        found[match[1].lower()] = match[2].replace("''", "'")
        rest = rest[match.end() :]
        joined = _AND.match(rest)
        if rest and joined is None:
            raise _refused(where)
        rest = rest[joined.end() :] if joined else rest
        if joined and not rest.strip():
            raise _refused(where)
    return JobFilter(found.get("object_name"), _status(found.get("job_status")), found.get("job_direction"))


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


def _status(text: str | None) -> JobStatus | None:
    if text is None:
        return None
    try:
        return JobStatus("CANCELLED" if text == "CANCELED" else text)
    except ValueError as error:
        raise InvalidInputError(
            f"where job_status {text[:100]!r} is not accepted: one of {', '.join(JobStatus)}.", field="where"
        ) from error


def _refused(where: str | None) -> InvalidInputError:
    return InvalidInputError(
        f"Error parsing query {(where or '')[:200]!r}: name='value' joined by AND is accepted,"
        " with the names object_name, job_status and job_direction.",
        field="where",
    )
