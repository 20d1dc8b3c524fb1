"""What can become of a write: the values that `app.connectors.writing` answers with."""

from __future__ import annotations

from dataclasses import dataclass

from app.connectors.classify import Verdict
from app.connectors.model import ErrorClass
from app.domain.uploads import RowVerdict


@dataclass(frozen=True)
class OutRow:
    """A row to be sent. `record`: one JSON object as text. `key`: idempotency key, the same whenever it is sent."""

    number: int
    record: bytes
    key: str


@dataclass(frozen=True)
class RowOutcome:
    """The verdict on a row. `detail`: at most 200 characters of what the vendor said, without secrets."""

    verdict: RowVerdict
    vendor_id: str | None = None
    http_status: int | None = None
    error_class: ErrorClass | None = None
    detail: str = ""


@dataclass(frozen=True)
class Postponed:
    """Surely not processed, to be sent again: `verdict.action` says whether to wait, retry or renew the credentials."""

    verdict: Verdict
    http_status: int | None = None


@dataclass(frozen=True)
class Unknown:
    """It may have been processed. `reason` is for a person, at most 200 characters, without secrets."""

    reason: str
    http_status: int | None = None
    retry_after_s: float | None = None
    """What the vendor said about when to come back, if it did."""
    brief: str = ""
    """`reason` without the vendor's words, which may echo a row's values: for the job and the log."""


@dataclass(frozen=True)
class Written:
    """One outcome for each row of the call, in their order.

    Of a partial batch some rows may have been postponed, or left without a word, while others have their verdicts.
    """

    outcomes: tuple[RowOutcome | Postponed | Unknown, ...]


@dataclass(frozen=True)
class Refused:
    """The call as a whole was refused, and surely nothing of it was written.

    With several rows the guilty ones are to be found by halving; for a single row `outcome` is its verdict (which may
    be EXISTED).
    """

    outcome: RowOutcome


WriteResult = Written | Refused | Postponed | Unknown


@dataclass(frozen=True)
class Found:
    """The record is there."""

    vendor_id: str | None


@dataclass(frozen=True)
class Absent:
    """The record is not there; proof only `WriteClient.look_up_after_s` after it was sent."""


@dataclass(frozen=True)
class Unclear:
    """The look-up did not tell. `verdict` says whether to ask again; FAIL: what became of the row stays uncertain."""

    verdict: Verdict


LookUpResult = Found | Absent | Unclear
