"""Objects in a bucket that speaks S3.

Small objects, which segments are, go up in one PUT, which S3 makes visible at once and whole; large ones as a multipart
upload by smart-open. Reads are plain ranged GETs: smart-open's reader sleeps up to 31 s between its own tries, and a
worker must not wait that long.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as S3ConnectionError
from urllib3.exceptions import HTTPError

from app.errors import (
    ConfigError,
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.lean_imports import without
from app.storage.chunks import taken
from app.storage.keys import checked_key, checked_prefix
from app.storage.objects import ObjectStore, folder_prefix
from app.storage.places import Bucket, check_endpoint, read_place
from app.storage.s3_answers import Answer, answer_of, code_of
from app.storage.s3_client import S3Place, make_client
from app.storage.strange_answers import nonsense

__all__ = ["S3Place", "S3Store", "s3_place"]

_SINGLE_PUT_BYTES = 8 * 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024  # 10,000 parts of it are 160 GB
_BUFFER_BYTES = 256 * 1024
_REOPENINGS = 2
_OPTIONS = ("endpoint_url", "region", "sse", "sse_kms_key_id", "sse_bucket_key")
_SECRET_OPTIONS = ("access_key_id", "secret_access_key", "session_token")
_KMS = "aws:kms"
_SSE = ("AES256", _KMS)
_UPLOAD = "?uploadId="  # no key has a question mark in it that we write
_DELETE_BATCH = 1000  # the most that one DeleteObjects takes


def s3_place(storage_url: str, options: Mapping[str, str]) -> S3Place:
    """Read `s3://bucket/prefix?endpoint_url=…&region=…&sse=…`; ConfigError names what is wrong."""
    place = read_place(storage_url, options, names=_OPTIONS, secrets=_SECRET_OPTIONS)
    check_endpoint("endpoint_url", place.options.get("endpoint_url"))
    _check_encryption(place.options)
    return S3Place(place.bucket, place.prefix, **place.options)


def _check_encryption(options: Mapping[str, str]) -> None:
    sse = options.get("sse")
    if sse not in {None, *_SSE}:
        raise ConfigError(f"STORAGE_URL option 'sse' {sse!r} is not one of {', '.join(_SSE)}")
    for name in ("sse_kms_key_id", "sse_bucket_key"):
        if name in options and sse != _KMS:
            raise ConfigError(f"STORAGE_URL option {name!r} goes with sse={_KMS} only")
    if options.get("sse_bucket_key", "true") not in {"true", "false"}:
        raise ConfigError(
            f"STORAGE_URL option 'sse_bucket_key' {options['sse_bucket_key']!r} is not one of true, false"
        )


def _encryption(place: S3Place) -> dict[str, Any]:
    """What a call says that makes an object."""
    said: dict[str, Any] = {"ServerSideEncryption": place.sse, "SSEKMSKeyId": place.sse_kms_key_id}
    if place.sse_bucket_key is not None:
        said["BucketKeyEnabled"] = place.sse_bucket_key == "true"
    return {name: value for name, value in said.items() if value is not None}


class S3Store(ObjectStore):
    """One client a process, made at the first use: a connection must not be shared across a fork."""

    def __init__(self, place: S3Place) -> None:
        self.place = place
        self.url = f"s3://{place.bucket}/{place.prefix}"
        self.bucket = Bucket.at("s3", place.endpoint_url or "", place.bucket)
        self._encryption = _encryption(place)
        self._client: Any = None
        self._client_pid = 0
        self._lock = threading.Lock()

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        name = self._name(key)
        rest = iter(chunks)
        head = taken(rest, _SINGLE_PUT_BYTES)
        if len(head) <= _SINGLE_PUT_BYTES:
            with self._translated(key):
                answer = self._s3().put_object(Bucket=self.place.bucket, Key=name, Body=head, **self._encryption)
                _ = answer["ETag"]  # each that took an object names one; a page from a proxy must not pass for it
            return
        self._put_parts(key, name, head, rest)

    def _put_parts(self, key: str, name: str, head: bytes, rest: Iterator[bytes]) -> None:
        writer = self._begin_parts(key, name)
        # Left to itself an unclosed writer publishes what it has when it is collected: it is always ended here.
        try:
            with self._translated(key):
                writer.write(head)
            for chunk in rest:
                with self._translated(key):
                    writer.write(chunk)
            with self._translated(key):
                writer.close()
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError, OSError):
                writer.terminate()
            writer._upload_id = None  # noqa: SLF001 - so that nothing is completed by the collector either
            raise

    def _begin_parts(self, key: str, name: str) -> Any:
        with self._translated(key):
            try:
                return _smart_open().MultipartWriter(
                    self.place.bucket,
                    name,
                    _PART_BYTES,
                    self._s3(),
                    {"S3.Client.create_multipart_upload": self._encryption},
                )
            except ValueError as error:  # smart-open's wrapping of whatever S3 answered
                raise (error.__cause__ or error) from None

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        body = _Body(self, key, offset)
        body.begin()
        return io.BufferedReader(body, _BUFFER_BYTES)

    def read(self, key: str, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        with self._translated(key), self.get(key, start, end) as body:
            data: bytes = body.read()
        if len(data) != end - start:
            raise StorageError(
                f"object {key} in {self.url} is shorter than expected: {start + len(data)} < {end} bytes"
            )
        return data

    def get(self, key: str, start: int, end: int | None = None) -> Any:
        """The body of a GET of bytes [start, end), by default all that follow; an empty one behind the end."""
        asked = f"bytes={start}-{'' if end is None else end - 1}"
        with self._translated(key):
            try:
                answer = self._s3().get_object(Bucket=self.place.bucket, Key=self._name(key), Range=asked)
            except ClientError as error:
                if code_of(error) != "InvalidRange":
                    raise
                return io.BytesIO()
        if (start or end is not None) and not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
            answer["Body"].close()
            raise StorageError(f"object {key} in {self.url}: the server, or a proxy before it, does not know ranges")
        return answer["Body"]

    def size(self, key: str) -> int:
        with self._translated(key):
            size: int = self._s3().head_object(Bucket=self.place.bucket, Key=self._name(key))["ContentLength"]
            return size

    def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissingError), self._translated(key):
            self._s3().delete_object(Bucket=self.place.bucket, Key=self._name(key))

    def delete_prefix(self, prefix: str) -> None:
        batch: list[dict[str, str]] = []
        for key in self.list(folder_prefix(prefix)):
            batch.append({"Key": self._name(key)})
            if len(batch) == _DELETE_BATCH:
                self._delete_batch(prefix, batch)
                batch = []
        if batch:
            self._delete_batch(prefix, batch)

    def _delete_batch(self, prefix: str, batch: list[dict[str, str]]) -> None:
        with self._translated(prefix):
            answer = self._s3().delete_objects(Bucket=self.place.bucket, Delete={"Objects": batch, "Quiet": True})
        for error in answer.get("Errors", ()):
            raise StorageUnavailableError(f"{error.get('Key')} in {self.url} was not deleted: {error.get('Code')}")

    def list(self, prefix: str = "") -> Iterator[str]:
        start = self.place.prefix + checked_prefix(prefix)
        with self._translated(prefix):
            pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=start)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self.place.prefix)

    def unfinished(self, prefix: str) -> dict[str, str]:
        start = self.place.prefix + checked_prefix(folder_prefix(prefix))
        found: dict[str, str] = {}
        try:
            with self._translated(prefix):
                pages = self._s3().get_paginator("list_multipart_uploads")
                for page in pages.paginate(Bucket=self.place.bucket, Prefix=start):
                    for entry in page.get("Uploads", ()):
                        key = entry["Key"].removeprefix(self.place.prefix)
                        found[f"{key}{_UPLOAD}{entry['UploadId']}"] = key
        except StorageError:
            return {}  # not every store knows this call, nor may every user make it: a lifecycle rule does it then
        return found

    def discard(self, name: str) -> None:
        key, _, upload = name.partition(_UPLOAD)
        with contextlib.suppress(ObjectMissingError), self._translated(key):
            self._s3().abort_multipart_upload(Bucket=self.place.bucket, Key=self._name(key), UploadId=upload)

    def free_bytes(self) -> int | None:
        return None

    def name_in_bucket(self, key: str) -> str:
        return self._name(key)

    def _name(self, key: str) -> str:
        return self.place.prefix + checked_key(key)

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client = make_client(self.place)
                self._client_pid = os.getpid()
            return self._client

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, HTTPError, OSError) as error:
            raise self.translate(error, key) from error
        except HaulageError:
            raise
        except Exception as error:
            raise nonsense(f"object {key} in {self.url}", error) from error

    def translate(self, error: Exception, key: str) -> HaulageError:
        """Our error for one of botocore's."""
        what = f"object {key} in {self.url}"
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            self._client = None  # a role's may come later, and a client looks for them only once
            return StorageUnavailableError(
                f"no credentials for {self.url}: set them as botocore finds them, or attach a role"
            )
        if isinstance(error, ClientError):
            return self._translate_answer(error, what)
        if isinstance(error, (CredentialRetrievalError, MetadataRetrievalError, IncompleteReadError)):
            return StorageUnavailableError(f"{what}: {error}")
        if isinstance(error, (S3ConnectionError, HTTPClientError, HTTPError, OSError)):
            return StorageUnavailableError(f"{what}: no answer from {self.place.endpoint_url or 'S3'} ({_kind(error)})")
        return StorageError(f"{what}: {error}")

    def _translate_answer(self, error: ClientError, what: str) -> HaulageError:
        code, answer = code_of(error), answer_of(error)
        if answer is Answer.NO_BUCKET:
            return StorageError(f"bucket {self.place.bucket!r} does not exist; create it, or check STORAGE_URL")
        if answer is Answer.MISSING:
            return ObjectMissingError(f"{what} is missing")
        if answer is Answer.REFUSED:
            return StorageError(f"{what} is refused ({code}): check the credentials and what they may do in the bucket")
        if answer is Answer.FULL:
            return StorageFullError(f"store {self.url} is full ({code}): cannot write {what}")
        if answer is Answer.PASSING:
            return StorageUnavailableError(f"{what}: {code}")
        return StorageError(f"{what}: {code} {error.response.get('Error', {}).get('Message', '')}")


class _Body(io.RawIOBase):
    """The rest of an object. A connection that breaks is opened again where it broke, a few times, without a wait."""

    def __init__(self, store: S3Store, key: str, offset: int) -> None:
        self._store = store
        self._key = key
        self._offset = offset
        self._reopenings = _REOPENINGS
        self._source: Any = None

    def begin(self) -> None:
        self._source = self._store.get(self._key, self._offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while True:
            try:
                data = self._source.read(len(buffer))
            except (BotoCoreError, HTTPError, OSError) as error:
                if not self._reopenings:
                    raise self._store.translate(error, self._key) from error
                self._reopenings -= 1
                self._source.close()
                self.begin()
                continue
            buffer[: len(data)] = data
            self._offset += len(data)
            return len(data)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
        super().close()


@lru_cache(maxsize=1)
def _smart_open() -> Any:
    """smart-open's S3, loaded with the first large object: it brings boto3 and more, and segments are small."""
    with without("requests", "paramiko"):
        import smart_open.s3
    # It would try again 6 times with 10 s of sleep each; the client tries again by itself, within its time limits.
    smart_open.s3.RETRY.exceptions = []
    smart_open.s3.RETRY.client_error_codes = []
    return smart_open.s3


def _kind(error: Exception) -> str:
    return type(error).__name__
