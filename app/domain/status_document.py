"""How a job is told on the wire: one flat document in both vocabularies, for status calls and callbacks alike.

The vendor's older (V2) and newer (V3) engines named the same facts differently and clients poll either, so every
document carries both sets (reference 3a, 3b). All names and spellings here are facts of the wire.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

from app.domain.criteria import Engine
from app.domain.jobs import FileFormat, JobStatus, StopReason
from app.domain.pushes import state_before
from app.domain.stalls import Stall
from app.domain.upload_evidence import upload_evidence, verdict_counts
from app.domain.wire_times import epoch_ms, iso

_LONGEST_SHOWN = 300


class ListedFacts(Protocol):
    """What a listing tells of a job; app.db.jobs.ListedJob has it. Counts run over all runs of the job."""

    @property
    def id(self) -> int: ...
    @property
    def organisation_id(self) -> int: ...
    @property
    def user_id(self) -> int | None: ...
    @property
    def instance_id(self) -> int: ...
    @property
    def element_id(self) -> int: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def direction(self) -> str: ...
    @property
    def object_name(self) -> str: ...
    @property
    def file_format(self) -> FileFormat: ...
    @property
    def query_text(self) -> str | None: ...
    @property
    def notification_url(self) -> str | None: ...
    @property
    def status(self) -> JobStatus: ...
    @property
    def status_message(self) -> str | None: ...
    @property
    def run_number(self) -> int: ...
    @property
    def record_count(self) -> int: ...
    @property
    def failed_count(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...


class JobFacts(ListedFacts, Protocol):
    """What else the status of a job tells; app.db.jobs.Job has it."""

    @property
    def criteria(self) -> dict[str, Any]: ...
    @property
    def pushed(self) -> dict[str, Any] | None: ...
    @property
    def stop_reason(self) -> StopReason | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def page_count(self) -> int: ...
    @property
    def call_count(self) -> int: ...
    @property
    def calls_written_off(self) -> int: ...
    @property
    def plain_bytes(self) -> int: ...
    @property
    def vendor_total(self) -> int | None: ...
    @property
    def filtered_count(self) -> int: ...
    @property
    def undated_count(self) -> int: ...
    @property
    def slice_count(self) -> int: ...
    @property
    def asked_of_vendor(self) -> list[str]: ...
    @property
    def repeated_count(self) -> int: ...
    @property
    def seen_before(self) -> int: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def page_size(self) -> int | None: ...
    @property
    def resume(self) -> str | None: ...
    @property
    def files_expire_at(self) -> datetime | None: ...
    @property
    def files_deleted_at(self) -> datetime | None: ...
    @property
    def child_count(self) -> int: ...
    @property
    def child_missing_count(self) -> int: ...
    @property
    def verdict_counts(self) -> dict[str, int]: ...
    @property
    def deleted_count(self) -> int: ...
    @property
    def push(self) -> dict[str, Any] | None: ...


class WaitFacts(Protocol):
    """Why a job does nothing at the moment; app.db.queue.Waiting has it."""

    @property
    def reason(self) -> str | None: ...
    @property
    def until(self) -> datetime | None: ...
    @property
    def try_count(self) -> int: ...
    @property
    def last_error(self) -> str | None: ...


def submission_document(instance_id: int, job_id: int, status: str) -> dict[str, Any]:
    """The answer to a submission; the id is a string here and a number elsewhere (reference 1)."""
    return {"instanceId": instance_id, "id": str(job_id), "status": status}


def status_document(
    job: JobFacts, now: datetime, waiting: WaitFacts | None = None, stall: Stall | None = None
) -> dict[str, Any]:
    """The body of `GET /bulk/{id}/status` and of callbacks. `error` is there on failure only: clients test for it."""
    document = {**_v3(job, now), **_v2(job), "runNumber": job.run_number}
    about = job.criteria.get("metaData", {})
    if "callback-payload" in about:
        document["callback-payload"] = about["callback-payload"]
    if (target := job.criteria.get("docsHubDetails")) is not None:
        document["docsHub"] = {**target, "state": state_before(job.status), **(job.push or {})}
    if waiting is not None and waiting.until is not None:
        document["statusMessage"] = f"{document['statusMessage']}; {_wait_line(waiting, waiting.until)}"
    if stall is not None:
        document["stalled"] = _stalled(stall)
        reason = "" if waiting is not None else f": {stall.what}"
        document["statusMessage"] = f"{document['statusMessage']}; no progress since {iso(stall.since)}{reason}"
    if job.finished_at is not None:
        document["bulk_finish_time"] = iso(job.finished_at)
    if job.error is not None:
        document["error"] = job.error
    return document


def job_item(job: ListedFacts) -> dict[str, Any]:
    """One item of `GET /bulk/jobs`: the documented names and those of the machine description."""
    return {
        "job_id": job.id,
        "object_name": job.object_name,
        "job_direction": job.direction,
        "job_status": job.status.value,
        "status_message": _message(job),
        "record_count": job.record_count,
        "error_count": job.failed_count,
        "engine": job.engine,
        "job_query": job.query_text,
        "nativefileFormat": job.file_format.short.lower(),
        "createdDate": iso(job.created_at),
        "element_id": job.element_id,
        "instance_id": job.instance_id,
        "account_id": job.organisation_id,
        "user_id": job.user_id,
        "organization_id": job.organisation_id,
        "id": job.id,
        "instanceId": job.instance_id,
        "status": job.status.value,
        "job_state": job.status.value,
        "fileFormat": _format(job),
        "completion_time": epoch_ms(job.finished_at),
        "job_reset_attempt": job.run_number - 1,
        "notification_url": job.notification_url,
    }


def evidence_line(job: JobFacts) -> str:
    """What happened, in one line for a person: nothing is silently short (design 2.5)."""
    if job.direction == "UPLOAD":
        return upload_evidence(job)
    parts = [f"{job.record_count} records in {job.page_count} pages by {job.call_count} vendor calls"]
    if job.seen_before:
        parts.append(f"went on behind {job.seen_before} records that jobs before this one saw")
    parts += _as_asked(job)
    if job.calls_written_off:
        parts.append(f"{job.calls_written_off} reserved calls written off after crashes")
    parts.append(_comparison(job))
    parts += _left_out(job) + _nested(job)
    parts += _told(job)
    if job.slice_count > 1:
        parts.append(f"read in {job.slice_count} slices of {job.criteria.get('filterDateField')}")
    if job.criteria.get("query"):
        parts.append(f"filtered at the vendor by {', '.join(sorted(job.criteria['query']))}")
    if job.stop_reason is not None:
        more = "the vendor has or may have more" if job.has_more else "nothing left at the vendor"
        parts.append(f"stopped by {job.stop_reason.value}, {more}")
    if job.resume in _PROMISES:
        parts.append(_PROMISES[job.resume])
    return "; ".join(parts)


_PROMISES = {
    "replay": "pages are numbered: records added or deleted meanwhile may make others come twice or not at all",
    "replay_unsafe": "PAGES ARE ASKED FOR BY OFFSET: any record added or deleted before it makes others come twice or "
    "not at all",
}
"""What going on at a stored cursor does not promise (app.connectors.model.Resume)."""


def _as_asked(job: JobFacts) -> list[str]:
    """What was done otherwise than asked for."""
    if job.page_size is None:
        return []
    asked = job.criteria.get("pageSize")
    is_capped = asked is not None and asked > job.page_size
    capped = [f"pages of {job.page_size} instead of {asked}, the vendor's maximum"] if is_capped else []
    return capped + _cut(job, job.page_size)


def _cut(job: JobFacts, page_size: int) -> list[str]:
    """That pages were shorter than asked for, which vendors do without a word. Told of whole passes over a list."""
    is_pass = job.stop_reason is StopReason.EXHAUSTED and job.run_number == 1 and not job.seen_before
    # Of each slice the last page may be short, and an empty one may stand behind it.
    full_pages = job.page_count - 2 * job.slice_count
    seen = _seen_by_itself(job)
    if not is_pass or "child" in job.criteria or seen >= full_pages * page_size:
        return []
    return [f"pages held {seen / job.page_count:.1f} records on average instead of {page_size}"]


def _nested(job: JobFacts) -> list[str]:
    name = job.criteria.get("child", {}).get("objectName")
    if name is None:
        return []
    missing = f", {job.child_missing_count} NOT FOUND" if job.child_missing_count else ""
    return [f"{name} nested by {job.child_count} look-ups{missing}"]


def seen_count(job: JobFacts) -> int:
    """Records that the vendor gave, to jobs before this one in the same pass too: what its total is compared with."""
    return _seen_by_itself(job) + job.seen_before


def _seen_by_itself(job: JobFacts) -> int:
    left_out = job.filtered_count + job.undated_count + job.repeated_count + job.deleted_count
    return job.record_count + left_out


def _left_out(job: JobFacts) -> list[str]:
    """What was filtered, and by whom."""
    named = [name for name in ("from", "to", "where") if name in job.criteria]
    parts = [f"{job.filtered_count} more left out by {', '.join(named)}"] if named else []
    if job.asked_of_vendor:
        parts.append(f"{', '.join(job.asked_of_vendor)} asked of the vendor as well")
    if job.undated_count:
        parts.append(f"{job.undated_count} LEFT OUT SINCE {job.criteria.get('filterDateField')} HOLDS NO DATE")
    if job.deleted_count:
        parts.append(f"{job.deleted_count} more left out since the vendor has deleted them")
    if job.repeated_count:
        parts.append(f"{job.repeated_count} more left out since jobs before this one delivered them")
    return parts


def _told(job: JobFacts) -> list[str]:
    """What of the conditions the vendor was told; it was checked here again."""
    if job.pushed is None:
        return []
    vendor, here = (_one_line(job.pushed[name]) for name in ("vendor", "here"))
    named = [f"the vendor was asked for {vendor}"] if vendor else []
    return [*named, f"applied here alone: {here}"] if here else named


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"


def _comparison(job: JobFacts) -> str:
    if job.vendor_total is None:
        return "the vendor states no total"
    if job.stop_reason is StopReason.EXHAUSTED and job.vendor_total != seen_count(job):
        return f"THE VENDOR'S TOTAL IS {job.vendor_total}, which differs"
    return f"the vendor's total is {job.vendor_total}"


def _v3(job: JobFacts, now: datetime) -> dict[str, Any]:
    return {
        "id": job.id,
        "objectName": job.object_name,
        "recordCount": job.record_count,
        "errorCount": job.failed_count,
        "jobDirection": job.direction,
        "jobStatus": "CANCELED" if job.status is JobStatus.CANCELLED else job.status.value,
        "statusMessage": _message(job),
        "createdDate": epoch_ms(job.created_at),
        "completionTime": epoch_ms(job.finished_at),
        "vendorJobId": None,
        "notificationUrl": job.notification_url,
        "defaultSelectFields": None,
        "fileFormat": _format(job),
        "jobCriteria": job.criteria,
        "native": False,
        "metaData": job.criteria.get("metaData", {}),
        "metadata": _metadata(job, now),
    }


def _v2(job: JobFacts) -> dict[str, Any]:
    return {
        "instanceId": job.instance_id,
        "object_name": job.object_name,
        "job_direction": job.direction,
        "status": job.status.value,
        "recordsCount": job.record_count,
        "recordsFailedCount": job.failed_count,
        # Records are kept as JSON Lines; the size of a rendered CSV or array is not known before it is made. Of a query
        # job, whose format is chosen by each reader, it is the size of what is kept.
        "fileSize": job.plain_bytes if _has_size(job) else None,
        "bulk_start_time": iso(job.started_at or job.created_at),
        "infoMessage": None,
        "message": None,
        "requestId": None,
    }


def _has_size(job: JobFacts) -> bool:
    return job.direction == "DOWNLOAD" and (job.engine == "V2" or job.file_format is FileFormat.JSONL)


def _metadata(job: JobFacts, now: datetime) -> dict[str, Any]:
    """The run's figures. Times in milliseconds."""
    began = job.started_at or now
    rows = {"verdicts": verdict_counts(job)} if job.direction == "UPLOAD" else {}
    return {
        "objectName": job.object_name,
        "totalApiCallCount": job.call_count,
        "apiCallsWrittenOff": job.calls_written_off,
        "elapsedTime": max(0, ((job.finished_at or now) - began) // timedelta(milliseconds=1)),
        "vendor_process_time": 0,
        "pageCount": job.page_count,
        "vendorTotal": job.vendor_total,
        "stopReason": None if job.stop_reason is None else job.stop_reason.value,
        "hasMore": job.has_more,
        "evidence": evidence_line(job),
        "filesExpireAt": None if job.files_expire_at is None else iso(job.files_expire_at),
        "filesDeletedAt": None if job.files_deleted_at is None else iso(job.files_deleted_at),
        **rows,
    }


def _format(job: ListedFacts) -> str:
    """Clients of the older engine append it to a file's name (reference 3a)."""
    return job.file_format.short.lower() if job.engine == "V2" else job.file_format.short


def _message(job: ListedFacts) -> str:
    if job.status_message is not None:
        return job.status_message
    if job.status is JobStatus.CREATED:
        return "Waiting for a worker"
    done = "Uploaded" if job.direction == "UPLOAD" else "Downloaded"
    return f"{done} {job.record_count} records so far"


def _stalled(stall: Stall) -> dict[str, Any]:
    page_s = stall.page_p95_s
    return {
        "since": iso(stall.since),
        "waitsFor": stall.waits_for.value,
        "what": stall.what,
        "pageTime": None if page_s is None else int(page_s * 1000),
    }


def _wait_line(waiting: WaitFacts, until: datetime) -> str:
    reason, error = waiting.reason or "", waiting.last_error or ""
    tries = f" (failed tries: {waiting.try_count})" if waiting.try_count else ""
    return ": ".join(filter(None, [f"waiting until {iso(until)}", reason, "" if error in reason else error])) + tries
