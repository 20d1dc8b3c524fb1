"""Buckets of Google Cloud Storage.

A resumable upload is bound to its name and its condition when it begins, long before anybody knows what it will
replace. So a large object is uploaded to a name of its attempt's own, which exists for the seconds of `publish` only:
there it is copied to its place within Google, under the condition that what is there is still what was seen, and
deleted. A small object is sent when it is published, in one call under that condition.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from app.domain.parts import MOST_OBJECT_BYTES
from app.errors import HaulageError, InvalidInputError, StorageError, StorageUnavailableError
from app.storage.checked_requests import make_session
from app.storage.destinations.gcs_account import Tokens
from app.storage.destinations.gcs_api import Crc32c, GcsApi, Place
from app.storage.destinations.gcs_composing import GcsComposing, Temporaries
from app.storage.destinations.model import Destination, Given, Note, Writing
from app.storage.destinations.names import object_name, part_name, read_prefix
from app.storage.destinations.stored import StoredOutput
from app.storage.places import Bucket

ENDPOINT = "https://storage.googleapis.com"
PART_BYTES = 8 * 1024 * 1024
"""A multiple of 256 KiB, as Google wants it. So much of an object is in memory."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_KEY_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: `bucket`, `prefix`, `endpoint_url`, `kms_key_name`; secret: `credentials`.

    Raises InvalidInputError, AddressRefusedError.
    """
    config = given.config
    bucket = _matching(config.get("bucket", ""), _BUCKET, "bucket", "the name of a bucket")
    key_name = config.get("kms_key_name", "")
    if key_name:
        form = "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
        _matching(key_name, _KEY_NAME, "kms_key_name", form)
    endpoint = _endpoint(given)
    prefix = read_prefix(config)
    # A token must not travel readable; stand-ins want none.
    credentials = given.secrets.get("credentials", "") if endpoint.startswith("https://") else ""
    if not credentials and endpoint == ENDPOINT:
        raise InvalidInputError(
            "credentials: missing. Accepted: the JSON text of a service account's key.",
            field="/configuration/credentials",
        )
    place = Place(bucket, f"gs://{bucket}/{prefix}", endpoint, key_name)
    tokens = Tokens(credentials)
    return GcsDestination(GcsApi(place, make_session(given.policy, is_bounded=True), tokens), prefix, place, tokens)


def _endpoint(given: Given) -> str:
    url = given.config.get("endpoint_url", "").rstrip("/") or ENDPOINT
    given.policy.check_url(url)
    if urlsplit(url).query or urlsplit(url).fragment:
        raise InvalidInputError(
            "endpoint_url: not accepted. Accepted: https://host[:port][/path], without a query.",
            field="/configuration/endpoint_url",
        )
    return url


def _matching(value: str, pattern: re.Pattern[str], name: str, form: str) -> str:
    if not pattern.fullmatch(value):
        raise InvalidInputError(f"{name}: {value!r} is not accepted. Accepted: {form}.", field=f"/configuration/{name}")
    return value


class GcsDestination(Destination):
    """Objects of one bucket below a prefix."""

    def __init__(self, api: GcsApi, prefix: str, place: Place, tokens: Tokens) -> None:
        self.place = place.shown
        self._where = Bucket.at("gs", "" if place.endpoint == ENDPOINT else place.endpoint, place.bucket)
        self._api = api
        self._prefix = prefix
        self._tokens = tokens

    def check(self) -> None:
        """All that a push may need is tried: to create, to copy, to read and to delete."""
        nonce = secrets.token_hex(8)
        name, part = object_name(self._prefix, f"haulage-check-{nonce}.txt"), part_name(self._prefix, nonce)
        try:
            self._api.put(part, _CHECKED, generation="0")
            self._api.rewrite(part, self._api.generation(part), name, generation="0")
            if self._api.read(name) != _CHECKED:
                raise StorageError(f"object {name} in {self.place} holds other bytes than were written to it")
        finally:
            self._remove_both(part, name)

    def _remove_both(self, part: str, name: str) -> None:
        try:
            self._api.delete(part)
        finally:
            self._api.delete(name)

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - any length will do
        name = object_name(self._prefix, path)
        return GcsWriting(self._api, name, part_name(self._prefix, nonce), lambda url: note(self._tokens.seal(url)))

    def compose(self, path: str, *, nonce: str, output: StoredOutput, note: Note) -> GcsComposing | None:
        """What is no longer than a part is sent in one call all the same."""
        name = object_name(self._prefix, path)
        if not output.is_in(self._where) or not PART_BYTES < output.total_bytes <= MOST_OBJECT_BYTES:
            return None
        return GcsComposing(self._api, name, Temporaries(self._prefix, nonce), output, note)

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:
        object_name(self._prefix, path)
        part = part_name(self._prefix, nonce)
        for name in Temporaries(self._prefix, nonce).noted(notes):
            self._api.delete(name)
        for note in notes:
            url = self._tokens.unseal(note)
            if url is not None:
                self._api.cancel(url, part)
        self._api.delete(part)

    def close(self) -> None:
        self._api.close()


class GcsWriting(Writing):
    """`part`: the name that a large object is uploaded to. `note`: keeps the URL of that upload, which is secret."""

    def __init__(self, api: GcsApi, name: str, part: str, note: Callable[[str], None]) -> None:
        self._api = api
        self._name = name
        self._part = part
        self._note = note
        self._buffer = bytearray()
        self._upload_url = ""
        self._sent_bytes = 0
        self._checksum = Crc32c()
        self._part_generation = ""

    def write(self, chunk: bytes) -> None:
        self._buffer += chunk
        while len(self._buffer) > PART_BYTES:  # one byte is left at least: the last part closes the upload
            part = bytes(memoryview(self._buffer)[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            self._send(part)

    def _send(self, part: bytes, *, is_last: bool = False) -> Any:
        if not self._upload_url:
            self._upload_url = self._api.begin(self._part)
            self._note(self._upload_url)
        found = self._api.send(self._upload_url, part, self._sent_bytes, self._part, is_last=is_last)
        self._sent_bytes += len(part)
        self._checksum.add(part)
        return found

    def state(self) -> Any:
        """Its generation, which is another one after each change."""
        return self._api.generation(self._name)

    def publish(self, state: Any) -> None:
        if not self._upload_url:
            self._api.put(self._name, bytes(self._buffer), generation=state)
            return
        if not self._part_generation:
            self._part_generation = self._finish()
        self._api.rewrite(self._part, self._part_generation, self._name, generation=state)
        self._api.delete(self._part)
        self._upload_url = ""

    def _finish(self) -> str:
        found = self._send(bytes(self._buffer), is_last=True)
        if (found.get("size"), found.get("crc32c")) != (str(self._sent_bytes), str(self._checksum)):
            raise StorageUnavailableError(f"object {self._name}: the upload was damaged on the way")
        return str(found.get("generation"))

    def abandon(self) -> None:
        if self._upload_url:
            with suppress(HaulageError):
                self._api.cancel(self._upload_url, self._part)
            with suppress(HaulageError):
                self._api.delete(self._part)
        self._upload_url = ""
