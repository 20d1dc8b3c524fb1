"""Manifests: what they say is what a reader of the result gets, and it is computed once."""

from __future__ import annotations

import hashlib
import json
import threading
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, islice, pairwise
from typing import Any, BinaryIO

import pytest

from app.api.manifest_schema import ManifestSchema
from app.errors import StorageError
from app.services import control, manifest, retention
from app.services.manifest import iter_digests
from app.services.results import Result, open_result
from app.storage.objects import ObjectStore
from app.storage.segments import SegmentBuilder
from tests.fakes.engine import Engine
from tests.fakes.steps import SteppedStore
from tests.fakes.upload_door import UploadDoor
from tests.fakes.upload_engine import csv_of, emails
from tests.fixtures.door import Door


def manifest_of(door: Door, job_id: int, **options: Any) -> dict[str, Any]:
    answer = door.call("GET", f"/bulk/{job_id}/manifest", **options)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = json.loads(answer.data)
    assert ManifestSchema().validate(told) == {}
    return told


# At the door ---------------------------------------------------------------------------------------------------------


def test_a_manifest_describes_the_result_that_is_read(door: Door) -> None:
    job_id = door.submit(pageSize=50)
    job = door.finish(job_id)
    result = door.call("GET", f"/bulk/{job_id}")
    told = manifest_of(door, job_id)

    assert told["segmentCount"] == len(told["segments"]) > 0
    assert (told["recordCount"], told["plainBytes"]) == (job.record_count, len(result.data))
    assert told["sha256"] == hashlib.sha256(result.data).hexdigest()
    assert told["crc32"] == f"{zlib.crc32(result.data):08x}"
    assert told["etag"] == result.headers["ETag"]
    assert told["storedBytes"] == sum(each["storedBytes"] for each in told["segments"])
    records = 0
    for index, each in enumerate(told["segments"]):
        last = each["firstByte"] + each["plainBytes"] - 1
        part = door.call("GET", f"/bulk/{job_id}", headers={"Range": f"bytes={each['firstByte']}-{last}"}).data
        assert each["index"] == index
        assert (each["firstRecord"], each["recordCount"]) == (records, part.count(b"\n"))
        assert each["sha256"] == hashlib.sha256(part).hexdigest()
        assert each["crc32"] == f"{zlib.crc32(part):08x}"
        records += each["recordCount"]
    assert manifest_of(door, job_id) == told, "from what was stored"


def test_no_key_of_ours_is_told(door: Door) -> None:
    job_id = door.submit()
    door.finish(job_id)
    text = door.call("GET", f"/bulk/{job_id}/manifest").text
    assert "jobs/" not in text
    assert "jsonl.deflate" not in text


def test_a_result_without_records_has_a_manifest(door: Door) -> None:
    job_id = door.submit(where="id = 'none'")
    door.finish(job_id)
    told = manifest_of(door, job_id)
    assert (told["segments"], told["recordCount"]) == ([], 0)
    assert told["sha256"] == hashlib.sha256(b"").hexdigest()


def test_it_is_refused_as_the_result_is(door: Door) -> None:
    job_id = door.submit()
    assert door.call("GET", f"/bulk/{job_id}/manifest").status_code == 409
    door.finish(job_id)
    for foreign in (door.globex.element,):
        answer = door.call("GET", f"/bulk/{job_id}/manifest", as_=foreign)
        assert answer.status_code == 404
        assert answer.get_json()["message"] == f"There is no bulk job {job_id}."
    assert door.call("GET", f"/bulk/{job_id}/manifest", headers={"Accept": "text/csv"}).status_code == 406
    door.call("DELETE", f"/bulk/{job_id}")
    assert door.call("GET", f"/bulk/{job_id}/manifest").status_code == 410


def test_an_upload_has_none(uploads: UploadDoor) -> None:
    job_id = uploads.ended(csv_of(emails(2)))
    assert uploads.call("GET", f"/bulk/{job_id}/manifest").status_code == 400


def test_who_has_it_already_and_who_asks_for_its_head_cost_nothing(door: Door) -> None:
    job_id = door.submit()
    door.finish(job_id)
    head = door.call("HEAD", f"/bulk/{job_id}/manifest")
    assert (head.status_code, head.data) == (200, b"")
    again = door.call("GET", f"/bulk/{job_id}/manifest", headers={"If-None-Match": head.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    with door.ctx.db.connection() as conn:
        assert conn.execute("select 1 from segments where sha256 is not null").fetchall() == []


def test_an_object_of_this_name_is_read_by_it(door: Door) -> None:
    """As it was before there were manifests."""
    job_id = door.submit()
    door.finish(job_id)
    door.execute("update jobs set object_name = 'manifest' where id = %s", job_id)
    assert door.call("GET", f"/bulk/{job_id}/manifest").data == door.call("GET", f"/bulk/{job_id}").data


def test_a_damaged_segment_breaks_the_manifest_off(door: Door) -> None:
    job_id = door.submit()
    door.finish(job_id)
    door.execute("update segments set crc32 = crc32 + 1 where job_id = %s", job_id)
    assert door.call("GET", f"/bulk/{job_id}/manifest").status_code == 500
    with door.ctx.db.connection() as conn:
        assert conn.execute("select 1 from runs where sha256 is not null").fetchall() == []


# Computed once -------------------------------------------------------------------------------------------------------


class Counting(SteppedStore):
    """Counts how often each object is read."""

    def __init__(self, inner: ObjectStore, engine: Engine) -> None:
        super().__init__(inner, engine.steps)
        self.opened: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        self.opened[key] += 1
        assert self.gate.wait(30)
        return super().open(key, offset)


@pytest.fixture
def counting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(manifest, "_PAUSE_S", 0.005)
    monkeypatch.setattr(manifest, "_SAVE_EVERY_S", 0.0)
    store = Counting(engine.ctx.store, engine)
    engine.ctx = replace(engine.ctx, store=store, db=engine.plain_db)
    return store


def finished(engine: Engine, count: int = 95) -> Result:
    """A result of many segments."""
    engine.vendor.serve(count)
    job_id = engine.submit()
    for _ in range(4):
        engine.make_due(job_id)
        engine.leg(job_id, is_stopping=engine.after_calls(2))
    engine.run(job_id)
    result = open_result(engine.ctx, engine.tenant.caller, job_id)
    assert len(result.segments) > 4
    return result


def expected(engine: Engine, result: Result) -> list[bytes]:
    whole = engine.output(result.job.id)
    ends = list(accumulate(segment.plain_bytes for segment in result.segments))
    parts = [whole[start:end] for start, end in pairwise([0, *ends])]
    return [hashlib.sha256(part).digest() for part in [*parts, whole]]


def digests(engine: Engine, result: Result) -> list[bytes]:
    return [each for each in iter_digests(engine.ctx, result) if each is not None]


def test_several_readers_at_once_compute_once_and_are_told_the_same(engine: Engine, counting: Counting) -> None:
    result = finished(engine)
    wanted = expected(engine, result)
    counting.opened.clear()
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: digests(engine, result), range(6)))
    assert told == [wanted] * 6
    assert set(counting.opened.values()) == {1}
    assert digests(engine, result) == wanted
    assert set(counting.opened.values()) == {1}, "later ones read what is stored"


def test_a_reader_who_leaves_lets_the_next_one_go_on(engine: Engine, counting: Counting) -> None:
    result = finished(engine)
    wanted = expected(engine, result)
    counting.opened.clear()
    first = iter_digests(engine.ctx, result)
    assert [next(first), next(first)] == wanted[:2]
    first.close()
    assert digests(engine, result) == wanted
    assert max(counting.opened.values()) == 2


def test_a_reader_who_dies_is_replaced_when_its_lease_is_over(engine: Engine, counting: Counting) -> None:
    result = finished(engine)
    engine.execute("update runs set digest_until = now() + interval '30 s'")
    counting.opened.clear()
    waiting = iter_digests(engine.ctx, result)
    assert [next(waiting) for _ in range(3)] == [None] * 3, "somebody else is at it"
    assert counting.opened == Counter()
    engine.execute("update runs set digest_until = now() - interval '1 s'")
    assert [each for each in waiting if each is not None] == expected(engine, result)


def test_who_waits_is_given_what_is_there_so_far(engine: Engine, counting: Counting) -> None:
    result = finished(engine)
    wanted = expected(engine, result)
    first, second = iter_digests(engine.ctx, result), iter_digests(engine.ctx, result)
    assert [next(first) for _ in range(3)] == wanted[:3]
    told = [next(second) for _ in range(2)]
    assert told == wanted[:2], "what is stored; the newest is not yet"
    assert next(second) is None
    assert list(first) == wanted[3:]
    assert [each for each in second if each is not None] == wanted[2:]


def test_who_reads_while_the_files_expire_comes_to_an_end(engine: Engine, counting: Counting) -> None:
    """Nobody can store what it waits for: digests stand in rows that have gone."""
    result = finished(engine)
    wanted = expected(engine, result)
    assert digests(engine, result) == wanted
    engine.execute("update jobs set files_expire_at = now() where id = %s", result.job.id)
    assert retention.sweep_files(engine.ctx) == 1
    assert list(islice(filter(None, iter_digests(engine.ctx, result)), len(wanted))) == wanted


def test_a_new_revision_has_its_own_whole_and_reads_no_digest_of_the_old(engine: Engine, counting: Counting) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit(limit=20)
    engine.run(job_id)
    caller = engine.tenant.caller
    old = open_result(engine.ctx, caller, job_id)
    wanted = expected(engine, old)
    assert digests(engine, old) == wanted
    control.restart(engine.ctx, caller, job_id)
    engine.run(job_id)
    new = open_result(engine.ctx, caller, job_id)
    assert digests(engine, new) == expected(engine, new)
    assert digests(engine, old) == wanted


def test_a_store_that_fails_lets_go(engine: Engine, counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    result = finished(engine)
    with monkeypatch.context() as patch:

        def fail(_key: str, _offset: int = 0) -> BinaryIO:
            raise StorageError("gone")

        patch.setattr(counting, "open", fail)
        with pytest.raises(StorageError):
            digests(engine, result)
    assert digests(engine, result) == expected(engine, result)


def test_memory_does_not_grow_with_the_result(engine: Engine, counting: Counting) -> None:
    result = finished(engine)
    builder = SegmentBuilder("deflate")
    line = b'{"id":%d,"text":"' + b"x" * 1000 + b'"}\n'
    block = b"".join(line % number for number in range(1000))
    while not builder.is_full:
        builder.add(block, 1000)
    built = builder.finish()

    def planted(count: int) -> Iterator[Any]:
        for number in range(count):
            key = f"jobs/{result.job.id}/1/1/{number + 1000:08d}-1-planted.jsonl.deflate"
            engine.ctx.store.put(key, built.data)
            yield built.as_segment(key)

    large = replace(result, segments=list(planted(12)))
    assert sum(segment.plain_bytes for segment in large.segments) > 90_000_000
    tracemalloc.start()
    try:
        assert len(digests(engine, large)) == 13
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
