"""What a leg needs to know: the job, its budgets, and a vendor client with fresh credentials."""

from __future__ import annotations

from dataclasses import dataclass

from app.connectors.client import VendorClient
from app.db import connectors, instances, jobs, runs
from app.db.jobs import Job
from app.db.runs import Run
from app.db.slices import Claim
from app.domain.criteria import DownloadCriteria
from app.errors import HaulageError, NotFoundError
from app.services.context import Context
from app.services.elements import connector_of


class InstanceGoneError(HaulageError):
    """The job's instance was deleted or disabled."""


@dataclass
class Plan:
    """Loaded at the start of each leg."""

    job: Job
    run: Run
    query: dict[str, str]
    client: VendorClient

    def reload_credentials(self, ctx: Context) -> None:
        """Read the instance once more: somebody may have renewed its credentials while this leg ran.

        Raises InstanceGoneError, DatabaseUnavailableError.
        """
        self.client = _client(ctx, self.job)


def load_plan(ctx: Context, claim: Claim) -> Plan:
    """Raises InstanceGoneError, ConfigError, DatabaseUnavailableError."""
    with ctx.db.connection() as conn:
        job = jobs.get_for_worker(conn, claim.job_id)
        run = runs.get(conn, claim.job_id, claim.run_number)
    criteria = DownloadCriteria.from_echo(job.criteria)
    return Plan(job, run, criteria.query, _client(ctx, job))


def _client(ctx: Context, job: Job) -> VendorClient:
    with ctx.db.connection() as conn:
        try:
            instance = instances.get(conn, job.organisation_id, job.instance_id)
        except NotFoundError as error:
            raise InstanceGoneError("The instance of this job was deleted.") from error
        if instance.disabled_at is not None:
            raise InstanceGoneError("The instance of this job is disabled.")
        revision = connectors.get_revision(conn, job.connector_revision_id)
    secrets = ctx.vault.open(job.organisation_id, instance.id, instance.secrets)
    return VendorClient(
        connector_of(revision.id, revision.digest, revision.document),
        job.object_name,
        instance.configuration,
        secrets,
        ctx.http,
    )
