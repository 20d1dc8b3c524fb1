"""What is particular to S3 and needs no server: translated answers, connections that break, forks."""

import io
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from urllib3.exceptions import ProtocolError

from app.errors import ObjectMissingError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.s3 import S3Place, S3Store


def answer(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


class StandIn:
    """A client whose calls give out, one after another, what it was made with; errors are raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    def put_object(self, **options: Any) -> Any:
        self.calls.append(options)
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    get_object = delete_object = delete_objects = put_object


class Breaking(io.BytesIO):
    """A body whose connection breaks after so many bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise ProtocolError("connection broken")
        return data


def store_with(*answers: Any) -> tuple[S3Store, StandIn]:
    store = S3Store(S3Place("bucket", "p/", endpoint_url="http://127.0.0.1:9"))
    client = StandIn(*answers)
    store._client, store._client_pid = client, os.getpid()
    return store, client


@pytest.mark.parametrize(
    ("fault", "expected", "message"),
    [
        (answer("NoSuchBucket", 404), StorageError, "bucket 'bucket' does not exist"),
        (answer("AccessDenied", 403), StorageError, "check the credentials"),
        (answer("SignatureDoesNotMatch", 403), StorageError, "check the credentials"),
        (answer("QuotaExceeded", 403), StorageFullError, "is full"),
        (answer("XMinioStorageFull", 507), StorageFullError, "is full"),
        (answer("SlowDown", 503), StorageUnavailableError, "SlowDown"),
        (answer("Whatever", 500), StorageUnavailableError, "Whatever"),
        (answer("NoSuchKey", 404), ObjectMissingError, "a/b"),
        (answer("InvalidArgument", 400), StorageError, "InvalidArgument told"),
        (NoCredentialsError(), StorageUnavailableError, "no credentials"),
        (CredentialRetrievalError(provider="role", error_msg="later"), StorageUnavailableError, "later"),
        (answer("Throttling", 400), StorageUnavailableError, "Throttling"),
        (answer("TooManyRequests", 429), StorageUnavailableError, "TooManyRequests"),
        (answer("Whatever", 429), StorageUnavailableError, "Whatever"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), StorageUnavailableError, "no answer from"),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:9"), StorageUnavailableError, "no answer from"),
        (ConnectionResetError(), StorageUnavailableError, "no answer from"),
    ],
    ids=str,
)
def test_answer_is_sorted_by_what_to_do_next(fault: Exception, expected: type[Exception], message: str) -> None:
    store, _ = store_with(fault)
    with pytest.raises(expected, match=message) as caught:
        store.put("a/b", [b"x"])
    assert type(caught.value) is expected


def test_segment_goes_up_in_one_call() -> None:
    store, client = store_with({"ETag": "x"})
    store.put("a/b", [b"x", b"y"])
    assert client.calls == [{"Bucket": "bucket", "Key": "p/a/b", "Body": b"xy"}]


def test_broken_connection_is_opened_again_where_it_broke() -> None:
    store, client = store_with(
        {"Body": Breaking(b"012")},
        {"Body": Breaking(b"34"), "ContentRange": "bytes 3-9/10"},
        {"Body": io.BytesIO(b"56789"), "ContentRange": "bytes 5-9/10"},
    )
    with store.open("a") as source:
        assert source.read() == b"0123456789"
    assert [call["Range"] for call in client.calls] == ["bytes=0-", "bytes=3-", "bytes=5-"]


def test_connection_that_keeps_breaking_is_a_passing_fault() -> None:
    store, _ = store_with(*[{"Body": Breaking(b"")} for _ in range(3)])
    with store.open("a") as source, pytest.raises(StorageUnavailableError, match="ProtocolError"):
        source.read()


def test_broken_ranged_read_is_a_passing_fault() -> None:
    store, _ = store_with({"Body": Breaking(b""), "ContentRange": "bytes 0-4/10"})
    with pytest.raises(StorageUnavailableError, match="ProtocolError"):
        store.read("a", 0, 5)


@pytest.mark.parametrize("told", [{}, {"ContentRange": "bytes 0-9/10"}])
def test_a_server_that_passes_over_ranges_is_told(told: dict[str, str]) -> None:
    """Else a reader would be given the bytes of another place."""
    reads: list[Callable[[S3Store], object]] = [lambda store: store.open("a", 3), lambda store: store.read("a", 3, 5)]
    for read in reads:
        body = io.BytesIO(b"0123456789")
        store, _ = store_with({"Body": body, **told})
        with pytest.raises(StorageError, match="does not know ranges"):
            read(store)
        assert body.closed


def test_object_that_the_store_could_not_delete_is_named() -> None:
    store, _ = store_with({"Errors": [{"Key": "p/jobs/1/a", "Code": "InternalError"}]})
    with pytest.raises(StorageUnavailableError, match=r"p/jobs/1/a.*InternalError"):
        store._delete_batch("jobs/1/", [{"Key": "p/jobs/1/a"}])


def test_each_process_has_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(S3Place("bucket", endpoint_url="http://127.0.0.1:9", region="us-east-1"))
    ours = store._s3()
    assert store._s3() is ours
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert store._s3() is not ours


def test_every_call_ends_in_bounded_time() -> None:
    config = S3Store(S3Place("bucket", region="us-east-1"))._s3().meta.config
    assert config.connect_timeout <= 5
    assert config.read_timeout <= 30
    assert config.retries["total_max_attempts"] <= 3


class Swallowing:
    """A client that takes the parts of an object and keeps only their sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.is_complete = False

    def create_multipart_upload(self, **_: Any) -> Any:
        return {"UploadId": "any"}

    def upload_part(self, **options: Any) -> Any:
        self.sizes.append(len(options["Body"].getbuffer()))
        return {"ETag": "any"}

    def complete_multipart_upload(self, **_: Any) -> Any:
        self.is_complete = True
        return {}


def test_a_large_object_goes_up_without_being_held() -> None:
    """Two parts at most, whatever its size."""
    store, _ = store_with()
    client = store._client = Swallowing()
    piece = b"x" * 1_000_000
    store.put("warm", [piece] * 20)  # what is loaded with the first large object
    client.sizes.clear()
    tracemalloc.start()
    try:
        store.put("large", (piece for _ in range(300)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.is_complete
    assert sum(client.sizes) == 300_000_000
    assert peak < 50_000_000
