"""Server-side encryption: what the options of STORAGE_URL say is what is sent, for small and for large objects."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from app.errors import ConfigError
from app.storage.objects import ObjectStore
from app.storage.s3 import S3Store
from tests.conformance.test_storage_objects import LARGE, OPTIONS, admin, bucket, s3_endpoint
from tests.fixtures.gcs import Gcs

__all__ = ["bucket", "s3_endpoint"]

KEY_NAME = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
SIZES = pytest.mark.parametrize("size", [10, LARGE])


@SIZES
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", {}),
        ("&sse=AES256", {"": b"AES256"}),
        ("&sse=aws:kms", {"": b"aws:kms"}),
        (
            "&sse=aws:kms&sse_kms_key_id=a1b2&sse_bucket_key=true",
            {"": b"aws:kms", "-aws-kms-key-id": b"a1b2", "-bucket-key-enabled": b"true"},
        ),
    ],
)
def test_s3_is_told(s3_endpoint: str, bucket: str, asked: str, told: dict[str, bytes], size: int) -> None:
    store = ObjectStore.from_url(f"s3://{bucket}?endpoint_url={s3_endpoint}{asked}", OPTIONS)
    assert isinstance(store, S3Store)
    sent: list[Any] = []
    store._s3().meta.events.register("before-send.s3", lambda request, **_: sent.append(request))

    store.put("a", [bytes(size)])

    name = "x-amz-server-side-encryption"
    said = {key[len(name) :].lower(): value for key, value in sent[0].headers.items() if key.lower().startswith(name)}
    assert said == told
    assert ("?uploads" in sent[0].url) == (size == LARGE)
    with closing(admin(s3_endpoint)) as client:
        head = client.head_object(Bucket=bucket, Key="a")
    assert head.get("ServerSideEncryption", "").encode() == told.get("", b"")


@SIZES
def test_google_is_told(gcs: Gcs, size: int) -> None:
    store = ObjectStore.from_url(f"gs://{gcs.make_bucket()}?endpoint_url={gcs.endpoint}&kms_key_name={quote(KEY_NAME)}")
    store.put("a", [bytes(size)])
    queries = [parse_qs(urlsplit(line).query) for line in gcs.requests if line.startswith("POST")]
    assert [query["uploadType"] for query in queries] == [["multipart" if size == 10 else "resumable"]]
    assert [query["kmsKeyName"] for query in queries] == [[KEY_NAME]]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Its URL, and of each PUT to it `comp` and the encryption scope."""
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked = parse_qs(urlsplit(self.path).query)
            seen.append((asked.get("comp", [""])[0], self.headers["x-ms-encryption-scope"]))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("size", "calls"), [(10, [""]), (LARGE, ["block", "block", "block", "blocklist"])])
def test_azure_is_told(listener: tuple[str, list[tuple[str, str | None]]], size: int, calls: list[str]) -> None:
    url, seen = listener
    store = ObjectStore.from_url(
        f"azure://c?account_url={url}/account&encryption_scope=mine", {"account_key": "c2VjcmV0"}
    )
    store.put("a", [os.urandom(size)])
    assert seen == [(call, "mine") for call in calls]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://b?sse=aws", r"'sse' 'aws' is not one of AES256, aws:kms"),
        ("s3://b?sse_kms_key_id=k", r"'sse_kms_key_id' goes with sse=aws:kms only"),
        ("s3://b?sse=AES256&sse_bucket_key=true", r"'sse_bucket_key' goes with sse=aws:kms only"),
        ("s3://b?sse=aws:kms&sse_bucket_key=yes", r"'sse_bucket_key' 'yes' is not one of true, false"),
        ("s3://b?sse_customer_key=k", r"'sse_customer_key' is not one of endpoint_url, region, sse"),
        ("s3://b?sse=", r"'sse' must be there once, with a value"),
        ("s3://b?sse=AES256&sse=aws:kms", r"'sse' must be there once"),
        ("gs://b?kms_key_name=k", r"'kms_key_name' 'k' is not of the form projects/"),
        (f"gs://b?kms_key_name={KEY_NAME}/cryptoKeyVersions/1", r"'kms_key_name'"),
        ("gs://b?sse=AES256", r"'sse' is not one of endpoint_url, kms_key_name"),
        ("azure://c?account_url=https://a.test&kms_key_name=k", r"'kms_key_name' is not one of account_url"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ObjectStore.from_url(url)
