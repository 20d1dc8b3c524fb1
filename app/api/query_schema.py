"""The schema of `POST /bulk/query`. The names are the wire's (reference 1b)."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load

from app.api.fields import FileName, retention_hours, text, true_or_false, whole_number
from app.domain.instants import parse_instant
from app.domain.jobs import FileFormat
from app.services.querying import Asked

_LONGEST_QUERY = 20_000


class Instant(fields.Field[str]):
    """A date or moment as a text or epoch number; kept as it was written."""

    _accepted = (
        "a date such as 2024-03-01, 2024-03-01T08:30:00Z or 2024-03-01T08:30:00.250+01:00, or an epoch number, "
        "is accepted."
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValidationError(self._accepted)
        written = str(value).strip()
        # A `+` that was not percent-encoded in a query string arrives as a blank.
        for spelling in (written, "+".join(written.rsplit(" ", 1))):
            if parse_instant(spelling) is not None:
                return spelling
        raise ValidationError(self._accepted)


class Format(fields.Field[FileFormat]):
    """A format of a result, by media type or bare extension."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> FileFormat:  # noqa: ARG002
        try:
            return FileFormat.parse_short(value)
        except (ValueError, AttributeError):
            raise ValidationError("csv, json or jsonl, or its media type, is accepted.") from None


class QueryCallSchema(Schema):
    """Every name that the call takes, in whatever place it came."""

    class Meta:
        unknown = EXCLUDE

    q = text(1, _LONGEST_QUERY, metadata={"description": "OCNQL: select … from …"})
    date_from = Instant(
        data_key="from", metadata={"description": "Only records changed at or after this moment; wins over lastRunDate"}
    )
    date_to = Instant(
        data_key="to",
        metadata={"description": "Only records changed at or before this moment; a date means all day"},
    )
    lastRunDate = Instant(metadata={"description": "As `from`"})
    filterDateField = text(
        metadata={"description": "The field that dates are compared with; by default the one that the element declares"}
    )
    continueFromJobId = whole_number(metadata={"description": "Instead of `q`: go on behind that job"})
    fileFormat = Format(metadata={"description": "csv, json or jsonl"})
    pageSize = whole_number(metadata={"description": "Records a vendor call; capped at what the vendor allows"})
    fileName = FileName(metadata={"description": "Name of the result, with date patterns in braces"})
    incremental = true_or_false()
    retentionHours = retention_hours()
    callback_payload = fields.Raw(data_key="callback-payload", allow_none=True)

    @pre_load
    def read_digits(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Numbers of forms and query strings are texts."""
        names = ("continueFromJobId", "pageSize", "retentionHours")
        texts = {name: given[name].strip() for name in names if isinstance(given.get(name), str)}
        return {**given, **{name: int(each) for name, each in texts.items() if each.isdecimal() and len(each) <= 20}}  # noqa: PLR2004

    @post_load
    def as_asked(self, values: dict[str, Any], **_: Any) -> Asked:
        """In our words; `from` wins over `lastRunDate`."""
        return Asked(
            q=values.get("q"),
            date_from=values.get("date_from") or values.get("lastRunDate"),
            date_to=values.get("date_to"),
            filter_date_field=values.get("filterDateField"),
            continue_from_job_id=values.get("continueFromJobId"),
            file_format=values.get("fileFormat"),
            page_size=values.get("pageSize"),
            file_name=values.get("fileName"),
            callback_payload=values.get("callback_payload"),
            retention_hours=values.get("retentionHours"),
        )


_BY_WIRE_NAME = {each.data_key or name for name, each in QueryCallSchema().fields.items()}
_ONLY_ABOUT = ("fileName", "incremental", "callback-payload")

NAMES = (*sorted(_BY_WIRE_NAME - set(_ONLY_ABOUT)), "query", "metaData")
"""Accepted in query string, form and JSON body."""

ABOUT_NAMES = tuple(sorted(_BY_WIRE_NAME - {"q"}))
"""Accepted in `metaData`, beside `validationData` with `fileFormat` in it."""
