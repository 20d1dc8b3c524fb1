"""The end of a chaos test: every promise of the product, checked from outside."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from app.sandbox import Account
from app.sandbox.habits import Habits
from tests.fakes.checker import NO_RECORDS, Counts, count_records
from tests.fakes.row_counts import RowCounts
from tests.fakes.upload_audit import audit_upload
from tests.fixtures.customer import Customer, SubmittedJob
from tests.fixtures.receiver import Call, Receiver
from tests.fixtures.uploader import SubmittedUpload

Rows = psycopg.Connection[dict[str, Any]]

_KEYS = "select object_key from segments union all select object_key from uploads"


@dataclass
class Audit:
    """What was counted over all jobs, and in words what is wrong with it."""

    counts: Counts = NO_RECORDS
    job_count: int = 0
    run_count: int = 0
    callback_count: int = 0
    """Different events that arrived."""
    call_count: int = 0
    """Calls that vendors saw of jobs with an apiLimit, ..."""
    allowed_call_count: int = 0
    """... and what their limits allow."""
    written_off_count: int = 0
    uploads: RowCounts = field(default_factory=RowCounts)
    problems: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not self.problems


def audit(
    rows: Rows,
    storage: Path,
    receiver: Receiver,
    customer: Customer,
    jobs: Sequence[SubmittedJob],
    *,
    are_all: bool = True,
) -> Audit:
    """What became of the jobs; no problems when all is well. Every job given must have fetched all there is.

    `are_all`: any other job is a problem.
    """
    found = Audit(job_count=len(jobs), run_count=sum(job.run_count for job in jobs))
    calls = _calls_by_job(receiver)
    for job in jobs:
        found.problems += _audit_job(found, customer, calls, job)
    if are_all:
        found.problems += _audit_rows(rows, jobs)
    found.problems += _audit_objects(rows, storage)
    found.problems += [f"callback not genuine: {text}" for text in receiver.unverified]
    return found


def audit_uploads(
    rows: Rows, storage: Path, receiver: Receiver, customer: Customer, jobs: Sequence[SubmittedUpload]
) -> Audit:
    """The same for uploads, all of which must have read their whole file. See tests.fakes.upload_audit."""
    found = Audit(job_count=len(jobs), run_count=sum(job.run_count for job in jobs))
    calls = _calls_by_job(receiver)
    for job in jobs:
        status = customer.status(job)
        if (status["jobStatus"], status["metadata"]["stopReason"]) != ("COMPLETED", "EXHAUSTED"):
            found.problems.append(f"job {job.id} ended as {status['jobStatus']}: {status['statusMessage']}")
        counts, problems = audit_upload(rows, job)
        found.uploads += counts
        found.problems += problems
        found.problems += _audit_callbacks(found, calls.get(job.id, ()), job)
    found.problems += _audit_rows(rows, jobs)
    found.problems += _audit_objects(rows, storage)
    found.problems += [f"callback not genuine: {text}" for text in receiver.unverified]
    return found


def _audit_job(
    found: Audit, customer: Customer, calls: Mapping[int, Sequence[Call]], job: SubmittedJob
) -> Iterator[str]:
    status = customer.status(job)
    expected = _expected(job.account)
    if (status["jobStatus"], status["metadata"]["stopReason"]) != ("COMPLETED", "EXHAUSTED"):
        found.counts += count_records(expected, ())
        yield f"job {job.id} ended as {status['jobStatus']}: {status['statusMessage']}"
        return
    lines = customer.result(job).splitlines()
    if "from" in job.criteria and job.run_count > 1:  # each run has its slices one after the other
        places = {record: place for place, record in enumerate(expected)}
        lines.sort(key=lambda line: places.get(line, -1))
    counts = count_records(expected, lines)
    found.counts += counts
    if not counts.is_exact or status["recordCount"] != len(expected):
        yield f"job {job.id}: {counts}, recordCount {status['recordCount']} of {len(expected)}"
    found.written_off_count += status["metadata"]["apiCallsWrittenOff"]
    yield from _audit_calls(found, job, status["metadata"])
    yield from _audit_callbacks(found, calls.get(job.id, ()), job)


def _expected(account: Account) -> Sequence[bytes]:
    plain, habits = account.settings.plain, account.settings.habits
    if (plain.records, plain.seed, habits) not in _made:
        _made[plain.records, plain.seed, habits] = list(account.expected())
    return _made[plain.records, plain.seed, habits]


_made: dict[tuple[int, int, Habits], Sequence[bytes]] = {}
"""Making records takes longer than to check them, and many accounts have the same."""


def _audit_calls(found: Audit, job: SubmittedJob, metadata: dict[str, Any]) -> Iterator[str]:
    """The vendor's own log against what we say and what we were allowed."""
    seen = job.account.calls
    if job.api_limit is not None:
        allowed = job.api_limit * job.run_count
        found.call_count += seen
        found.allowed_call_count += allowed
        if seen > allowed:
            yield f"job {job.id}: {seen} vendor calls, {job.run_count} runs of at most {job.api_limit}"
        if seen > metadata["totalApiCallCount"] + metadata["apiCallsWrittenOff"]:
            yield f"job {job.id}: {seen} vendor calls, but {metadata} tells of fewer"
    if metadata["totalApiCallCount"] > seen:
        yield f"job {job.id}: {seen} vendor calls, but {metadata} tells of more"


def _calls_by_job(receiver: Receiver) -> Mapping[int, Sequence[Call]]:
    calls = defaultdict(list)
    for call in receiver.calls:
        calls[int(call.document["id"])].append(call)
    return calls


def _audit_callbacks(found: Audit, calls: Sequence[Call], job: SubmittedJob) -> Iterator[str]:
    """One id a run, each delivered at least once with the same body."""
    if "notificationUrl" not in job.criteria:
        return
    bodies: dict[str, set[bytes]] = {}
    runs = set()
    for call in calls:
        bodies.setdefault(call.event_id, set()).add(call.body)
        runs.add(call.document["runNumber"])
    found.callback_count += len(bodies)
    if runs != set(range(1, job.run_count + 1)) or len(bodies) != job.run_count:
        yield f"job {job.id}: callbacks {sorted(bodies)} of runs {sorted(runs)} for {job.run_count} runs"
    if any(len(texts) != 1 for texts in bodies.values()):
        yield f"job {job.id}: a callback came with two bodies"


def _audit_rows(rows: Rows, jobs: Sequence[SubmittedJob]) -> Iterator[str]:
    """A submission is one job, however often it was sent."""
    ids = {row["id"] for row in rows.execute("select id from jobs")}
    if strangers := ids - {job.id for job in jobs}:
        yield f"jobs that nobody knows of: {sorted(strangers)}"


def _audit_objects(rows: Rows, storage: Path) -> Iterator[str]:
    """No object without a row, no row without an object, no unfinished file."""
    files = {str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file()}
    keys = {row["object_key"] for row in rows.execute(_KEYS)}
    if orphans := files - keys:
        yield f"orphans: {sorted(orphans)}"
    if missing := keys - files:
        yield f"missing objects: {sorted(missing)}"
