"""One object on its way into a bucket, however its bytes come there: what both ways of a push do alike."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from app.errors import HaulageError, ObjectMissingError, StorageError, StorageUnavailableError
from app.storage.destinations.model import Note, ReplacedMeanwhileError, Unpublished
from app.storage.destinations.s3_bucket import ATTEMPT, S3Bucket, Unmet

_BEGUN = "begun "
_UPLOAD = "upload "


@dataclass(frozen=True)
class Seen:
    """What is at a path. `etag` None: nothing."""

    etag: str | None
    is_known: bool = True
    """False: the key may not read there, so that nothing can be compared."""

    def may_be(self, other: Seen) -> bool:
        """Whether both are the same, as far as is known."""
        return self == other or not (self.is_known and other.is_known)

    @property
    def condition(self) -> Mapping[str, str]:
        if not self.is_known:
            return {}
        return {"IfNoneMatch": "*"} if self.etag is None else {"IfMatch": self.etag}


class S3Upload(Unpublished):
    """Notes: `begun <seconds since 1970>` before a multipart upload is created, `upload <UploadId>` behind that."""

    def __init__(self, bucket: S3Bucket, name: str, nonce: str, note: Note) -> None:
        self._bucket = bucket
        self._name = name
        self._nonce = nonce
        self._note = note
        self._notes: list[str] = []
        self._upload_id = ""
        self._is_over = False

    def _begin_upload(self) -> None:
        if not self._upload_id:
            self._remember(f"{_BEGUN}{int(time.time())}")
            self._upload_id = self._bucket.create_upload(self._name, self._nonce)
            self._remember(_UPLOAD + self._upload_id)

    def _remember(self, text: str) -> None:
        self._notes.append(text)
        self._note(text)

    def state(self) -> Seen:
        try:
            found = self._bucket.head(self._name)
        except StorageError:
            return Seen(None, is_known=False)
        return Seen(None if found is None else found["ETag"])

    def publish(self, state: Any) -> None:
        """Compares by itself first: servers that do not know conditions are then at least not far off."""
        etags = self._sent()
        if not self.state().may_be(state):
            raise self._replaced()
        try:
            self._finish(etags, state.condition)
        except (Unmet, ObjectMissingError, StorageUnavailableError) as error:
            self._resolve(error)
        self._is_over = True

    @abstractmethod
    def _sent(self) -> Sequence[str]:
        """The ETags of all parts, when they have arrived. May be called again."""

    def _finish(self, etags: Sequence[str], condition: Mapping[str, str]) -> None:
        self._bucket.complete_upload(self._name, self._upload_id, etags, condition)

    def _resolve(self, error: HaulageError) -> None:
        """Whether a call that failed was carried out all the same: then the object there is ours."""
        with suppress(StorageError, StorageUnavailableError):
            found = self._bucket.head(self._name)
            if found is not None and found.get("Metadata", {}).get(ATTEMPT) == self._nonce:
                return
        if isinstance(error, Unmet):
            raise self._replaced() from error
        if isinstance(error, ObjectMissingError):
            raise self._gone() from error
        raise error

    def _replaced(self) -> ReplacedMeanwhileError:
        return ReplacedMeanwhileError(f"{self._bucket.url}{self._name} was written by somebody else meanwhile")

    def _gone(self) -> StorageUnavailableError:
        return StorageUnavailableError(f"the unfinished upload of {self._bucket.url}{self._name} was aborted meanwhile")

    def abandon(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop()
        with suppress(HaulageError):
            discard(self._bucket, self._name, self._notes)

    @abstractmethod
    def _stop(self) -> None:
        """Send nothing more, and let go of what is held."""


def discard(bucket: S3Bucket, name: str, notes: Sequence[str]) -> None:
    """Abort what an attempt with these notes began.

    Where it ended between creating an upload and noting it, or never heard the answer, the uploads of exactly this
    object that have no part and were begun within minutes of the note are aborted. A living attempt has a part there
    within seconds; should one be hit, it fails with a passing fault and begins anew.
    """
    for note, following in zip_longest(notes, notes[1:], fillvalue=""):
        if note.startswith(_UPLOAD):
            bucket.abort_upload(name, note.removeprefix(_UPLOAD))
        elif not following.startswith(_UPLOAD):
            for upload_id in bucket.empty_uploads(name, int(note.removeprefix(_BEGUN))):
                bucket.abort_upload(name, upload_id)
