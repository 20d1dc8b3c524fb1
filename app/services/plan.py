"""What a leg needs to know: the job, its budgets, and a vendor client with fresh credentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from app.connectors.children import ChildLink, find_child
from app.connectors.client import VendorClient
from app.connectors.model import Connector
from app.connectors.objects import find_object, planned_page_size
from app.db import plans
from app.db.jobs import Job
from app.db.plans import Footing
from app.db.pool import Connection
from app.db.runs import Run
from app.db.slices import Claim
from app.domain.criteria import DownloadCriteria, child_from
from app.domain.nesting import Naming
from app.domain.selection import Record, Selected, Selection
from app.domain.slicing import SliceSelection
from app.errors import HaulageError
from app.services.context import Context
from app.services.elements import pinned_connector
from app.services.lease import Lease
from app.services.overlap import Overlap, load_overlap
from app.services.selecting import needed_fields, selection_of, without_choice, without_cutting
from app.services.slicing import query_of, slice_selection
from app.services.vendor_budget import VendorBudget


class InstanceGoneError(HaulageError):
    """The job's instance was deleted or disabled."""


@dataclass
class ChildPlan:
    """How the children of records are found, and what is done to records that have theirs."""

    name: str
    client: VendorClient
    naming: Naming
    page_size: int
    cutting: Selection | None

    def joined(self, items: Sequence[Record]) -> bytes | None:
        """What stands in a record for these children."""
        if self.naming.is_list:
            return b"[" + b",".join(items) + b"]"
        return bytes(items[0]) if items else None

    def cut(self, records: Sequence[bytes]) -> Sequence[Record]:
        """The fields that the criteria choose, of children too."""
        return records if self.cutting is None else self.cutting.apply(records).records


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
    """What is done to records, before they get their children; None where they stay as they are."""
    child: ChildPlan | None = None
    overlap: Overlap | None = None
    """What is left out since jobs before this one delivered it; None where no account is kept of that."""

    @property
    def is_choosy(self) -> bool:
        """Whether a page may give fewer records than it holds."""
        return self.selection is not None or self.overlap is not None or self.client.is_dropped is not None

    def select(self, records: Sequence[Record], room: int | None) -> Selected:
        """What the criteria leave of these records, at most `room` of them. Raises as Lease.persist where it asks."""
        choose = self._choose if self.client.is_dropped is None else self._choose_living
        chosen = choose(records, room) if self.overlap is None else self.overlap.choose(records, room, choose)
        return chosen if self.selection is None else structs.replace(chosen, records=self.selection.cut(chosen.records))

    def _choose_living(self, records: Sequence[Record], room: int | None) -> Selected:
        """What the criteria leave of those that are not deleted; of the others nothing is asked."""
        is_dropped = self.client.is_dropped
        living = [at for at, record in enumerate(records) if is_dropped is None or not is_dropped(record)]
        chosen = self._choose([records[at] for at in living], room)
        consumed = len(records) if chosen.consumed == len(living) else living[chosen.consumed]
        return structs.replace(chosen, consumed=consumed, deleted=consumed - chosen.consumed)

    def _choose(self, records: Sequence[Record], room: int | None) -> Selected:
        if self.selection is not None:
            return self.selection.choose(records, room)
        taken = records if room is None or room >= len(records) else records[:room]
        return Selected(taken, len(taken), 0, 0)

    def reload_credentials(self, ctx: Context, conn: Connection) -> None:
        """Read the instance once more: somebody may have renewed its credentials while this leg ran.

        Raises InstanceGoneError, DatabaseUnavailableError.
        """
        fresh = load_clients(ctx, conn, plans.find(conn, self.job.id, self.run.number), self.budget)
        self.client = fresh.client
        if self.child is not None and fresh.child is not None:
            self.child.client = fresh.child


def load_plan(ctx: Context, conn: Connection, claim: Claim, lease: Lease) -> Plan:
    """Raises InstanceGoneError, ConfigError, DatabaseUnavailableError."""
    found = plans.find(conn, claim.job_id, claim.run_number)
    budget = VendorBudget(ctx, pinned_connector(conn, found.job.connector_revision_id, found.digest), found)
    clients = load_clients(ctx, conn, found, budget)
    criteria = DownloadCriteria.from_echo(found.job.criteria)
    told = found.job.pushed["params"] if found.job.pushed else {}
    client = clients.client
    query = client.field_params(needed_fields(criteria)) | told | query_of(client.listed, criteria, claim.span)
    child = _child_plan(ctx, criteria, clients)
    chosen = criteria if child is None else without_cutting(criteria)
    overlap = load_overlap(conn, found.job, criteria, client, lease, ctx.now)
    return Plan(found.job, found.run, query, client, budget, slice_selection(chosen, claim.span), child, overlap)


def _child_plan(ctx: Context, criteria: DownloadCriteria, clients: Clients) -> ChildPlan | None:
    if criteria.child is None or clients.child is None or clients.link is None:
        return None
    size = planned_page_size(clients.link.spec, None, default=ctx.settings.page_size)
    cutting = selection_of(without_choice(criteria))
    return ChildPlan(criteria.child.object_name, clients.child, clients.link.naming, size, cutting)


@dataclass(frozen=True)
class Clients:
    """Of the job's object, and of its child where it has one."""

    client: VendorClient
    child: VendorClient | None = None
    link: ChildLink | None = None


def open_instance(ctx: Context, conn: Connection, found: Footing) -> tuple[Connector, dict[str, str]]:
    """The connector that the job pinned, and the instance's secrets. Raises InstanceGoneError, ConfigError."""
    if found.is_deleted:
        raise InstanceGoneError("The instance of this job was deleted.")
    if found.is_disabled:
        raise InstanceGoneError("The instance of this job is disabled.")
    job = found.job
    connector = pinned_connector(conn, job.connector_revision_id, found.digest)
    return connector, ctx.vault.open(job.organisation_id, job.instance_id, found.secrets)


def load_clients(ctx: Context, conn: Connection, found: Footing, budget: VendorBudget) -> Clients:
    """With credentials as they are now. Raises InstanceGoneError, ConfigError."""
    job, (connector, secrets) = found.job, open_instance(ctx, conn, found)
    client = VendorClient(connector, job.object_name, found.configuration, secrets, budget)
    wanted = child_from(job.criteria.get("child"))
    if wanted is None:
        return Clients(client)
    link = find_child(connector, find_object(connector, job.object_name), wanted.object_name, wanted.key_field)
    child = VendorClient(connector, wanted.object_name, found.configuration, secrets, budget, spec=link.spec)
    return Clients(client, child, link)
