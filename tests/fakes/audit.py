"""The end of a chaos test: every promise of the product, checked from outside."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.fakes.checker import count_records
from tests.fixtures.customer import Customer, SubmittedJob
from tests.fixtures.receiver import Receiver

Rows = psycopg.Connection[dict[str, Any]]


def audit(rows: Rows, storage: Path, receiver: Receiver, customer: Customer, jobs: Sequence[SubmittedJob]) -> list[str]:
    """What is wrong, in words; empty when all is well. Every job given must have fetched all there is."""
    return [
        *(problem for job in jobs for problem in _audit_job(customer, receiver, job)),
        *_audit_objects(rows, storage),
        *(f"callback not genuine: {text}" for text in receiver.unverified),
    ]


def _audit_job(customer: Customer, receiver: Receiver, job: SubmittedJob) -> Iterator[str]:
    status = customer.status(job)
    if (status["jobStatus"], status["metadata"]["stopReason"]) != ("COMPLETED", "EXHAUSTED"):
        yield f"job {job.id} ended as {status['jobStatus']}: {status['statusMessage']}"
        return
    expected = list(job.account.expected())
    counts = count_records(expected, customer.result(job).splitlines())
    if not counts.is_exact or status["recordCount"] != len(expected):
        yield f"job {job.id}: {counts}, recordCount {status['recordCount']} of {len(expected)}"
    yield from _audit_calls(job, status["metadata"])
    yield from _audit_callbacks(receiver, job)


def _audit_calls(job: SubmittedJob, metadata: dict[str, Any]) -> Iterator[str]:
    """The vendor's own log against what we say and what we were allowed."""
    seen = job.account.calls
    if job.api_limit is not None:
        if seen > job.api_limit * job.run_count:
            yield f"job {job.id}: {seen} vendor calls, {job.run_count} runs of at most {job.api_limit}"
        if seen > metadata["totalApiCallCount"] + metadata["apiCallsWrittenOff"]:
            yield f"job {job.id}: {seen} vendor calls, but {metadata} tells of fewer"
    if metadata["totalApiCallCount"] > seen:
        yield f"job {job.id}: {seen} vendor calls, but {metadata} tells of more"


def _audit_callbacks(receiver: Receiver, job: SubmittedJob) -> Iterator[str]:
    """One id a run, each delivered at least once with the same body."""
    if "notificationUrl" not in job.criteria:
        return
    bodies: dict[str, set[bytes]] = {}
    runs = set()
    for call in receiver.calls:
        if int(call.document["id"]) == job.id:
            bodies.setdefault(call.event_id, set()).add(call.body)
            runs.add(call.document["runNumber"])
    if runs != set(range(1, job.run_count + 1)) or len(bodies) != job.run_count:
        yield f"job {job.id}: callbacks {sorted(bodies)} of runs {sorted(runs)} for {job.run_count} runs"
    if any(len(texts) != 1 for texts in bodies.values()):
        yield f"job {job.id}: a callback came with two bodies"


def _audit_objects(rows: Rows, storage: Path) -> Iterator[str]:
    """No object without a row, no row without an object, no unfinished file."""
    files = {str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file()}
    keys = {row["object_key"] for row in rows.execute("select object_key from segments")}
    if orphans := files - keys:
        yield f"orphans: {sorted(orphans)}"
    if missing := keys - files:
        yield f"missing objects: {sorted(missing)}"
