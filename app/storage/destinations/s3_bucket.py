"""The calls of S3 that a push makes, with one quick second try, and refusals in words for the bucket's owner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as S3ConnectionError

from app.addresses import AddressPolicy
from app.errors import (
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    TransientError,
)
from app.storage.destinations.s3_client import make_checked_client
from app.storage.s3_answers import Answer, answer_of, code_of, status_of
from app.storage.s3_client import S3Place
from app.storage.strange_answers import nonsense

ATTEMPT = "haulage-attempt"
"""Metadata of each object: which attempt wrote it. It tells a lost answer from somebody else's object."""
_PAUSE_S = 0.3
_CLOCKS = timedelta(minutes=15)
"""S3 refuses requests whose clock differs by more."""
_SHOWN_CHARACTERS = 200
_OTHER_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "301", "302", "303", "307", "308"}
_REPLACED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_PUBLISHING = {"PutObject", "CompleteMultipartUpload"}
_REFUSALS = {
    "InvalidAccessKeyId": "the server does not know this access_key_id",
    "SignatureDoesNotMatch": "secret_access_key does not belong to this access_key_id",
    "ExpiredToken": "session_token has expired",
    "InvalidToken": "session_token is not accepted",
}
_NOT_IMPLEMENTED = 501


class Unmet(TransientError):  # noqa: N818 - an answer, of which the caller makes an error
    """The object is another one than the condition says."""


class S3Bucket:
    """One bucket, seen with one customer's key. Safe to share between threads."""

    def __init__(self, place: S3Place, policy: AddressPolicy, extra: Mapping[str, str], connections: int) -> None:
        """`extra`: parameters of each object, such as its encryption."""
        self.url = f"s3://{place.bucket}/"
        self._place = place
        self._extra = extra
        self._server = place.endpoint_url or "Amazon S3"
        self._client = make_checked_client(place, policy, connections)

    def close(self) -> None:
        self._client.close()

    def put(self, name: str, body: bytes | bytearray, nonce: str, condition: Mapping[str, str]) -> None:
        """Raises Unmet."""
        answer = self._conditional("put_object", name, condition, Body=body, Metadata={ATTEMPT: nonce}, **self._extra)
        self._told(answer, "ETag", name)

    def create_upload(self, name: str, nonce: str) -> str:
        """The UploadId. Not tried twice: an answer that was lost would leave an upload that nobody knows."""
        answer = self._once("create_multipart_upload", name, Metadata={ATTEMPT: nonce}, **self._extra)
        return self._told(answer, "UploadId", name)

    def send_part(self, name: str, upload_id: str, number: int, body: bytearray) -> str:
        """The part's ETag."""
        answer = self._call("upload_part", name, UploadId=upload_id, PartNumber=number, Body=body)
        return self._told(answer, "ETag", name)

    def copy_part(self, name: str, upload_id: str, number: int, source: str, byte_range: tuple[int, int] | None) -> str:
        """A part of an object of this bucket: all of it, or bytes [start, end). The part's ETag."""
        asked: dict[str, Any] = {"CopySource": {"Bucket": self._place.bucket, "Key": source}}
        if byte_range is not None:
            asked["CopySourceRange"] = f"bytes={byte_range[0]}-{byte_range[1] - 1}"
        answer = self._call("upload_part_copy", name, UploadId=upload_id, PartNumber=number, **asked)
        etag = answer.get("CopyPartResult", {}).get("ETag")
        if not etag:  # it knows no copies, and has taken the empty body for the part
            raise _NotImplemented(f"{self.url}{name}: {self._server} does not know UploadPartCopy")
        found: str = etag
        return found

    def part_sizes(self, name: str, upload_id: str) -> list[int]:
        """Of all parts that have arrived, in order."""
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._place.bucket, Key=name, UploadId=upload_id
        )
        return self._translated(name, lambda: [part["Size"] for page in pages for part in page.get("Parts", ())])  # type: ignore[no-any-return]

    def complete_upload(self, name: str, upload_id: str, etags: Sequence[str], condition: Mapping[str, str]) -> None:
        """Raises Unmet; ObjectMissingError where there is no such upload any more."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        self._conditional(
            "complete_multipart_upload", name, condition, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )

    def abort_upload(self, name: str, upload_id: str) -> None:
        """One that is not there is fine."""
        with suppress(ObjectMissingError):
            self._call("abort_multipart_upload", name, UploadId=upload_id)

    def empty_uploads(self, name: str, begun_s: int) -> Iterator[str]:
        """Uploads of exactly this object without a part, begun about `begun_s` (seconds since 1970)."""
        begun = datetime.fromtimestamp(begun_s, UTC)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._place.bucket, Prefix=name)
        for upload_id in self._translated(name, lambda: list(_begun_near(begun, name, pages))):
            if not self._has_parts(name, upload_id):
                yield upload_id

    def _has_parts(self, name: str, upload_id: str) -> bool:
        return bool(self._call("list_parts", name, UploadId=upload_id, MaxParts=1).get("Parts"))

    def head(self, name: str) -> Mapping[str, Any] | None:
        """ETag and Metadata of the object; None: there is none."""
        try:
            found: Mapping[str, Any] = self._call("head_object", name)
        except ObjectMissingError:
            return None
        self._told(found, "ETag", name)
        return found

    def read(self, name: str, most_bytes: int) -> bytes:
        """Its first bytes: a server may send any number of them."""
        body = self._call("get_object", name)["Body"]
        try:
            content: bytes = self._translated(name, lambda: body.read(most_bytes))
        finally:
            body.close()
        return content

    def delete(self, name: str) -> None:
        self._call("delete_object", name)

    def _conditional(self, call: str, name: str, condition: Mapping[str, str], **parameters: Any) -> Any:
        """Servers that do not know conditions say so (R2 and others) or pass over them: then without."""
        try:
            return self._once(call, name, **parameters, **condition)
        except _NotImplemented:
            if not condition:
                raise
            return self._once(call, name, **parameters)

    def _call(self, call: str, name: str, **parameters: Any) -> Any:
        try:
            return self._once(call, name, **parameters)
        except StorageUnavailableError:
            time.sleep(_PAUSE_S)
            return self._once(call, name, **parameters)

    def _once(self, call: str, name: str, **parameters: Any) -> Any:
        method = getattr(self._client, call)
        return self._translated(name, lambda: method(Bucket=self._place.bucket, Key=name, **parameters))

    def _translated(self, name: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ClientError as error:
            raise self._refusal(error, name) from error
        except (BotoCoreError, OSError) as error:
            raise self._fault(error, name) from error
        except HaulageError:
            raise
        except Exception as error:
            raise nonsense(f"{self.url}{name}", error) from error

    def _told(self, answer: Mapping[str, Any], member: str, name: str) -> str:
        told: str = self._translated(name, lambda: answer[member])
        return told

    def _fault(self, error: Exception, name: str) -> HaulageError:
        cause = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
        if isinstance(cause, HaulageError):
            return cause
        if isinstance(error, (S3ConnectionError, HTTPClientError, OSError)):
            kind = type(error).__name__
            return StorageUnavailableError(f"{self.url}{name}: no answer from {self._server} ({kind})")
        return StorageError(f"{self.url}{name}: {_one_line(str(error))}")

    def _refusal(self, error: ClientError, name: str) -> HaulageError:
        what, code = f"{self.url}{name}", code_of(error)
        is_publishing = error.operation_name in _PUBLISHING
        if code in _REPLACED or (is_publishing and code == "NoSuchKey"):  # If-Match of an object that was deleted
            return Unmet(f"{what} was written by somebody else meanwhile")
        if code in _OTHER_REGION:
            return StorageError(f"{what}: the bucket lies in another region than {self._place.region!r} ({code})")
        if code in _ELSEWHERE:
            return StorageError(
                f"{what}: {self._server} leads elsewhere ({code}), which is not followed: the bucket lies in another "
                f"region than {self._place.region!r}, or endpoint_url is not the server's own address"
            )
        if status_of(error) == _NOT_IMPLEMENTED:
            return _NotImplemented(f"{what}: {self._server} does not know {error.operation_name} as it was asked")
        return self._answer(error, what)

    def _answer(self, error: ClientError, what: str) -> HaulageError:
        code = code_of(error)
        match answer_of(error):
            case Answer.NO_BUCKET:
                found: HaulageError = StorageError(
                    f"bucket {self._place.bucket!r} does not exist at {self._server}: create it first"
                )
            case Answer.MISSING:
                found = ObjectMissingError(f"{what} is missing")
            case Answer.REFUSED:
                found = StorageError(f"{what}: {_REFUSALS.get(code) or self._not_allowed(error)} ({code})")
            case Answer.FULL:
                found = StorageFullError(f"{what}: the bucket is full ({code})")
            case Answer.PASSING:
                found = StorageUnavailableError(f"{what}: {self._server} answered {code}")
            case Answer.OTHER:
                found = StorageError(f"{what}: {code} {_one_line(error.response['Error'].get('Message', ''))}")
        return found

    def _not_allowed(self, error: ClientError) -> str:
        needed = {"CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "HeadObject": "GetObject"}
        action = needed.get(error.operation_name, error.operation_name)
        return f"access key {self._place.access_key_id!r} is refused; it needs s3:{action} there"


def _begun_near(begun: datetime, name: str, pages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for page in pages:
        for upload in page.get("Uploads", ()):
            if upload["Key"] == name and abs(upload["Initiated"] - begun) < _CLOCKS:
                yield upload["UploadId"]


class _NotImplemented(StorageError):  # noqa: N818
    """Also said of a header that the server does not know."""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARACTERS]
