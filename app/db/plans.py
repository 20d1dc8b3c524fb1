"""What a leg works by, of five tables in one statement: legs are many, and each begins with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.db.jobs import Job
from app.db.pool import Connection
from app.db.runs import Run
from app.errors import NotFoundError

_SELECT = """
select jobs.*, runs.api_limit, runs.record_limit, runs.calls_reserved, runs.record_count as run_record_count,
  instances.configuration, instances.secrets, instances.deleted_at is not null as is_deleted,
  instances.disabled_at is not null as is_disabled, instances.created_at as instance_created_at,
  instances.blocked_until, connector_revisions.digest
from jobs
join runs on runs.job_id = jobs.id and runs.number = %s
join instances on instances.id = jobs.instance_id and instances.organisation_id = jobs.organisation_id
join connector_revisions on connector_revisions.id = jobs.connector_revision_id
where jobs.id = %s
"""


@dataclass(frozen=True)
class Footing:
    """The job, the budgets of its run, its instance as it is now, and the connector's revision that it pinned."""

    job: Job
    run: Run
    configuration: dict[str, Any]
    secrets: bytes = field(repr=False)
    """Sealed; see app.secrets.Vault."""
    is_deleted: bool
    is_disabled: bool
    """Of the instance."""
    instance_created_at: datetime
    blocked_until: datetime | None
    """The vendor asked everybody who calls for the instance to stay away until then."""
    digest: str
    """Of the connector's document."""


def find(conn: Connection, job_id: int, run_number: int) -> Footing:
    """By the job's id alone: workers act for every tenant. Raises NotFoundError."""
    row = conn.execute(_SELECT, (run_number, job_id)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no run {run_number} of bulk job {job_id}.")
    return Footing(
        job=Job.from_row(row),
        run=Run(
            job_id, run_number, row["api_limit"], row["record_limit"], row["calls_reserved"], row["run_record_count"]
        ),
        configuration=row["configuration"],
        secrets=bytes(row["secrets"]),
        is_deleted=row["is_deleted"],
        is_disabled=row["is_disabled"],
        instance_created_at=row["instance_created_at"],
        blocked_until=row["blocked_until"],
        digest=row["digest"],
    )
