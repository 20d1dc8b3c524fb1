"""The engine on a real database and real files, with a vendor in memory and no broker: tests are its workers."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from app.addresses import AddressPolicy
from app.config import Settings
from app.connectors.spec import digest
from app.connectors.throttle import Throttle
from app.db import connectors, instances, jobs, organisations, segments
from app.db.instances import NewInstance
from app.db.jobs import Job
from app.db.pool import Database, Row
from app.domain.criteria import DownloadCriteria
from app.domain.segments import Segment
from app.enqueue import Enqueuer, QueueName, TaskName
from app.errors import BrokerUnavailableError
from app.http_client import Beat, Headers, HttpClient, Kind, Request, Response, TransportError
from app.secrets import Vault, generate_encryption_key
from app.services.context import Caller, Context
from app.services.download import run_leg
from app.services.submit import submit_download
from app.storage.objects import ObjectStore
from app.storage.reading import iter_plain
from tests.fakes.list_vendor import ListVendor, document
from tests.fakes.rows import Rows
from tests.fakes.sending import Deferred, Unread
from tests.fakes.steps import SteppedDatabase, SteppedStore, Steps

Answer = Callable[[Request, Beat | None], Response]
SETTINGS = Settings(
    encryption_keys=(generate_encryption_key(),),
    id_key="test",
    leg_s=600.0,
    checkpoint_s=0.0,  # every page is committed
    page_size=10,
    storage_url="file:///unused",
    segment_encoding="plain",
)


class Vendor(Deferred):
    """Answers from `script` while it lasts, then serves records 1 to `listing.count`. `call_count` is its own log."""

    def __init__(self, steps: Steps) -> None:
        self.policy = AddressPolicy.parse("http://127.0.0.0/8")
        self.listing = ListVendor(25)
        self.script: deque[Answer] = deque()
        self.call_count = 0
        self._steps = steps

    def serve(self, count: int, **habits: Any) -> None:
        """A new list of so many records, and an empty log."""
        self.listing = ListVendor(count, **habits)
        self.script.clear()
        self.call_count = 0

    def start(self, request: Request) -> Unread:
        self._steps.take("before call")
        self.call_count += 1
        return super().start(request)

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        answer = self.script.popleft() if self.script else self.listing.request
        response = answer(request, beat)
        self._steps.take("after call")
        return response

    def lines(self, first: int = 1, last: int | None = None) -> bytes:
        """Records `first` to `last` as JSON Lines."""
        numbers = range(first, (self.listing.count if last is None else last) + 1)
        return b"".join(json.dumps({"id": number}).encode() + b"\n" for number in numbers)


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """Answers with a status."""
    return lambda request, _: Response(code, Headers(tuple((headers or {}).items())), body, request.url, 0.0)


def broken(kind: Kind) -> Answer:
    """No whole answer comes."""

    def answer(request: Request, _: Beat | None) -> Response:
        raise TransportError(kind, f"{kind} at the vendor")

    return answer


def doing(action: Callable[[], object], vendor: Vendor) -> Answer:
    """Something happens while the call is under way; then the list is served."""

    def answer(request: Request, beat: Beat | None) -> Response:
        action()
        return vendor.listing.request(request, beat)

    return answer


class Hints(Enqueuer):
    """Remembers hints instead of sending them. While `is_down`, it is a broker that does not answer."""

    def __init__(self) -> None:
        self.sent: list[tuple[TaskName, int]] = []
        self.is_down = False
        self.queued: dict[QueueName, int] = {}
        """What `depth` answers."""
        self.fails_after: int | None = None
        """The broker dies after so many more hints."""

    def send(self, task: TaskName, row_id: int) -> None:
        if self.fails_after is not None and len(self.sent) >= self.fails_after:
            self.is_down = True
        if self.is_down:
            raise BrokerUnavailableError("The broker does not answer.")
        self.sent.append((task, row_id))

    def depth(self, queue: QueueName) -> int:
        if self.is_down:
            raise BrokerUnavailableError("The broker does not answer.")
        return self.queued.get(queue, 0)

    def take(self) -> list[tuple[TaskName, int]]:
        """The hints since the last `take`."""
        taken, self.sent = self.sent, []
        return taken


@dataclass(frozen=True)
class Tenant:
    """One organisation with one instance."""

    organisation_id: int
    instance_id: int

    @property
    def caller(self) -> Caller:
        return Caller(self.organisation_id, None, self.instance_id)


@dataclass
class Engine(Rows):
    """A world for services. `tenant` is the one whose jobs `submit` makes unless told otherwise."""

    ctx: Context
    plain_db: Database
    """Not stepped: for the test's own looks and strokes."""
    steps: Steps
    vendor: Vendor
    hints: Hints
    tenant: Tenant = field(init=False)
    _tenant_count: int = 0

    def __post_init__(self) -> None:
        self.tenant = self.add_tenant()

    @property
    def db(self) -> Database:
        return self.plain_db

    @classmethod
    def make(cls, database_url: str, folder: Path, throttle: Throttle | None = None, **settings: Any) -> Engine:
        """`throttle`: by default one whose Redis nobody answers for."""
        steps = Steps()
        vendor, hints = Vendor(steps), Hints()
        db, plain_db = SteppedDatabase(database_url, steps), Database(database_url, max_size=8)
        db.open()
        plain_db.open()
        chosen = replace(SETTINGS, database_url=database_url, **settings)
        ctx = Context(
            settings=chosen,
            db=db,
            store=SteppedStore(ObjectStore.from_url(folder.as_uri()), steps),
            http=cast("HttpClient", vendor),
            addresses=vendor.policy,
            vault=Vault(chosen.encryption_keys),
            enqueuer=hints,
            throttle=throttle or Throttle("redis://127.0.0.1:1/0"),
            now=lambda: datetime.now(UTC),
        )
        return cls(ctx, plain_db, steps, vendor, hints)

    def close(self) -> None:
        self.ctx.db.close()
        self.plain_db.close()

    def configure(self, **settings: Any) -> None:
        """Change settings for everything that follows."""
        self.ctx = replace(self.ctx, settings=replace(self.ctx.settings, **settings))

    # Who and what ----------------------------------------------------------------------------------------------------

    def add_tenant(self, kind: str = "page", **overrides: Any) -> Tenant:
        """An organisation with a connector of page kind `kind` and an instance of it."""
        return self.add_tenant_of(document(kind, **overrides))

    def add_tenant_of(self, connector: dict[str, Any], **configuration: str) -> Tenant:
        """An organisation with a connector of its own and an instance of it."""
        self._tenant_count += 1
        with self.plain_db.transaction() as conn:
            organisation = organisations.insert(conn, f"organisation {self._tenant_count}", id_key="test")
            connectors.insert(conn, organisation.id, "vendor", connector, digest(connector), id_key="test")
        return Tenant(organisation.id, self.add_instance(organisation.id, **configuration))

    def add_instance(self, organisation_id: int, **configuration: str) -> int:
        """One more instance of the organisation's connector."""
        with self.plain_db.transaction() as conn:
            connector = connectors.get(conn, organisation_id, "vendor")
            instance_id = instances.next_id(conn, id_key="test")
            token_hash = f"hash {instance_id}".encode()
            sealed = self.ctx.vault.seal(organisation_id, instance_id, {"password": "any"})
            new = NewInstance(
                instance_id,
                organisation_id,
                connector.id,
                "mine",
                [],
                configuration,
                sealed,
                token_hash,
                token_hint="hint",
            )
            instances.insert(conn, new)
        return instance_id

    def submit(self, tenant: Tenant | None = None, **criteria: Any) -> int:
        """A job in state CREATED; its id."""
        asked = DownloadCriteria(**{"object_name": "records", **criteria})
        return submit_download(self.ctx, (tenant or self.tenant).caller, asked).job_id

    # Hands -----------------------------------------------------------------------------------------------------------

    def slice_of(self, job_id: int) -> int:
        """The slice of the job's newest run."""
        return int(self.one("select id from slices where job_id = %s order by run_number desc limit 1", job_id)["id"])

    def leg(self, job_id: int, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """One leg, as a worker would make it."""
        run_leg(self.ctx, self.slice_of(job_id), worker_id=1, is_stopping=is_stopping)

    def trace(self, job_id: int, *, is_stopping: Callable[[], bool] = lambda: False) -> list[str]:
        """The names of the steps of one leg."""
        self.steps.arm(-1)
        self.leg(job_id, is_stopping=is_stopping)
        return list(self.steps.names)

    def run(self, job_id: int, *, pages_per_leg: int | None = None, legs: int = 200) -> Job:
        """Legs, one after another, whatever they wait for, until the job has ended."""
        for _ in range(legs):
            self.make_due(job_id)
            self.leg(job_id, is_stopping=self.after_calls(pages_per_leg))
            if self.job(job_id).status.is_terminal:
                return self.job(job_id)
        raise AssertionError(f"job {job_id} has not ended after {legs} legs: {self.job(job_id)}")

    def after_calls(self, count: int | None) -> Callable[[], bool]:
        """A stop flag that goes up when the vendor has answered `count` more calls (None: never)."""
        begun = self.vendor.call_count
        return lambda: count is not None and self.vendor.call_count >= begun + count

    def lose_holder(self, job_id: int) -> None:
        """Nothing was heard of the holder for as long as its lease lasted."""
        self.execute(
            "update slices set lease_expires_at = now() where job_id = %s and lease_expires_at is not null", job_id
        )

    def make_due(self, job_id: int) -> None:
        """The wait is over, the vendor's too."""
        self.ctx.throttle.unblock()
        self.execute("update instances set blocked_until = null where blocked_until is not null")
        self.execute("update slices set next_run_at = now() where job_id = %s and next_run_at is not null", job_id)

    # Looks -----------------------------------------------------------------------------------------------------------

    def job(self, job_id: int) -> Job:
        with self.plain_db.connection() as conn:
            return jobs.get_for_worker(conn, job_id)

    def slice(self, job_id: int) -> Row:
        """The row of the newest run's slice."""
        return self.one("select * from slices where job_id = %s order by run_number desc limit 1", job_id)

    def segments(self, job_id: int) -> list[Segment]:
        with self.plain_db.connection() as conn:
            return segments.find_result(conn, job_id, 2**31 - 1)

    def output(self, job_id: int) -> bytes:
        """Everything that is committed, checked against its rows."""
        return b"".join(iter_plain(self.ctx.store, self.segments(job_id)))

    def objects(self, job_id: int) -> set[str]:
        return set(self.ctx.store.list(f"jobs/{job_id}/"))

    def orphans(self, job_id: int) -> set[str]:
        """Objects that do not count."""
        return self.objects(job_id) - {segment.object_key for segment in self.segments(job_id)}


def assert_exact(engine: Engine, job_id: int, *, first: int = 1, last: int | None = None) -> None:
    """Records `first` to `last` (None: the vendor's last) stand in the result once, in order, and all counts agree."""
    expected = engine.vendor.lines(first, last)
    assert engine.output(job_id) == expected
    job, rows = engine.job(job_id), engine.segments(job_id)
    assert job.record_count == expected.count(b"\n") == sum(row.record_count for row in rows)
    assert job.plain_bytes == len(expected) == sum(row.plain_bytes for row in rows)
    runs = engine.one("select sum(record_count)::int as records from runs where job_id = %s", job_id)
    assert runs["records"] == job.record_count
    assert_contiguous(engine.rows("select run_number, sequence from segments where job_id = %s", job_id))


def assert_contiguous(rows: Iterable[Row]) -> None:
    """The sequence of each run begins at 0 and has no gap."""
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["run_number"], []).append(row["sequence"])
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in found.values())
