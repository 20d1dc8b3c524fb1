"""What is particular to Google's and Azure's stores and needs no server: translated answers, time limits, memory."""

import json
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import RequestsTransport
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.api_core.exceptions import RetryError, from_http_status
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.cloud.storage.exceptions import DataCorruption

from app.errors import ConfigError, ObjectMissingError, StorageError, StorageFullError, StorageUnavailableError
from app.storage import azure_client, gcs_client
from app.storage.azure import AzurePlace, AzureStore
from app.storage.gcs import GcsPlace, GcsStore, _Source
from app.storage.remote import PART_BYTES, WINDOW_BYTES, RemoteStore


def gs() -> GcsStore:
    return GcsStore(GcsPlace("bucket", "p/", endpoint_url="http://127.0.0.1:9"))


def azure() -> AzureStore:
    return AzureStore(AzurePlace("container", "p/", "http://127.0.0.1:9/account", account_key="c2VjcmV0"))


def google_says(status: int, reason: str = "any") -> Exception:
    error: Exception = from_http_status(status, "told", errors=[{"reason": reason}])  # type: ignore[no-untyped-call]
    return error


class AzureError(HttpResponseError):
    def __init__(self, status: int, code: str | None = None) -> None:
        super().__init__(message="told")
        self.status_code, self.error_code = status, code


FAULTS: list[tuple[Callable[[], RemoteStore], Exception, type[Exception], str]] = [
    (gs, google_says(401), StorageError, "check the credentials"),
    (gs, google_says(403, "forbidden"), StorageError, "check the credentials"),
    (gs, google_says(403, "quotaExceeded"), StorageFullError, "is full"),
    (gs, google_says(507), StorageFullError, "is full"),
    (gs, google_says(403, "rateLimitExceeded"), StorageUnavailableError, "403 told"),
    (gs, google_says(429), StorageUnavailableError, "429 told"),
    (gs, google_says(410), StorageUnavailableError, "410 told"),
    (gs, google_says(503), StorageUnavailableError, "503 told"),
    (gs, google_says(404), ObjectMissingError, "a/b"),
    (gs, google_says(400), StorageError, "400 told"),
    (gs, RetryError("deadline", google_says(503)), StorageUnavailableError, "503 told"),  # type: ignore[no-untyped-call]
    (gs, RetryError("deadline", ConnectionResetError()), StorageUnavailableError, "no answer from http://127"),  # type: ignore[no-untyped-call]
    (gs, ConnectionResetError(), StorageUnavailableError, "no answer from http://127"),
    (gs, DefaultCredentialsError("none"), StorageUnavailableError, "no credentials"),  # type: ignore[no-untyped-call]
    (gs, RefreshError("later"), StorageUnavailableError, "no token from Google"),  # type: ignore[no-untyped-call]
    (gs, DataCorruption(None, "md5"), StorageUnavailableError, "checksum"),
    (azure, AzureError(403, "AuthenticationFailed"), StorageError, "check the credentials"),
    (azure, AzureError(403, "AuthorizationPermissionMismatch"), StorageError, "their role"),
    (azure, AzureError(404, "ContainerNotFound"), StorageError, "container 'container' does not exist"),
    (azure, AzureError(404, "BlobNotFound"), ObjectMissingError, "a/b"),
    (azure, AzureError(503, "ServerBusy"), StorageUnavailableError, "ServerBusy"),
    (azure, AzureError(500, "OperationTimedOut"), StorageUnavailableError, "OperationTimedOut"),
    (azure, AzureError(429), StorageUnavailableError, "429"),
    (azure, AzureError(507), StorageFullError, "is full"),
    (azure, AzureError(400, "InvalidHeaderValue"), StorageError, "InvalidHeaderValue told"),
    (azure, ClientAuthenticationError("none"), StorageUnavailableError, "no credentials"),
    (azure, ServiceRequestError("refused"), StorageUnavailableError, "no answer from http://127"),
    (azure, ServiceResponseError("broken"), StorageUnavailableError, "no answer from http://127"),
    (azure, ConnectionResetError(), StorageUnavailableError, "no answer from http://127"),
]


@pytest.mark.parametrize(("make", "fault", "expected", "message"), FAULTS)
def test_answer_is_sorted_by_what_to_do_next(
    make: Callable[[], RemoteStore], fault: Exception, expected: type[Exception], message: str
) -> None:
    error = make().translate(fault, "a/b")
    assert type(error) is expected
    assert message in str(error)


@pytest.mark.parametrize("make", [gs, azure])
def test_each_process_has_its_own_client(make: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch) -> None:
    store = make()
    ours = store._sdk()
    assert store._sdk() is ours
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert store._sdk() is not ours


def test_every_call_to_google_ends_in_bounded_time() -> None:
    connect_s, read_s = gcs_client.TIMEOUT
    assert (connect_s <= 5, read_s <= 30) == (True, True)
    assert gcs_client.RETRY.timeout is not None
    assert gcs_client.RETRY.timeout <= 5
    assert gcs_client.RETRY._maximum <= 1
    calls: list[dict[str, Any]] = []
    store = gs()

    def refuse(*_: object, **named: Any) -> None:
        calls.append(named)
        raise ValueError("stop")

    store._sdk()._http.request = refuse
    for call in (
        lambda: store.put("a", [b"x"]),
        lambda: store.put("a", [bytes(PART_BYTES)]),
        lambda: store.open("a"),
        lambda: store.size("a"),
        lambda: store.delete("a"),
        lambda: list(store.list()),
    ):
        with pytest.raises(StorageUnavailableError):
            call()
    assert [each["timeout"] for each in calls] == [gcs_client.TIMEOUT] * 6


def test_every_call_to_azure_ends_in_bounded_time() -> None:
    client = azure()._sdk()
    retry, transport = client._config.retry_policy, client._config.transport or client._pipeline._transport
    assert (retry.total_retries <= 3, retry.get_backoff_time({}) <= 2) == (True, True)
    transport = getattr(transport, "_transport", transport)
    assert isinstance(transport, RequestsTransport)
    assert (transport.connection_config.timeout, transport.connection_config.read_timeout) == (5, 30)


def test_no_token_travels_readable() -> None:
    credentials = gs()._sdk()._credentials
    assert type(credentials).__name__ == "AnonymousCredentials"


def test_a_service_account_cannot_choose_where_it_is_sent() -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    account = {"client_email": "a@b.test", "private_key": key.decode(), "token_uri": "http://169.254.169.254/"}
    client = gcs_client.make_client(GcsPlace("bucket", service_account=json.dumps(account)))
    assert client._credentials._token_uri == gcs_client._TOKEN_URI


@pytest.mark.parametrize("text", ["secret", "[]", "{}", '{"client_email": "a", "private_key": "secret"}'])
def test_a_service_account_that_is_none_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError, match="service_account") as caught:
        gcs_client.make_client(GcsPlace("bucket", service_account=text))
    assert "secret" not in str(caught.value)


def test_a_connection_string_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as caught:
        azure_client.make_client(AzurePlace("container", connection_string="secret"))
    assert "secret" not in str(caught.value)


class Whole(GcsStore):
    """One object, whose every window is noted."""

    def __init__(self, size: int) -> None:
        super().__init__(GcsPlace("bucket"))
        self.object_bytes = size
        self.windows: list[tuple[int, int]] = []

    def fetch(self, _name: str, start: int, end: int) -> bytes:
        self.windows.append((start, end))
        return bytes(max(min(end, self.object_bytes) - start, 0))


@pytest.mark.parametrize("size", [0, 1, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 3 * WINDOW_BYTES])
def test_an_object_is_read_by_windows_and_no_call_more(size: int) -> None:
    store = Whole(size)
    with store.open("a") as source:
        assert len(source.read()) == size
    assert len(store.windows) == size // WINDOW_BYTES + 1


def test_an_upload_session_that_is_lost_is_a_passing_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google says 404 of it, as of an object that is missing."""
    store = gs()

    class Lost:
        def upload_from_file(self, source: _Source, **_: Any) -> None:
            source.read(PART_BYTES)
            raise google_says(404)

    monkeypatch.setattr(store, "_blob", lambda *_, **__: Lost())
    monkeypatch.setattr(store, "_check_bucket", lambda _: None)
    with pytest.raises(StorageUnavailableError, match="lost its upload session"):
        store.put("a", [bytes(2 * PART_BYTES)])


class Swallowing:
    """An object that takes its parts as Azure's and Google's libraries do, and keeps only their sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.committed = 0

    def stage_block(self, _: str, data: bytes, **__: Any) -> None:
        self.sizes.append(len(data))

    def commit_block_list(self, blocks: list[Any], **_: Any) -> None:
        self.committed = len(blocks)

    def upload_from_file(self, source: _Source, **_: Any) -> None:
        while part := source.read(PART_BYTES):
            self.sizes.append(len(part))
            assert source.tell() == sum(self.sizes)
        self.committed = len(self.sizes)


@pytest.mark.parametrize("make", [gs, azure])
def test_a_large_object_goes_up_without_being_held(
    make: Callable[[], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, blob = make(), Swallowing()
    monkeypatch.setattr(store, "_blob", lambda *_, **__: blob)
    piece = b"x" * 1_000_000

    tracemalloc.start()
    try:
        store.put("large", (piece for _ in range(300)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(blob.sizes) == 300_000_000
    assert blob.committed == len(blob.sizes) > 30
    assert set(blob.sizes[:-1]) == {PART_BYTES}, "Google takes multiples of 256 KiB"
    assert peak < 40_000_000
