"""What a download job is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.domain.jobs import FileFormat

SUPPORTED = ("objectName", "format", "pageSize", "limit", "apiLimit", "query", "notificationUrl")
"""Criteria that work, by their names on the wire (reference 1a)."""

PLANNED = (
    "selectFields",
    "filterNulls",
    "from",
    "to",
    "filterDateField",
    "where",
    "docsHubDetails",
    "continueFromJobId",
    "child",
    "metaData",
)
"""Criteria of the vendor's API that are refused by name until they work."""


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

    def echo(self) -> dict[str, Any]:
        """The criteria as they are shown in `jobCriteria`, by their names on the wire."""
        shown = {
            "objectName": self.object_name,
            "format": self.file_format.value,
            "pageSize": self.page_size,
            "limit": self.limit,
            "apiLimit": self.api_limit,
            "query": self.query or None,
            "notificationUrl": self.notification_url,
        }
        return {name: value for name, value in shown.items() if value is not None}

    @classmethod
    def from_echo(cls, shown: dict[str, Any]) -> DownloadCriteria:
        """Read back what `echo` gave."""
        return cls(
            object_name=shown["objectName"],
            file_format=FileFormat(shown["format"]),
            page_size=shown.get("pageSize"),
            limit=shown.get("limit"),
            api_limit=shown.get("apiLimit"),
            query=shown.get("query", {}),
            notification_url=shown.get("notificationUrl"),
        )
