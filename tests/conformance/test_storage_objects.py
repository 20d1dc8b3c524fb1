"""One suite for every store: what is true of a file is true of an object in a bucket."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from app.errors import ObjectMissingError, StorageError, StorageUnavailableError
from app.storage import s3
from app.storage.azure import AzureStore
from app.storage.formats import render
from app.storage.objects import ObjectStore
from app.storage.reading import read_records
from app.storage.remote import PART_BYTES
from app.storage.s3 import S3Store
from app.storage.segments import SegmentBuilder
from tests.fixtures.azurite import azure_at
from tests.fixtures.gcs import a_name
from tests.fixtures.moto import moto_server

OPTIONS = {"region": "us-east-1", "access_key_id": "any", "secret_access_key": "any"}
LARGE = 20 * 1024 * 1024  # more than one part of a multipart upload


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[str]:
    """A bucket of its own name for each test."""
    client = admin(s3_endpoint)
    name = a_name()
    client.create_bucket(Bucket=name)
    yield name
    client.close()


def admin(endpoint: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - boto3 has no types
    return boto3.session.Session("any", "any", region_name="us-east-1").client(
        "s3", endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1})
    )


@pytest.fixture(params=["file", "s3", "s3 at its root", "gs", "gs at its root", "azure", "azure at its root"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    kind, _, rest = request.param.partition(" ")
    if kind == "file":
        return ObjectStore.from_url(f"file://{tmp_path}/root")
    prefix = "" if rest else "/some/prefix"
    if kind == "s3":
        endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
        return ObjectStore.from_url(f"s3://{bucket}{prefix}?endpoint_url={endpoint}", OPTIONS)
    make: Callable[[str], ObjectStore] = request.getfixturevalue("make_gs" if kind == "gs" else "make_azure")
    return make(prefix)


@pytest.fixture
def s3_store(s3_endpoint: str, bucket: str) -> ObjectStore:
    return ObjectStore.from_url(f"s3://{bucket}/p?endpoint_url={s3_endpoint}", OPTIONS)


def content(store: ObjectStore, key: str, offset: int = 0) -> bytes:
    with store.open(key, offset) as source:
        return source.read()


@pytest.mark.parametrize("chunks", [[], [b""], [b"one"], [b"one", b"", b"two"], [bytes(300_000)] * 3])
def test_object_is_its_chunks(store: ObjectStore, chunks: list[bytes]) -> None:
    store.put("a/b", chunks)
    assert content(store, "a/b") == b"".join(chunks)


@pytest.mark.parametrize("size", [LARGE, 2 * PART_BYTES])
def test_large_object_is_its_chunks(store: ObjectStore, size: int) -> None:
    piece = os.urandom(1024 * 1024)
    store.put("large", (piece for _ in range(size // len(piece))))
    with store.open("large") as source:
        for _ in range(size // len(piece)):
            assert source.read(len(piece)) == piece
        assert source.read(1) == b""


def test_reading_begins_at_an_offset_and_ends_where_told(store: ObjectStore) -> None:
    store.put("a", [b"0123456789"])
    assert content(store, "a", 4) == b"456789"
    assert content(store, "a", 10) == b""
    assert content(store, "a", 11) == b""
    assert store.read("a", 2, 5) == b"234"
    assert store.read("a", 3, 3) == b""


@pytest.mark.parametrize(("start", "end"), [(8, 11), (20, 21)])
def test_reading_beyond_the_end_is_an_error_that_names_the_object(store: ObjectStore, start: int, end: int) -> None:
    store.put("a/short", [b"0123456789"])
    with pytest.raises(StorageError, match="a/short"):
        store.read("a/short", start, end)


def test_missing_object_is_reported_as_missing(store: ObjectStore) -> None:
    store.put("a/b", [b"x"])
    for call in (lambda: store.open("a/c"), lambda: store.read("a/c", 0, 1), lambda: store.read("z/c", 0, 1)):
        with pytest.raises(ObjectMissingError, match="/c"):
            call()
    for key in ("a/c", "z/c"):
        with pytest.raises(ObjectMissingError, match="/c"):
            store.size(key)


@pytest.mark.parametrize("content_bytes", [0, 1, 300_000])
def test_size_is_the_bytes_of_the_object(store: ObjectStore, content_bytes: int) -> None:
    store.put("a/b", [bytes(content_bytes)])
    assert store.size("a/b") == content_bytes


def test_deleting_twice_is_fine(store: ObjectStore) -> None:
    store.put("a/b", [b"x"])
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/was")
    assert list(store.list()) == []


def test_listing_gives_the_keys_of_a_prefix_in_order(store: ObjectStore) -> None:
    keys = ["jobs/1/1/a", "jobs/1/1/b", "jobs/1/1-x", "jobs/1/10/a", "jobs/12/1/a", "other"]
    for key in keys:
        store.put(key, [b"x"])
    assert list(store.list()) == sorted(keys)
    assert list(store.list("jobs/1/")) == ["jobs/1/1-x", "jobs/1/1/a", "jobs/1/1/b", "jobs/1/10/a"]
    assert list(store.list("jobs/1/1")) == ["jobs/1/1-x", "jobs/1/1/a", "jobs/1/1/b", "jobs/1/10/a"]
    assert list(store.list("nothing/")) == []


def test_deleting_a_folder_leaves_its_neighbours(store: ObjectStore) -> None:
    for key in ("jobs/1/1/a", "jobs/1/2/a", "jobs/12/1/a", "jobs/1x"):
        store.put(key, [b"x"])
    store.delete_prefix("jobs/1/")
    store.delete_prefix("jobs/1/")
    assert list(store.list()) == ["jobs/12/1/a", "jobs/1x"]


@pytest.mark.parametrize("size", [10, LARGE])
def test_put_whose_source_fails_leaves_nothing_and_passes_the_failure_on(store: ObjectStore, size: int) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(size)
        raise OSError(28, "the source's own trouble")

    with pytest.raises(OSError, match="own trouble"):
        store.put("a/b", source())
    assert list(store.list()) == []
    with pytest.raises(ObjectMissingError):
        store.open("a/b")


def test_interrupted_put_leaves_what_was_there_before(store: ObjectStore) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(LARGE)
        raise KeyboardInterrupt

    store.put("a", [b"before"])
    with pytest.raises(KeyboardInterrupt):
        store.put("a", source())
    assert content(store, "a") == b"before"


def test_object_is_not_to_be_seen_before_it_is_complete(store: ObjectStore) -> None:
    seen: list[list[str]] = []

    def source() -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(LARGE // 2)
            seen.append(list(store.list()))

    store.put("a", source())
    assert seen == [[], [], []]
    assert list(store.list()) == ["a"]


def test_check_passes_and_leaves_nothing(store: ObjectStore) -> None:
    store.check()
    assert list(store.list()) == []


def test_many_threads_share_a_store(store: ObjectStore) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> bytes:
        start.wait(timeout=30)
        store.put(f"same/new/folder/{number}", [b"%d" % number])
        return content(store, f"same/new/folder/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [b"%d" % number for number in range(8)]


def test_segments_come_back_from_the_store(store: ObjectStore) -> None:
    builder = SegmentBuilder("deflate", flush_bytes=1000)
    records = [b'{"id":%d}' % number for number in range(1000)]
    for start in range(0, 1000, 50):
        builder.add(b"".join(record + b"\n" for record in records[start : start + 50]), 50)
    built = builder.finish()
    store.put("jobs/1/a", built.data)
    segment = built.as_segment("jobs/1/a")
    assert b"".join(render(store, [segment], "jsonl").chunks) == b"".join(record + b"\n" for record in records)
    assert read_records(store, [segment], 500, 3) == records[500:503]


def test_aborted_upload_leaves_no_parts_to_pay_for(s3_store: ObjectStore, s3_endpoint: str, bucket: str) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(LARGE)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        s3_store.put("a", source())
    client = admin(s3_endpoint)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.close()


def test_more_objects_than_one_call_takes_are_deleted(s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_DELETE_BATCH", 10)
    for number in range(25):
        s3_store.put(f"jobs/1/{number}", [])
    s3_store.delete_prefix("jobs/1/")
    assert list(s3_store.list()) == []


@pytest.fixture(params=["s3", "gs", "azure"])
def store_nowhere(request: pytest.FixtureRequest) -> ObjectStore:
    """A store in a bucket that does not exist."""
    if request.param == "azure":
        return azure_at(request.getfixturevalue("azurite"), "no-such-bucket/p")
    endpoint = (
        request.getfixturevalue("s3_endpoint") if request.param == "s3" else request.getfixturevalue("gcs").endpoint
    )
    options = OPTIONS if request.param == "s3" else {}
    return ObjectStore.from_url(f"{request.param}://no-such-bucket/p?endpoint_url={endpoint}", options)


def test_missing_bucket_is_named(store_nowhere: ObjectStore) -> None:
    calls: list[Callable[[], object]] = [
        store_nowhere.check,
        lambda: store_nowhere.open("a"),
        lambda: store_nowhere.read("a", 0, 1),
        lambda: store_nowhere.size("a"),
        lambda: store_nowhere.put("a", [bytes(LARGE)]),
        lambda: list(store_nowhere.list()),
        lambda: store_nowhere.delete_prefix("a/"),
    ]
    if isinstance(store_nowhere, S3Store):
        del calls[3]  # S3 answers a HEAD without a word
    for call in calls:
        with pytest.raises(StorageError, match="'no-such-bucket' does not exist") as caught:
            call()
        assert type(caught.value) is StorageError


_NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"s3://bucket/p?endpoint_url={_NOBODY}", OPTIONS),
        (f"gs://bucket/p?endpoint_url={_NOBODY}", {}),
        (f"azure://bucket/p?account_url={_NOBODY}/account", {"account_key": "c2VjcmV0"}),
    ],
)
def test_endpoint_that_does_not_answer_is_a_passing_fault_that_is_named(url: str, options: dict[str, str]) -> None:
    store = ObjectStore.from_url(url, options)
    for call in (lambda: store.put("a", [b"x"]), lambda: store.put("a", [bytes(LARGE)]), lambda: store.open("a")):
        with pytest.raises(StorageUnavailableError, match=r"no answer from http://127\.0\.0\.1:1") as caught:
            call()
        assert not set(options.values()) & set(str(caught.value).split())


def test_parts_that_a_killed_writer_left_in_a_bucket_are_told_and_can_be_discarded(
    s3_endpoint: str, bucket: str
) -> None:
    store = ObjectStore.from_url(f"s3://{bucket}/some?endpoint_url={s3_endpoint}", OPTIONS)
    client = admin(s3_endpoint)
    for key in ("some/uploads/1/input", "some/uploads/1/input", "some/uploads/12/input", "uploads/1/input"):
        client.create_multipart_upload(Bucket=bucket, Key=key)

    found = store.unfinished("uploads/1/")
    assert list(found.values()) == ["uploads/1/input"] * 2
    for name in found:
        store.discard(name)
        store.discard(name)

    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert {each["Key"] for each in left} == {"some/uploads/12/input", "uploads/1/input"}
    assert store.unfinished("uploads/1/") == {}


def test_blocks_that_a_killed_writer_left_in_a_container_are_told_and_can_be_discarded(
    make_azure: Callable[[str], AzureStore],
) -> None:
    store = make_azure("/some")
    store.put("uploads/1/input", [b"finished"])
    for key in ("uploads/1/input", "uploads/1/other", "uploads/12/input"):
        store._blob(store._name(key)).stage_block("0" * 32, b"half")
    assert list(store.list()) == ["uploads/1/input"], "nobody sees them"

    found = store.unfinished("uploads/1/")
    assert list(found.values()) == ["uploads/1/other"]
    for name in [*found, *found]:
        store.discard(name)

    assert store.unfinished("uploads/1/") == {}
    assert list(store.unfinished("uploads/12/")) == ["uploads/12/input"]
    assert list(store.list()) == ["uploads/1/input"]


def test_a_writer_of_blocks_whose_work_was_discarded_fails(make_azure: Callable[[str], AzureStore]) -> None:
    store = make_azure("/some")

    def source() -> Iterator[bytes]:
        yield bytes(LARGE)
        [name] = store.unfinished("uploads/1/")
        store.discard(name)
        yield bytes(LARGE)

    with pytest.raises(StorageError, match="uploads/1/input"):
        store.put("uploads/1/input", source())
    assert list(store.list()) == []


def test_a_blob_that_was_finished_is_not_discarded(make_azure: Callable[[str], AzureStore]) -> None:
    """Its writer lived after all, and was quicker."""
    store = make_azure("/some")
    store.put("uploads/1/input", [b"finished"])
    store.discard("uploads/1/input")
    assert content(store, "uploads/1/input") == b"finished"


def test_a_google_writer_that_was_killed_leaves_nothing_to_be_found(make_gs: Callable[[str], ObjectStore]) -> None:
    store = make_gs("/some")

    def source() -> Iterator[bytes]:
        yield bytes(LARGE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put("uploads/1/input", source())
    assert (list(store.list()), store.unfinished("uploads/1/")) == ([], {})


def test_a_user_who_may_not_list_parts_is_none_the_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore.from_url("s3://bucket/some?endpoint_url=http://127.0.0.1:9", OPTIONS)

    def refuse(*_: object) -> None:
        raise StorageError("refused (AccessDenied)")

    monkeypatch.setattr(store, "_s3", refuse)
    assert store.unfinished("uploads/1/") == {}
