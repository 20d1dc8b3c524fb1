"""A destination in memory, with a step before and after each thing that it does, and faults to order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.connectors.spec import digest
from app.db import connectors, instances
from app.db.instances import NewInstance
from app.errors import NotFoundError
from app.services.push import push_output
from app.storage.destinations.model import Destination, Note, ReplacedMeanwhileError, Writing
from tests.fakes.engine import Engine
from tests.fakes.steps import Steps

DOCUMENT = {"format": 1, "key": "memory", "hub": "documents", "destination": "file", "config": {"folder": {}}}


@dataclass
class Shelf:
    """What is at the place: whole objects with a version each, and what writers have half written."""

    steps: Steps
    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    unfinished: dict[tuple[str, str], bytes] = field(default_factory=dict)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    faults: list[tuple[str, Exception]] = field(default_factory=list)
    """(what, error): raised, once each and in order, when that is done next."""
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens, once, just before that is done."""

    def act(self, what: str) -> None:
        self.steps.take(f"before {what}")
        if (happening := self.before.pop(what, None)) is not None:
            happening()
        if self.faults and self.faults[0][0] == what:
            raise self.faults.pop(0)[1]

    def content(self, path: str) -> bytes | None:
        return self.objects[path][1] if path in self.objects else None


class MemoryDestination(Destination):
    place = "memory"

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def check(self) -> None:
        self._shelf.act("check")

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:
        self._shelf.act("begin")
        note(f"upload of {nonce}")
        self._shelf.unfinished[path, nonce] = b""
        return MemoryWriting(self._shelf, path, nonce, most_bytes)

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:
        self._shelf.act("discard")
        assert set(notes) <= {f"upload of {nonce}"}
        self._shelf.unfinished.pop((path, nonce), None)


class MemoryWriting(Writing):
    def __init__(self, shelf: Shelf, path: str, nonce: str, most_bytes: int) -> None:
        self._shelf, self._key, self._most_bytes = shelf, (path, nonce), most_bytes
        self._held = b""

    def write(self, chunk: bytes) -> None:
        """Half of it goes at once, the rest with the end, as some places want it."""
        self._shelf.act("write")
        self._shelf.unfinished[self._key] += self._held + chunk[: len(chunk) // 2]
        self._held = chunk[len(chunk) // 2 :]

    def finish(self) -> Iterator[int]:
        self._shelf.act("finish")
        self._shelf.unfinished[self._key] += self._held
        yield len(self._held)

    def state(self) -> Any:
        self._shelf.act("state")
        return self._shelf.objects.get(self._key[0], (0, b""))[0]

    def publish(self, state: Any) -> None:
        self._shelf.act("publish")
        path, content = self._key[0], self._shelf.unfinished[self._key]
        version = self._shelf.objects.get(path, (0, b""))[0]
        if version != state:
            raise ReplacedMeanwhileError("it is another one by now")
        assert len(content) <= self._most_bytes
        self._shelf.objects[path] = (version + 1, content)
        self._shelf.published.append((path, content))
        del self._shelf.unfinished[self._key]
        self._shelf.steps.take("after publish")

    def abandon(self) -> None:
        self._shelf.steps.take("before abandon")
        self._shelf.unfinished.pop(self._key, None)


def add_destination(engine: Engine, organisation_id: int) -> int:
    """An instance of a documents connector in this organisation; its id."""
    with engine.plain_db.transaction() as conn:
        try:
            stored = connectors.get(conn, organisation_id, "memory")
        except NotFoundError:
            connectors.insert(conn, organisation_id, "memory", DOCUMENT, digest(DOCUMENT), id_key="test")
            stored = connectors.get(conn, organisation_id, "memory")
        instance_id = instances.next_id(conn, id_key="test")
        sealed = engine.ctx.vault.seal(organisation_id, instance_id, {})
        new = NewInstance(
            instance_id, organisation_id, stored.id, "bucket", [], {}, sealed, f"h {instance_id}".encode(), "hint"
        )
        instances.insert(conn, new)
    return instance_id


def push(engine: Engine, job_id: int, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """One attempt, as a worker would make it, as soon as it is due."""
    engine.execute(
        "update pushes set next_attempt_at = now(), lease_expires_at = case when lease_expires_at is not null"
        " then now() end where job_id = %s and next_attempt_at is not null",
        job_id,
    )
    row = engine.one("select id from pushes where job_id = %s order by run_number desc limit 1", job_id)
    push_output(engine.ctx, row["id"], worker_id=1, is_stopping=is_stopping)
