"""One upload session of Box's: parts of the length that it names, each with its SHA-1, in order."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import IO

from box_sdk_gen.schemas.upload_part import UploadPart

from app.errors import StorageError, StorageUnavailableError
from app.storage.destinations.box_client import BoxClient, Target, trusted
from app.storage.destinations.box_errors import GoneError
from app.storage.destinations.model import ReplacedMeanwhileError

_MOST_PART_BYTES = 256 * 1024 * 1024
"""A part is in memory. Box names 8 MiB for small files and more for large ones, to stay within 10,000 parts."""


class BoxSession:
    """Raises what `box_errors.translated` does."""

    def __init__(self, client: BoxClient, target: Target, file_id: str | None, size: int) -> None:
        """Begin one, for a new version of a file or (None) for a new file."""
        self._client = client
        self._place = target.place
        self._file_id = file_id
        self._size = size
        self._parts: list[UploadPart] = []
        begun = client.begin_session(target, file_id, size)
        urls = begun.session_endpoints
        if urls is None or not (urls.upload_part and urls.commit and urls.abort and urls.list_parts):
            raise StorageUnavailableError(f"{self._place}: Box begins an upload without saying how it goes on")
        self.abort_url = trusted(urls.abort, self._place)
        self._part_url, self._commit_url, self._list_url = urls.upload_part, urls.commit, urls.list_parts
        self._part_size = begun.part_size or 0
        if not 0 < self._part_size <= _MOST_PART_BYTES:
            self.abort()
            raise StorageError(f"{self._place}: Box asks for parts of {self._part_size} bytes, which is not sensible")
        self._part_count = -(-size // self._part_size)

    def is_ready_for(self, file_id: str | None) -> bool:
        """Whether it has all parts and makes a version of this file (None: a new file)."""
        return self._file_id == file_id and len(self._parts) == self._part_count

    def send(self, file: IO[bytes]) -> Iterator[int]:
        """Send all of a file that can be sought in. Yields the length of each part."""
        for first in range(0, self._size, self._part_size):
            file.seek(first)
            part = file.read(self._part_size)
            self._parts.append(self._put(first, part))
            yield len(part)

    def _put(self, first: int, part: bytes) -> UploadPart:
        """Tries twice. A part that is there already would be refused: its answer was lost, so it is looked for."""
        try:
            return self._put_once(first, part)
        except StorageUnavailableError as error:
            if error.retry_after_s is not None:
                raise
        arrived = self._client.find_part(self._list_url, len(self._parts), self._place)
        if arrived is not None and (arrived.offset, arrived.size) == (first, len(part)):
            return arrived
        return self._put_once(first, part)

    def _put_once(self, first: int, part: bytes) -> UploadPart:
        digest = _sha(hashlib.sha1(part, usedforsecurity=False).digest())
        content_range = f"bytes {first}-{first + len(part) - 1}/{self._size}"
        try:
            return self._client.upload_part(self._part_url, io.BytesIO(part), digest, content_range, self._place)
        except (GoneError, ReplacedMeanwhileError):  # of the session, not of the file
            raise StorageUnavailableError(f"{self._place}: the upload session does not take a part") from None

    def commit(self, sha1: bytes, etag: str | None) -> None:
        """Publish: as a new file, or as a new version if the last one has this etag."""
        self._client.commit(self._commit_url, self._parts, _sha(sha1), etag, self._place)

    def abort(self) -> None:
        """Make Box forget it and its parts."""
        self._client.abort(self.abort_url, self._place)


def _sha(digest: bytes) -> str:
    """As Box's `Digest` header spells it (RFC 3230)."""
    return f"sha={base64.b64encode(digest).decode()}"
