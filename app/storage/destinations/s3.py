"""A bucket of Amazon S3, or of any server that speaks S3: R2, Ceph, SeaweedFS, Versity, Backblaze and others."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress

from app.domain.parts import MOST_AT_ONCE, MOST_OBJECT_BYTES
from app.errors import InvalidInputError, ObjectMissingError, StorageError
from app.storage.destinations.model import Destination, Given, Note
from app.storage.destinations.names import object_name, read_prefix
from app.storage.destinations.s3_bucket import S3Bucket
from app.storage.destinations.s3_composing import S3Composing, plan
from app.storage.destinations.s3_upload import discard
from app.storage.destinations.s3_writing import S3Writing
from app.storage.destinations.stored import StoredOutput
from app.storage.places import Bucket
from app.storage.s3_client import S3Place

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_REGION = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_R2 = re.compile(r"\.r2\.cloudflarestorage\.com(:|$)")
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: those of `catalog/s3.yaml`. Raises InvalidInputError, AddressRefusedError."""
    config = given.config
    endpoint = config.get("endpoint_url") or None
    if endpoint is not None:
        given.policy.check_url(endpoint)
    place = S3Place(
        bucket=_setting(config, "bucket", _BUCKET, "the name of a bucket (no ARN)"),
        prefix=read_prefix(config),
        endpoint_url=endpoint,
        region=_setting(config, "region", _REGION, "a region such as eu-central-1"),
        access_key_id=_present(config, "access_key_id"),
        secret_access_key=_present(given.secrets, "secret_access_key"),
        session_token=given.secrets.get("session_token") or None,
    )
    encryption = _encryption(config)
    try:
        bucket = S3Bucket(place, given.policy, encryption, MOST_AT_ONCE)
    except ValueError as error:  # stricter than we about a host's name
        raise InvalidInputError(
            f"endpoint_url {str(endpoint)[:200]!r} is not accepted: the address of a server, whose name has letters,"
            " digits, dots and hyphens only.",
            field="/configuration/endpoint_url",
        ) from error
    return S3Destination(bucket, place.prefix, Bucket.at("s3", endpoint or "", place.bucket))


def _setting(config: Mapping[str, str], name: str, form: re.Pattern[str], accepted: str) -> str:
    value = _present(config, name)
    if not form.fullmatch(value):
        raise InvalidInputError(f"{name} {value[:100]!r} is not accepted: {accepted}.", field=f"/configuration/{name}")
    return value


def _present(settings: Mapping[str, str], name: str) -> str:
    """Never empty: botocore would look for credentials of this machine's then."""
    value = settings.get(name, "")
    if not value:
        raise InvalidInputError(f"{name} is missing.", field=f"/configuration/{name}")
    return value


def _encryption(config: Mapping[str, str]) -> dict[str, str]:
    kind, key = config.get("sse", ""), config.get("sse_kms_key_id", "")
    if key and not kind.startswith("aws:kms"):
        raise InvalidInputError(
            "sse_kms_key_id is for sse aws:kms or aws:kms:dsse only.", field="/configuration/sse_kms_key_id"
        )
    found = {"ServerSideEncryption": kind, "SSEKMSKeyId": key}
    return {name: value for name, value in found.items() if value}


class S3Destination(Destination):
    def __init__(self, bucket: S3Bucket, prefix: str, where: Bucket) -> None:
        self.place = bucket.url + prefix
        self._where = where
        self._bucket = bucket
        self._prefix = prefix

    def check(self) -> None:
        """Also begins and aborts a multipart upload. A key that may not delete leaves the small object."""
        nonce = secrets.token_hex(8)
        name = object_name(self._prefix, f"haulage-check-{nonce}.txt")
        self._bucket.put(name, _CHECKED, nonce, {})
        try:
            self._bucket.abort_upload(name, self._bucket.create_upload(name, nonce))
            self._read_back(name)
        finally:
            self._delete(name)

    def _read_back(self, name: str) -> None:
        try:
            content = self._bucket.read(name, len(_CHECKED) + 1)
        except ObjectMissingError as error:
            raise StorageError(f"{self.place} takes objects but does not give them back") from error
        except StorageError:  # the key may only write
            return
        if content != _CHECKED:
            raise StorageError(f"{self.place} gives back other bytes than were written")

    def _delete(self, name: str) -> None:
        with suppress(StorageError):
            self._bucket.delete(name)

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> S3Writing:
        name = object_name(self._prefix, path)
        if most_bytes > MOST_OBJECT_BYTES:
            raise StorageError(f"{self.place}{path}: {most_bytes} bytes are more than the 5 TiB of an object of S3")
        return S3Writing(self._bucket, name, nonce, most_bytes, note)

    def compose(self, path: str, *, nonce: str, output: StoredOutput, note: Note) -> S3Composing | None:
        """R2 would refuse parts of different lengths, but only when all of them are there."""
        name = object_name(self._prefix, path)
        if not output.is_in(self._where) or _R2.search(self._where.endpoint):
            return None
        parts = plan(output)
        return None if parts is None else S3Composing(self._bucket, name, nonce, output, parts, note)

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002 - uploads have ids
        discard(self._bucket, object_name(self._prefix, path), notes)

    def close(self) -> None:
        self._bucket.close()
