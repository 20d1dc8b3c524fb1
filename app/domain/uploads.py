"""What an upload job is asked for, and what can become of one of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

InputFormat = Literal["csv", "json"]
"""`json` is one array of objects, or one object a line (reference 5)."""


class UploadAction(StrEnum):
    """What is done with each row."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"


class RowVerdict(StrEnum):
    """What became of a row. Each row gets one, and keeps it."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UPSERTED = "UPSERTED"
    """Written by an upsert that does not tell whether the record was there before."""
    DELETED = "DELETED"
    EXISTED = "EXISTED"
    """What was to be made is there already, and the connector declares that this is no failure."""
    FAILED = "FAILED"
    UNCERTAIN = "UNCERTAIN"
    """It was sent, and nobody can say whether the vendor took it; it is not sent again."""
    NOT_SENT = "NOT_SENT"
    """The job ended before it was sent."""

    @property
    def is_failure(self) -> bool:
        """Counted in `recordsFailedCount` and listed among the errors."""
        return self in _FAILURES


_FAILURES = frozenset({RowVerdict.FAILED, RowVerdict.UNCERTAIN, RowVerdict.NOT_SENT})


@dataclass(frozen=True)
class UploadOptions:
    """The validated metaData of `POST /bulk/{objectName}` (reference 5)."""

    object_name: str
    action: UploadAction = UploadAction.CREATE
    format: InputFormat = "csv"
    identifier: str = ""
    """Dotted name of the field that tells which record of the vendor a row is; empty without one."""
    encoding: str = ""
    """Character set of the file; empty: by its byte order mark, else UTF-8."""
    delimiter: str = ""
    """Between the cells of a CSV; empty: found out from its head."""
    quote: str = ""
    is_serial: bool = False
    """One call at a time, in the order of the rows."""
    batch_size: int | None = None
    """Rows a call, at most; None: as many as the connector allows."""
    path: str = ""
    """In the place of the object's declared path, for a nested or sub-resource target."""
    resends_uncertain: bool = False
    """Send again what may have been taken, at the risk of a double."""
    file_name: str | None = None
    callback_payload: Any = None
    notification_url: str | None = None
    retention_hours: int | None = None
    """How long file and verdicts are kept after the job ended; None: as long as the setting says."""
    ignored: tuple[str, ...] = field(default=(), compare=False)
    """Keys of the metaData that mean nothing to us."""

    def echo(self) -> dict[str, Any]:
        """As it is shown in `jobCriteria`, by the names on the wire; read back by `from_echo`."""
        about = {
            "format": self.format,
            "action": self.action.value,
            "identifierFieldName": self.identifier or None,
            "encoding": self.encoding or None,
            "delimiter": self.delimiter or None,
            "quote": self.quote or None,
            "concurrency": "serial" if self.is_serial else None,
            "bulkUploadRecordSize": self.batch_size,
            "path": self.path or None,
            "resendUncertain": self.resends_uncertain or None,
            "fileName": self.file_name,
            "callback-payload": self.callback_payload,
            "retentionHours": self.retention_hours,
        }
        return {
            "objectName": self.object_name,
            "metaData": {name: value for name, value in about.items() if value is not None},
            **({"notificationUrl": self.notification_url} if self.notification_url else {}),
        }

    @classmethod
    def from_echo(cls, shown: dict[str, Any]) -> UploadOptions:
        """Read back what `echo` gave."""
        about = shown.get("metaData", {})
        return cls(
            object_name=shown["objectName"],
            action=UploadAction(about.get("action", "create")),
            format=about.get("format", "csv"),
            identifier=about.get("identifierFieldName", ""),
            encoding=about.get("encoding", ""),
            delimiter=about.get("delimiter", ""),
            quote=about.get("quote", ""),
            is_serial=about.get("concurrency") == "serial",
            batch_size=about.get("bulkUploadRecordSize"),
            path=about.get("path", ""),
            resends_uncertain=about.get("resendUncertain", False),
            file_name=about.get("fileName"),
            callback_payload=about.get("callback-payload"),
            notification_url=shown.get("notificationUrl"),
            retention_hours=about.get("retentionHours"),
        )
