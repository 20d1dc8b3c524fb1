"""What an upload tells of its rows: counts by verdict, and the line that says what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from app.domain.jobs import JobStatus, StopReason
from app.domain.uploads import RowVerdict

UNREADABLE = "unreadable"
"""Key of the counts: of the failed rows those that could not be parsed."""
LOOK_UPS = "lookUps"
"""Key of the counts: vendor calls that asked whether a record is there."""
UNSENT = "unsent"
"""Key of the counts: rows that the ended run left without a verdict."""


class UploadFacts(Protocol):
    """What is needed of a job; app.db.jobs.Job has it."""

    @property
    def status(self) -> JobStatus: ...
    @property
    def stop_reason(self) -> StopReason | None: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def criteria(self) -> dict[str, Any]: ...
    @property
    def record_count(self) -> int: ...
    @property
    def call_count(self) -> int: ...
    @property
    def calls_written_off(self) -> int: ...
    @property
    def verdict_counts(self) -> Mapping[str, int]: ...


def verdict_counts(job: UploadFacts) -> dict[str, int]:
    """Rows by verdict, those that nobody sent among them once the run has ended."""
    counts = {each.value: job.verdict_counts.get(each.value, 0) for each in RowVerdict}
    counts[RowVerdict.NOT_SENT] += _unsent(job)
    return counts


def upload_evidence(job: UploadFacts) -> str:
    """What happened, in one line for a person (design 2.5)."""
    counts = verdict_counts(job)
    read, not_sent = job.record_count + _unsent(job), counts[RowVerdict.NOT_SENT]
    unreadable = job.verdict_counts.get(UNREADABLE, 0)
    told = {each: n for each, n in counts.items() if n and each not in {RowVerdict.FAILED, RowVerdict.NOT_SENT}}
    look_ups = job.verdict_counts.get(LOOK_UPS, 0)
    parts = [f"{read} rows read, {read - unreadable - not_sent} sent by {job.call_count - look_ups} vendor calls"]
    if look_ups:
        parts.append(f"look-up calls besides: {look_ups}")
    if "retryOfJobId" in job.criteria:
        parts.append(f"the rows come from job {job.criteria['retryOfJobId']}")
    parts += [f"{n} {each.lower()}" for each, n in told.items()]
    if failed := counts[RowVerdict.FAILED]:
        parts.append(
            f"{failed} failed" + (f", {unreadable} of them since they could not be read" if unreadable else "")
        )
    if not_sent:
        parts.append(f"{not_sent} not sent")
    if job.calls_written_off:
        parts.append(f"{job.calls_written_off} reserved calls written off after crashes")
    if job.stop_reason is not None:
        more = "ROWS OF THE FILE ARE LEFT" if job.has_more else "nothing left in the file"
        parts.append(f"stopped by {job.stop_reason.value}, {more}")
    return "; ".join(parts)


def _unsent(job: UploadFacts) -> int:
    """While a run goes on such rows are in work."""
    return job.verdict_counts.get(UNSENT, 0) if job.status.is_terminal else 0
