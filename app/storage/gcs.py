"""Objects in a bucket of Google Cloud Storage.

Small objects, which segments are, go up in one call, large ones in a resumable session, which shows nothing before its
last part and is forgotten by Google a week after its writer died: there is nothing half-written to be found or swept.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, RequestRangeNotSatisfiable, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption

from app.errors import (
    ConfigError,
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.chunks import in_blocks, taken
from app.storage.gcs_client import RETRY, TIMEOUT, GcsPlace, make_client
from app.storage.keys import checked_prefix
from app.storage.places import Bucket, check_endpoint, read_place
from app.storage.remote import PART_BYTES, SINGLE_PUT_BYTES, RemoteStore
from app.storage.strange_answers import nonsense

__all__ = ["GcsPlace", "GcsStore", "gcs_place"]

_TYPE = "application/octet-stream"
_BOUNDS: dict[str, Any] = {"timeout": TIMEOUT, "retry": RETRY}
_NO_ROOM = "quotaExceeded"
_PASSING_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
_REFUSED = {401, 403}
_MISSING = 404
_PASSING = {408, 410, 425, 429}
"""410: an upload session that was lost."""
_FULL = 507
_FIRST_SERVER_FAULT = 500


def gcs_place(storage_url: str, options: Mapping[str, str]) -> GcsPlace:
    """Read `gs://bucket/prefix?endpoint_url=…&kms_key_name=…`; ConfigError names what is wrong."""
    place = read_place(storage_url, options, names=("endpoint_url", "kms_key_name"), secrets=("service_account",))
    check_endpoint("endpoint_url", place.options.get("endpoint_url"))
    key_name = place.options.get("kms_key_name")
    if key_name is not None and not _is_key_name(key_name):
        raise ConfigError(
            f"STORAGE_URL option 'kms_key_name' {key_name!r} is not of the form "
            "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
        )
    return GcsPlace(place.bucket, place.prefix, **place.options)


def _is_key_name(name: str) -> bool:
    parts = name.split("/")
    return all(parts) and parts[::2] == ["projects", "locations", "keyRings", "cryptoKeys"] and len(parts) == 8  # noqa: PLR2004


class GcsStore(RemoteStore):
    """Objects of one bucket below a prefix."""

    def __init__(self, place: GcsPlace) -> None:
        super().__init__(f"gs://{place.bucket}/{place.prefix}", place.prefix)
        self.place = place
        self.bucket = Bucket.at("gs", place.endpoint_url or "", place.bucket)

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        name = self._name(key)
        rest = iter(chunks)
        head = taken(rest, SINGLE_PUT_BYTES)
        if len(head) <= SINGLE_PUT_BYTES:
            with self._translated(key):
                blob = self._blob(name)
                blob.upload_from_string(head, content_type=_TYPE, **_BOUNDS)
                _ = int(blob.generation)  # told of each object that was taken; a proxy's page must not pass for it
            return
        source = _Source(in_blocks(chain([head], rest), PART_BYTES))
        try:
            with self._translated(key):
                blob = self._blob(name, chunk_size=PART_BYTES)
                blob.upload_from_file(source, content_type=_TYPE, **_BOUNDS)
        except HaulageError as error:
            if source.fault is not None:
                raise source.fault from None
            if isinstance(error, ObjectMissingError):
                raise StorageUnavailableError(f"object {key} in {self.url}: Google lost its upload session") from error
            raise

    def fetch(self, name: str, start: int, end: int) -> bytes:
        try:
            # Its checksum is of the whole object; what segments hold is checked against their rows.
            data: bytes = self._blob(name).download_as_bytes(
                start=start, end=end - 1, raw_download=True, checksum=None, **_BOUNDS
            )
        except RequestRangeNotSatisfiable:
            return b""
        return data

    def size(self, key: str) -> int:
        with self._translated(key):
            blob = self._blob(self._name(key))
            blob.reload(**_BOUNDS)
            return int(blob.size)

    def delete(self, key: str) -> None:
        with suppress(ObjectMissingError), self._translated(key):
            self._blob(self._name(key)).delete(**_BOUNDS)

    def list(self, prefix: str = "") -> Iterator[str]:
        start = self._prefix + checked_prefix(prefix)
        with self._translated(prefix, is_listing=True):
            found = self._sdk().list_blobs(
                self.place.bucket, prefix=start, fields="items(name),nextPageToken", **_BOUNDS
            )
            for blob in found:
                yield blob.name.removeprefix(self._prefix)

    def _blob(self, name: str, **options: Any) -> Any:
        return self._sdk().bucket(self.place.bucket).blob(name, kms_key_name=self.place.kms_key_name, **options)

    def _connect(self) -> Any:
        return make_client(self.place)

    @contextmanager
    def _translated(self, key: str, *, is_listing: bool = False) -> Iterator[None]:
        try:
            yield
        except (GoogleAPICallError, RetryError, DataCorruption, GoogleAuthError, OSError) as error:
            if not is_listing and getattr(error, "code", None) == _MISSING:
                self._check_bucket(key)
            raise self.translate(error, key, is_listing=is_listing) from error
        except HaulageError:
            raise
        except Exception as error:
            raise nonsense(f"object {key} in {self.url}", error) from error

    def _check_bucket(self, key: str) -> None:
        """An object that is missing and a bucket that is not there are answered alike. Raises StorageError."""
        with suppress(StopIteration, StorageUnavailableError), self._translated(key, is_listing=True):
            next(iter(self._sdk().list_blobs(self.place.bucket, max_results=1, **_BOUNDS)))

    def translate(self, error: Exception, key: str, *, is_listing: bool = False) -> HaulageError:
        """`is_listing`: what is missing is the bucket."""
        what = f"object {key} in {self.url}"
        if isinstance(error, RetryError) and isinstance(error.cause, Exception):
            error = error.cause
        if isinstance(error, DefaultCredentialsError):
            return StorageUnavailableError(
                f"no credentials for {self.url}: set them as Google's library finds them, or attach a service account"
            )
        if isinstance(error, GoogleAuthError):
            return StorageUnavailableError(f"{what}: no token from Google ({type(error).__name__})")
        if isinstance(error, DataCorruption):
            return StorageUnavailableError(f"{what}: its checksum changed on the way")
        if isinstance(error, GoogleAPICallError) and error.code is not None:
            if is_listing and error.code == _MISSING:
                return StorageError(f"bucket {self.place.bucket!r} does not exist; create it, or check STORAGE_URL")
            return self._translate_answer(error, int(error.code), what)
        where = self.place.endpoint_url or "Google Cloud Storage"
        return StorageUnavailableError(f"{what}: no answer from {where} ({type(error).__name__})")

    def _translate_answer(self, error: GoogleAPICallError, status: int, what: str) -> HaulageError:
        reasons = {each.get("reason") for each in error.errors if isinstance(each, dict)}
        if status == _FULL or _NO_ROOM in reasons:
            return StorageFullError(f"store {self.url} is full ({status}): cannot write {what}")
        if status in _PASSING or status >= _FIRST_SERVER_FAULT or reasons & _PASSING_REASONS:
            return StorageUnavailableError(f"{what}: {status} {_first_line(error)}")
        if status == _MISSING:
            return ObjectMissingError(f"{what} is missing")
        if status in _REFUSED:
            return StorageError(
                f"{what} is refused ({status}): check the credentials and what they may do in the bucket. "
                + _first_line(error)
            )
        return StorageError(f"{what}: {status} {_first_line(error)}")


class _Source(io.RawIOBase):
    """What a resumable upload reads: blocks of PART_BYTES, as a file that knows where it stands.

    The library asks for as many, and takes a shorter one for the end of the file.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._offset = 0
        self.fault: BaseException | None = None
        """What whoever makes the blocks raised: it is nobody's business here."""

    def tell(self) -> int:
        return self._offset

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        assert size == PART_BYTES
        try:
            block = next(self._blocks, b"")
        except BaseException as error:
            self.fault = error
            raise
        self._offset += len(block)
        return block


def _first_line(error: GoogleAPICallError) -> str:
    lines = str(error.message or "").splitlines()
    return lines[0][:200] if lines else ""
