"""What a job is: its states, why it stopped, and which moves are allowed. No I/O, no clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Direction = Literal["DOWNLOAD", "UPLOAD"]


class JobStatus(StrEnum):
    """States of a job as stored; the wire spells one of them in two ways (reference 2)."""

    CREATED = "CREATED"
    """Accepted, not begun."""
    STARTED = "STARTED"
    """A worker holds it, nothing is committed yet."""
    RUNNING = "RUNNING"
    """At least one checkpoint of this run is committed."""
    COMPLETED = "COMPLETED"
    """Every record that the criteria ask for is in the result, or a limit of the criteria was reached."""
    ABORTED = "ABORTED"
    """Given up; what was committed stays readable and the job can be restarted."""
    CANCELLATION_PENDING = "CANCELLATION_PENDING"
    """Cancel was asked; the holder has not let go yet."""
    CANCELLED = "CANCELLED"
    """Ended by the user."""

    @property
    def is_terminal(self) -> bool:
        """True where no worker will touch the job again unless it is restarted."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.ABORTED, JobStatus.CANCELLED})


class StopReason(StrEnum):
    """Why a run ended. Every ended run has one: nothing is silently short."""

    EXHAUSTED = "EXHAUSTED"
    """The vendor had no further page."""
    LIMIT = "LIMIT"
    API_LIMIT = "API_LIMIT"
    VENDOR_ERROR = "VENDOR_ERROR"
    """The vendor failed too often without progress, or refused, or its answers made no sense."""
    CRASHES = "CRASHES"
    """The workers died on the same position again and again (a poison page)."""
    CONFIG = "CONFIG"
    """Connector, instance or storage settings are wrong."""
    UNREADABLE_INPUT = "UNREADABLE_INPUT"
    """The file of an upload cannot be read on from some line."""
    INSTANCE_GONE = "INSTANCE_GONE"
    """The instance was deleted or disabled while the job ran."""
    CANCELLED = "CANCELLED"


class FileFormat(StrEnum):
    """Formats of a result, by media type."""

    JSONL = "application/jsonl"
    JSON = "application/json"
    CSV = "text/csv"

    @property
    def short(self) -> str:
        """`JSON`, `CSV` or `JSONL`, as the V3 status spells it (reference 3a)."""
        return {"application/jsonl": "JSONL", "application/json": "JSON", "text/csv": "CSV"}[self.value]

    @classmethod
    def parse(cls, text: str) -> FileFormat:
        """Read a media type; `txt/csv` is the vendor's own misspelling (reference 1a). Raises ValueError."""
        return cls("text/csv" if text == "txt/csv" else text)

    @classmethod
    def parse_short(cls, text: str) -> FileFormat:
        """Read a media type or `csv`, `json`, `jsonl` in any case (reference 1b). Raises ValueError."""
        by_name = {each.short.lower(): each for each in cls}
        return by_name.get(text.lower()) or cls.parse(text.lower())


def can_restart(status: JobStatus, *, more: bool) -> bool:
    """Restart is for jobs that ended before the vendor's last record (design 5)."""
    if status is JobStatus.COMPLETED:
        return more
    return status in TERMINAL
