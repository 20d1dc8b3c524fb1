"""Pushes into the very bucket of STORAGE_URL: the whole product, at servers of S3 and of Google's protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.jobs import JobStatus
from app.domain.pushes import DocsHub
from app.errors import StorageUnavailableError
from app.http_client import Headers, Response
from app.storage.destinations import gcs
from app.storage.destinations.gcs_api import GcsApi
from app.storage.destinations.s3_bucket import S3Bucket
from app.storage.formats import Compression, render
from tests.fakes.engine import Answer, Engine
from tests.fakes.memory_destination import add_destination, push
from tests.fakes.steps import Killed
from tests.fixtures.destinations.gate import HttpTrouble
from tests.fixtures.destinations.lake import Lake, lake_of, open_store
from tests.fixtures.destinations.model import Settings
from tests.fixtures.destinations.s3_moto import moto_place, moto_url  # noqa: F401 - fixtures

MIB = 1024 * 1024
PAGES = {
    "s3": [6 * MIB, MIB // 2],  # one is copied, the other sent
    "gcs": [120_000] * 6,  # of which one call takes 4 here
}
PATHS = {"s3": "out/{jobId}.jsonl", "gcs": "out/{jobId}.jsonl.gz"}
ENCODINGS = {"s3": "plain", "gcs": "deflate"}
"""Packed segments are too short for S3."""
CALLS: dict[str, tuple[Any, list[str]]] = {
    "s3": (S3Bucket, ["create_upload", "copy_part", "send_part", "part_sizes", "complete_upload", "put"]),
    "gcs": (GcsApi, ["put", "begin", "send", "compose", "delete", "rewrite"]),
}
COPYING = {"s3": "copy_part", "gcs": "compose"}


@pytest.fixture(params=["moto", "gcs"])
def gated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lake, HttpTrouble]]:
    """A bucket, and the gate through which the whole product sees it."""
    place: Any = request.getfixturevalue(f"{request.param}_place")
    monkeypatch.setattr(gcs, "PART_BYTES", 256 * 1024)
    monkeypatch.setattr("app.domain.compose_tree.MOST_SOURCES", 4)
    monkeypatch.setattr("app.storage.destinations.s3_composing.USUAL_PART_BYTES", MIB)
    monkeypatch.setattr("app.storage.destinations.s3_bucket._CLOCKS", timedelta.max)  # moto dates all uploads alike
    lake = lake_of(place)
    with HttpTrouble(place.settings.config["endpoint_url"]) as gate:
        place.settings = place.settings.with_config(endpoint_url=gate.url)
        lake.store = open_store(place.settings)
        yield lake, gate


@pytest.fixture
def lake(gated: tuple[Lake, HttpTrouble]) -> Lake:
    return gated[0]


@pytest.fixture
def gate(gated: tuple[Lake, HttpTrouble]) -> HttpTrouble:
    return gated[1]


@pytest.fixture
def place(engine: Engine, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> int:
    """An instance that leads to the bucket in which the engine's store lies."""
    kind = lake.place.settings.kind
    engine.configure(segment_encoding=ENCODINGS[kind])
    engine.ctx = replace(engine.ctx, store=lake.store)
    lead_to(monkeypatch, lake.place.settings)
    owner, names = CALLS[kind]
    for name in names:
        monkeypatch.setattr(owner, name, stepped(engine, name, getattr(owner, name)))
    return add_destination(engine, engine.tenant.organisation_id)


def lead_to(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr("app.services.destinations.open_destination", lambda _kind, _given: settings.open())


def stepped(engine: Engine, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A step before and behind each call."""

    def made(*words: Any, **options: Any) -> Any:
        engine.steps.take(f"before {name}")
        answer = call(*words, **options)
        engine.steps.take(f"after {name}")
        return answer

    return made


def page_of(number: int, size: int) -> Answer:
    body = json.dumps({"records": [{"id": number, "text": os.urandom(size // 2).hex()}]}).encode()
    return lambda request, _: Response(200, Headers(()), body, request.url, 0.0)


def fetched(engine: Engine, place: int, kind: str) -> int:
    """A job whose output is several segments, each of one page, and is yet to be pushed."""
    engine.vendor.serve(0)
    engine.vendor.script.extend(page_of(number, size) for number, size in enumerate(PAGES[kind]))
    job_id = engine.submit(docs_hub=DocsHub(place, PATHS[kind]))
    engine.leg(job_id)
    assert len(engine.segments(job_id)) == len(PAGES[kind])
    return job_id


def served(engine: Engine, job_id: int, kind: str) -> bytes:
    """What a client downloads in the form of the path."""
    packed: Compression | None = "gzip" if PATHS[kind].endswith(".gz") else None
    return b"".join(render(engine.ctx.store, engine.segments(job_id), "jsonl", packed).chunks)


def assert_pushed(engine: Engine, lake: Lake, job_id: int, *, others: int = 0) -> bytes:
    """Whole, equal to what is served, with nothing beside it; the object."""
    kind = lake.place.settings.kind
    name = lake.place.prefix + PATHS[kind].format(jobId=job_id)
    content = lake.place.read(name)
    assert content == served(engine, job_id, kind)
    assert name in lake.names()
    assert len(lake.names()) == 1 + others
    job = engine.job(job_id)
    assert (job.status, (job.push or {})["state"], (job.push or {})["bytes"]) == (
        JobStatus.COMPLETED,
        "PUSHED",
        len(content),
    )
    assert engine.one("select count(*) as n from push_remains")["n"] == 0
    return content


def bytes_to_push(engine: Engine, gate: HttpTrouble, job_id: int) -> int:
    """Make an attempt, and tell how many bytes of bodies it has sent."""
    engine.steps.arm(-1)
    gate.body_bytes = 0
    push(engine, job_id)
    return gate.body_bytes


def test_the_output_is_put_together_in_the_bucket(engine: Engine, lake: Lake, gate: HttpTrouble, place: int) -> None:
    kind = lake.place.settings.kind
    job_id = fetched(engine, place, kind)
    sent_bytes = bytes_to_push(engine, gate, job_id)
    content = assert_pushed(engine, lake, job_id)
    assert f"after {COPYING[kind]}" in engine.steps.names
    assert sent_bytes < len(content) / 10


@pytest.mark.parametrize("reason", ["forbidden", "other_bucket", "other_endpoint"])
def test_it_is_sent_where_it_cannot_be(
    engine: Engine, lake: Lake, gate: HttpTrouble, place: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The destination's own credentials may not read the segments; or these lie elsewhere."""
    kind = lake.place.settings.kind
    if reason == "forbidden":
        gate.forbid(is_copy)
    else:
        bucket = engine.ctx.store.bucket
        assert bucket is not None
        changed = {"name": "another"} if reason == "other_bucket" else {"endpoint": "https://another.example.com:443"}
        monkeypatch.setattr(engine.ctx.store, "bucket", replace(bucket, **changed))
    job_id = fetched(engine, place, kind)
    sent_bytes = bytes_to_push(engine, gate, job_id)
    content = assert_pushed(engine, lake, job_id)
    assert f"after {COPYING[kind]}" not in engine.steps.names
    assert bool(gate.refused) is (reason == "forbidden")
    assert sent_bytes >= len(content)


def is_copy(request: Any) -> bool:
    return "x-amz-copy-source" in request.headers or request.path.partition("?")[0].endswith("/compose")


def test_what_cannot_be_removed_is_not_forgotten(
    engine: Engine, lake: Lake, gate: HttpTrouble, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a refused attempt something stays, as the server fails then: the push is tried again, and tidies up first."""
    kind = lake.place.settings.kind
    gate.forbid(is_copy)
    job_id = fetched(engine, place, kind)
    owner, name = (S3Bucket, "abort_upload") if kind == "s3" else (GcsApi, "delete")
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing)
        push(engine, job_id)
    assert engine.job(job_id).status is JobStatus.RUNNING
    assert lake.names() != []
    push(engine, job_id)
    assert_pushed(engine, lake, job_id)


def failing(*_: object, **__: object) -> None:
    raise StorageUnavailableError("the server failed")


def test_a_worker_that_stops_between_two_calls_leaves_nothing(engine: Engine, lake: Lake, place: int) -> None:
    kind = lake.place.settings.kind
    job_id = fetched(engine, place, kind)
    engine.steps.arm(-1)
    push(engine, job_id, is_stopping=lambda: True)
    assert "before complete_upload" not in engine.steps.names
    assert "before rewrite" not in engine.steps.names
    assert {"after create_upload", "after compose"} & set(engine.steps.names)
    told = engine.job(job_id).push or {}
    assert (told["state"], told["attempts"], lake.names()) == ("PENDING", 0, [])
    push(engine, job_id)
    assert_pushed(engine, lake, job_id)


def test_killed_at_any_call_nothing_is_half_and_nothing_left(engine: Engine, lake: Lake, place: int) -> None:
    kind = lake.place.settings.kind
    first = fetched(engine, place, kind)
    engine.steps.arm(-1)
    push(engine, first)
    names = list(engine.steps.names)
    calls = [number for number, name in enumerate(names) if name.partition(" ")[2] in CALLS[kind][1]]
    assert len(calls) >= 10
    for done, number in enumerate(calls, 1):
        engine.steps.arm(-1)
        job_id = fetched(engine, place, kind)
        vendor_calls = engine.vendor.call_count
        engine.steps.arm(number)
        with pytest.raises(Killed):
            push(engine, job_id)
        engine.steps.arm(-1)
        push(engine, job_id)
        assert_pushed(engine, lake, job_id, others=done)
        assert engine.vendor.call_count == vendor_calls
