"""The calls of Google Cloud Storage that a destination needs: bounded in time, and only to checked addresses.

Sources: cloud.google.com/storage/docs, "Objects: insert", "Objects: rewrite", "Objects: compose" (JSON API reference),
"Perform resumable uploads". Google's client library is not used for them: it sends credentials wherever an answer
redirects it, waits for minutes, and closes a resumable upload only together with its last bytes.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import google_crc32c
from requests import RequestException, Response, Session  # noqa: TID251 - of google-auth
from requests.exceptions import Timeout  # noqa: TID251

from app.errors import HaulageError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.gcs_account import Tokens
from app.storage.destinations.model import ReplacedMeanwhileError
from app.storage.destinations.tries import PAUSES_S, NotNowError, few_tries
from app.storage.strange_answers import nonsense

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
REWRITE_TIMEOUT_S = 90.0
"""Google answers a rewrite of many bytes within a minute, with a token to go on."""

_TYPE = "application/octet-stream"
_BOUNDARY = "haulage"
_OK, _CREATED, _NO_CONTENT, _INCOMPLETE = 200, 201, 204, 308
_MISSING, _GONE, _CONFLICT, _REFUSED = 404, 410, 412, {401, 403}
_CANCELLED = 499
_PASSING = {408, 409, 425, 429}
_FIRST_SERVER_FAULT, _FULL = 500, 507
_PASSING_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}
_FULL_REASONS = {"quotaExceeded"}
_REASON = re.compile(r"[A-Za-z]{1,60}")
_PERMISSION = re.compile(r"\bstorage\.[a-zA-Z]+\.[a-zA-Z]+\b")


@dataclass(frozen=True)
class Place:
    """Where, and what for people it is called."""

    bucket: str
    shown: str
    endpoint: str
    kms_key_name: str = ""


class GcsApi:
    """Names are whole, with the prefix. A generation of "0" means that there is no object.

    Every method raises StorageUnavailableError, StorageFullError, StorageError or AddressRefusedError.
    """

    def __init__(self, place: Place, session: Session, tokens: Tokens) -> None:
        self._place = place
        self._session = session
        self._tokens = tokens
        self._objects = f"{place.endpoint}/storage/v1/b/{place.bucket}/o"
        self._uploads = f"{place.endpoint}/upload/storage/v1/b/{place.bucket}/o"

    def close(self) -> None:
        self._session.close()

    def generation(self, name: str) -> str:
        answer = self._call("GET", self._url(name), name, {"fields": "generation"}, ok={_OK, _MISSING})
        return str(self._document(answer, name, "generation")["generation"]) if answer.status_code == _OK else "0"

    def read(self, name: str) -> bytes:
        return self._call("GET", self._url(name), name, {"alt": "media"}).content

    def delete(self, name: str) -> None:
        """An object that is not there is fine."""
        self._call("DELETE", self._url(name), name, ok={_OK, _NO_CONTENT, _MISSING})

    def put(self, name: str, content: bytes, *, generation: str) -> None:
        """In one call, if the object has that generation. Raises ReplacedMeanwhileError."""
        told = json.dumps({"name": name, "contentType": _TYPE, "crc32c": crc32c_text(content)})
        lines = (f"--{_BOUNDARY}", "Content-Type: application/json; charset=UTF-8", "", told, f"--{_BOUNDARY}")
        head = "\r\n".join((*lines, f"Content-Type: {_TYPE}", "", "")).encode()
        answer = self._call(
            "POST",
            self._uploads,
            name,
            {"uploadType": "multipart", "ifGenerationMatch": generation, **self._key("kmsKeyName")},
            {"Content-Type": f"multipart/related; boundary={_BOUNDARY}"},
            head + content + f"\r\n--{_BOUNDARY}--\r\n".encode(),
        )
        self._document(answer, name, "generation")

    def begin(self, name: str) -> str:
        """The URL of a new resumable upload. Whoever knows it may write to that name for a week."""
        query = {"uploadType": "resumable", "name": name, **self._key("kmsKeyName")}
        headers = {"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Type": _TYPE}
        url = self._call("POST", self._uploads, name, query, headers, b"{}").headers.get("Location", "")
        if urlsplit(url)[:2] != urlsplit(self._uploads)[:2]:
            raise StorageError(f"{self._place.shown}: the server leads uploads to another host, which is not followed")
        return url

    def send(self, url: str, part: bytes, start: int, name: str, *, is_last: bool = False) -> Mapping[str, Any]:
        """Send bytes [start, start + len(part)); of all but the last part a multiple of 256 KiB.

        Returns what the object is after the last one. What of a part did not arrive is sent again.
        """
        end = start + len(part)
        total = str(end) if is_last else "*"
        held = start
        for pause_s in (*PAUSES_S, None):
            try:
                answer = self._put(url, part[held - start :], f"bytes {held}-{end - 1}/{total}", name)
            except NotNowError:
                raise
            except StorageUnavailableError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
                answer = self._put(url, b"", f"bytes */{total}", name)
            if answer.status_code != _INCOMPLETE:
                return self._document(answer, name)
            held = _held_bytes(answer)
            if held == end and not is_last:
                return {}
            if not start <= held < end:
                break
        raise StorageUnavailableError(f"{self._what(name)}: the server lost a part of the upload")

    def cancel(self, url: str, name: str) -> None:
        """End a resumable upload that is not finished; one that is not known is fine."""
        self._call("DELETE", url, name, ok={_OK, _NO_CONTENT, _CANCELLED, _MISSING, _GONE})

    def rewrite(self, source: str, source_generation: str, name: str, *, generation: str) -> None:
        """Copy an object within the bucket, if the target has that generation. Raises ReplacedMeanwhileError."""
        url = f"{self._url(source)}/rewriteTo/b/{self._place.bucket}/o/{quote(name, safe='')}"
        query = {"sourceGeneration": source_generation, "ifGenerationMatch": generation}
        query |= self._key("destinationKmsKeyName")
        while True:
            answer = self._call("POST", url, name, query, read_s=REWRITE_TIMEOUT_S)
            if self._document(answer, name, "done")["done"]:
                return
            query["rewriteToken"] = self._document(answer, name, "rewriteToken")["rewriteToken"]

    def compose(self, sources: Sequence[tuple[str, str]], name: str) -> Mapping[str, Any]:
        """Make an object of up to 32 of the bucket's, each with its generation if that is known (else empty).

        Returns what the object is then.
        """
        told = [{"name": source, **({"generation": number} if number else {})} for source, number in sources]
        body = json.dumps({"sourceObjects": told, "destination": {"contentType": _TYPE}}).encode()
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        url, query = f"{self._url(name)}/compose", self._key("kmsKeyName")
        answer = self._call("POST", url, name, query, headers, body, read_s=REWRITE_TIMEOUT_S)
        return self._document(answer, name, "generation", "size")

    def _put(self, url: str, part: bytes, content_range: str, name: str) -> Response:
        headers = {"Content-Range": content_range}
        ok = {_OK, _CREATED, _INCOMPLETE, _MISSING, _GONE}
        answer = self._once(_Request("PUT", url, name, {}, headers, part, ok))
        if answer.status_code in {_MISSING, _GONE}:
            raise NotNowError(f"{self._what(name)}: the upload was ended meanwhile")
        return answer

    def _document(self, answer: Response, name: str, *needed: str) -> Mapping[str, Any]:
        """What an answer holds, the members `needed` at least."""
        try:
            found: dict[str, Any] = {**answer.json()}
            _ = [found[member] for member in needed]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise nonsense(self._what(name), error) from error
        return found

    def _key(self, parameter: str) -> dict[str, str]:
        return {parameter: self._place.kms_key_name} if self._place.kms_key_name else {}

    def _url(self, name: str) -> str:
        return f"{self._objects}/{quote(name, safe='')}"

    def _what(self, name: str) -> str:
        return f"object {name} in {self._place.shown}"

    def _call(self, *words: Any, **options: Any) -> Response:
        """A request, as `_Request` says, in few tries."""
        return few_tries(lambda: self._once(_Request(*words, **options)))

    def _once(self, request: _Request) -> Response:
        shown = self._what(request.name)
        try:
            answer = self._session.request(
                request.method,
                request.url,
                params=request.query,
                headers={**request.headers, **self._tokens.headers(self._session)},
                data=io.BytesIO(request.body) if request.body else b"",  # a file goes out in pieces, each in its time
                timeout=(CONNECT_TIMEOUT_S, request.read_s or READ_TIMEOUT_S),
                allow_redirects=False,
            )
        except Timeout as error:
            raise NotNowError(f"{shown}: no answer from {self._place.endpoint} in time") from error
        except (RequestException, OSError) as error:
            raise StorageUnavailableError(
                f"{shown}: no answer from {self._place.endpoint} ({type(error).__name__})"
            ) from error
        if answer.status_code not in request.ok:
            raise self._refusal(answer, shown)
        return answer

    def _refusal(self, answer: Response, shown: str) -> HaulageError:
        status, (reasons, permission) = answer.status_code, _told(answer)
        told = ", ".join([str(status), *sorted(reasons)])
        if status == _CONFLICT:
            return ReplacedMeanwhileError(f"{shown} was written by somebody else meanwhile")
        if status == _FULL or reasons & _FULL_REASONS:
            return StorageFullError(f"{shown}: the bucket's quota is used up ({told})")
        if status in _PASSING or status >= _FIRST_SERVER_FAULT or reasons & _PASSING_REASONS:
            return StorageUnavailableError(f"{shown}: the server failed ({told})")
        if status == _MISSING:
            return StorageError(
                f"bucket {self._place.bucket!r} does not exist, or the service account may not see it; "
                f"nothing can be written to {self._place.shown}"
            )
        if status in _REFUSED:
            return StorageError(
                f"{shown}: {self._tokens.account} is refused ({told}). It needs the role Storage Object User in the "
                f"bucket{permission and f'; what it lacks is {permission}'}."
            )
        return StorageError(f"{shown} is refused by the server ({told})")


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    name: str
    """Of the object, for messages."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ok: AbstractSet[int] = frozenset({_OK})
    read_s: float | None = None


def crc32c_text(content: bytes) -> str:
    """The checksum of content as Google writes it."""
    return _crc_text(google_crc32c.value(content))


def _crc_text(value: int) -> str:
    return base64.b64encode(value.to_bytes(4, "big")).decode()


class Crc32c:
    """The checksum of what came so far."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, content: bytes) -> None:
        self._value = google_crc32c.extend(self._value, content)

    def __str__(self) -> str:
        return _crc_text(self._value)


def _held_bytes(answer: Response) -> int:
    """How many bytes of the upload have arrived: `Range: bytes=0-524287`, no such line for none."""
    last = answer.headers.get("Range", "").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() else 0


def _told(answer: Response) -> tuple[set[str], str]:
    """The reasons of a refusal, and the permission that it names. Anything else in it may be anything."""
    try:
        error = answer.json()["error"]
        reasons = {str(each.get("reason")) for each in error.get("errors", ())}
        permission = _PERMISSION.search(str(error.get("message")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(), ""
    return {reason for reason in reasons if _REASON.fullmatch(reason)}, permission[0] if permission else ""
