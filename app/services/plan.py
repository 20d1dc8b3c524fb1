"""What a leg needs to know: the job, its budgets, and a vendor client with fresh credentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.connectors.client import VendorClient
from app.db import plans
from app.db.jobs import Job
from app.db.plans import Footing
from app.db.pool import Connection
from app.db.runs import Run
from app.db.slices import Claim
from app.domain.criteria import DownloadCriteria
from app.domain.selection import Record, Selected, Selection
from app.domain.slicing import SliceSelection
from app.errors import HaulageError
from app.services.context import Context
from app.services.elements import pinned_connector
from app.services.lease import Lease
from app.services.overlap import Overlap, load_overlap
from app.services.selecting import needed_fields
from app.services.slicing import query_of, slice_selection
from app.services.vendor_budget import VendorBudget


class InstanceGoneError(HaulageError):
    """The job's instance was deleted or disabled."""


@dataclass
class Plan:
    """Loaded at the start of each leg."""

    job: Job
    run: Run
    query: dict[str, str]
    client: VendorClient
    budget: VendorBudget
    """What the client sends through."""
    selection: Selection | SliceSelection | None = None
    """What is done to records; None where they stay as they are."""
    overlap: Overlap | None = None
    """What is left out since jobs before this one delivered it; None where no account is kept of that."""

    @property
    def is_choosy(self) -> bool:
        """Whether a page may give fewer records than it holds."""
        return self.selection is not None or self.overlap is not None

    def select(self, records: Sequence[Record], room: int | None) -> Selected:
        """What the criteria leave of these records, at most `room` of them. Raises as Lease.persist where it asks."""
        if self.overlap is not None:
            chosen = self.overlap.choose(records, room, self._choose)
            return chosen if self.selection is None else replace(chosen, records=self.selection.cut(chosen.records))
        return self._choose(records, room) if self.selection is None else self.selection.apply(records, room)

    def _choose(self, records: Sequence[Record], room: int | None) -> Selected:
        if self.selection is not None:
            return self.selection.choose(records, room)
        taken = records if room is None or room >= len(records) else records[:room]
        return Selected(taken, len(taken), 0, 0)

    def reload_credentials(self, ctx: Context, conn: Connection) -> None:
        """Read the instance once more: somebody may have renewed its credentials while this leg ran.

        Raises InstanceGoneError, DatabaseUnavailableError.
        """
        self.client = _client(ctx, conn, plans.find(conn, self.job.id, self.run.number), self.budget)


def load_plan(ctx: Context, conn: Connection, claim: Claim, lease: Lease) -> Plan:
    """Raises InstanceGoneError, ConfigError, DatabaseUnavailableError."""
    found = plans.find(conn, claim.job_id, claim.run_number)
    budget = VendorBudget(ctx, pinned_connector(conn, found.job.connector_revision_id, found.digest), found)
    client = _client(ctx, conn, found, budget)
    criteria = DownloadCriteria.from_echo(found.job.criteria)
    told = found.job.pushed["params"] if found.job.pushed else {}
    query = client.field_params(needed_fields(criteria)) | told | query_of(client.listed, criteria, claim.span)
    overlap = load_overlap(conn, found.job, criteria, client, lease, ctx.now)
    selection = slice_selection(criteria, claim.span)
    return Plan(found.job, found.run, query, client, budget, selection, overlap)


def _client(ctx: Context, conn: Connection, found: Footing, budget: VendorBudget) -> VendorClient:
    if found.is_deleted:
        raise InstanceGoneError("The instance of this job was deleted.")
    if found.is_disabled:
        raise InstanceGoneError("The instance of this job is disabled.")
    job = found.job
    return VendorClient(
        pinned_connector(conn, job.connector_revision_id, found.digest),
        job.object_name,
        found.configuration,
        ctx.vault.open(job.organisation_id, job.instance_id, found.secrets),
        budget,
    )
