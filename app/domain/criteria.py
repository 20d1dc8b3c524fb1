"""What a download job is asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.domain.jobs import FileFormat
from app.domain.pushes import DocsHub

Engine = Literal["V2", "V3"]
"""V3: submitted by `POST /bulk/download`; V2: by `POST /bulk/query`."""

SUPPORTED = (
    "objectName",
    "format",
    "selectFields",
    "filterNulls",
    "from",
    "to",
    "filterDateField",
    "where",
    "query",
    "pageSize",
    "limit",
    "apiLimit",
    "notificationUrl",
    "metaData",
    "continueFromJobId",
    "child",
    "docsHubDetails",
    "retentionHours",
)
"""Criteria that work, by their names on the wire (reference 1a)."""


@dataclass(frozen=True)
class Child:
    """Which records to nest in each record, and by which field of it (reference 9)."""

    object_name: str
    key_field: str


@dataclass(frozen=True)
class DownloadCriteria:
    """The validated body of `POST /bulk/download`. Counts are at least 1 where given."""

    object_name: str
    file_format: FileFormat = FileFormat.JSONL
    page_size: int | None = None
    limit: int | None = None
    """Stop after so many records."""
    api_limit: int | None = None
    """Make at most so many vendor calls."""
    query: dict[str, str] = field(default_factory=dict)
    """Further query parameters of the list call, passed on as they are."""
    notification_url: str | None = None
    select_fields: tuple[str, ...] = ()
    """Dotted names of the fields to keep; empty for all."""
    filter_nulls: bool = False
    """Leave out fields that are null."""
    date_from: str | None = None
    """Only records whose `filter_date_field` is not before this moment, as it was written."""
    date_to: str | None = None
    """Only records whose `filter_date_field` is not after this moment, as it was written."""
    filter_date_field: str | None = None
    where: str | None = None
    """Only records for which this OCNQL condition is true."""
    child: Child | None = None
    """Nest these records in each record."""
    docs_hub: DocsHub | None = None
    """Where the finished output is pushed to."""
    file_name: str | None = None
    """Name of the result, with date patterns (reference 9)."""
    callback_payload: Any = None
    """Given back in status and callbacks as it came."""
    retention_hours: int | None = None
    """How long its files are kept after it ended; None: as long as the setting says."""
    q: str | None = None
    """The text of `POST /bulk/query` as it came; object, fields, condition and limit are taken from it."""
    continue_from_job_id: int | None = None
    """Go on from this job: where it stopped, or with what changed since."""
    ignored: tuple[str, ...] = field(default=(), compare=False)
    """What was sent and means nothing to us."""
    given: frozenset[str] | None = field(default=None, compare=False)
    """Names on the wire of the criteria that the body held; None: those that are not as they are by default."""

    def echo(self) -> dict[str, Any]:
        """The criteria as they are shown in `jobCriteria`, by their names on the wire."""
        about = {"fileName": self.file_name, "callback-payload": self.callback_payload}
        shown = {
            "q": self.q,
            "objectName": self.object_name,
            "format": self.file_format.value,
            "selectFields": ",".join(self.select_fields) or None,
            "filterNulls": self.filter_nulls or None,
            "from": self.date_from,
            "to": self.date_to,
            "filterDateField": self.filter_date_field,
            "where": self.where,
            "child": self.child
            and {"objectName": self.child.object_name, "parentPrimaryKeyFieldName": self.child.key_field},
            "docsHubDetails": self.docs_hub and self.docs_hub.echo(),
            "pageSize": self.page_size,
            "limit": self.limit,
            "apiLimit": self.api_limit,
            "query": self.query or None,
            "notificationUrl": self.notification_url,
            "metaData": {name: value for name, value in about.items() if value is not None} or None,
            "continueFromJobId": self.continue_from_job_id,
            "retentionHours": self.retention_hours,
        }
        return {name: value for name, value in shown.items() if value is not None}

    @classmethod
    def from_echo(cls, shown: dict[str, Any]) -> DownloadCriteria:
        """Read back what `echo` gave."""
        about = shown.get("metaData", {})
        return cls(
            object_name=shown["objectName"],
            file_format=FileFormat(shown["format"]),
            page_size=shown.get("pageSize"),
            limit=shown.get("limit"),
            api_limit=shown.get("apiLimit"),
            query=shown.get("query", {}),
            notification_url=shown.get("notificationUrl"),
            select_fields=split_names(shown.get("selectFields", "")),
            filter_nulls=shown.get("filterNulls", False),
            date_from=shown.get("from"),
            date_to=shown.get("to"),
            filter_date_field=shown.get("filterDateField"),
            where=shown.get("where"),
            child=child_from(shown.get("child")),
            docs_hub=DocsHub.from_echo(shown.get("docsHubDetails")),
            file_name=about.get("fileName"),
            callback_payload=about.get("callback-payload"),
            q=shown.get("q"),
            continue_from_job_id=shown.get("continueFromJobId"),
            retention_hours=shown.get("retentionHours"),
        )

    @property
    def named(self) -> frozenset[str]:
        """Names on the wire of the criteria that were asked for, whatever their values."""
        if self.given is not None:
            return self.given
        default = DownloadCriteria("").echo()
        return frozenset(name for name, value in self.echo().items() if default.get(name) != value)

    def over(self, source: DownloadCriteria, *, without: Collection[str] = ()) -> DownloadCriteria:
        """These criteria, and what they do not name as it is in `source`; of that not what `without` names."""
        own = self.echo()
        taken = {name: each for name, each in source.echo().items() if name not in self.named and name not in without}
        merged = self.from_echo(taken | {name: own[name] for name in self.named if name in own})
        return replace(merged, ignored=self.ignored, given=self.given)

    def differing(self, source: DownloadCriteria) -> tuple[str, ...]:
        """Names of criteria that are asked for otherwise than `source` has them."""
        own, other = self.echo(), source.echo()
        return tuple(name for name in sorted(self.named) if own.get(name) != other.get(name))


def retention_hours_of(shown: dict[str, Any]) -> int | None:
    """What the criteria of a job, as they are shown, say of its retention; uploads have it in their metaData."""
    hours: int | None = shown.get("retentionHours", shown.get("metaData", {}).get("retentionHours"))
    return hours


def child_from(shown: dict[str, Any] | None) -> Child | None:
    """The criterion `child` as it is written."""
    return None if shown is None else Child(shown["objectName"], shown["parentPrimaryKeyFieldName"])


def split_names(text: str) -> tuple[str, ...]:
    """The names of a comma-separated list, each once, in order."""
    return tuple(dict.fromkeys(name for name in map(str.strip, text.split(",")) if name))
