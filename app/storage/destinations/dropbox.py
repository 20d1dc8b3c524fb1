"""Files in a Dropbox, by the upload sessions of its API version 2.

From Dropbox's reference of files/upload_session: a session takes its bytes in order, at most 150 MiB a call; nobody
sees them before the finish; it is forgotten after 7 days, and no call removes it earlier. `incorrect_offset` tells how
much has arrived. A finish that is refused for its path leaves the session as it was. With `strict_conflict` a finish
in mode `update` fails unless the file still has that revision, in mode `add` if anything is there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from dropbox import Dropbox
from dropbox.files import CommitInfo, FileMetadata, UploadSessionCursor, WriteMode

from app.errors import InvalidInputError, ObjectMissingError, StorageError, StorageUnavailableError
from app.storage.checked_requests import SILENCE_TIMEOUT_S, make_session
from app.storage.destinations.dropbox_errors import MissingScopeError, OffsetError, translated
from app.storage.destinations.model import Destination, Given, Note, Writing
from app.storage.destinations.names import object_name, read_prefix

_BLOCK_BYTES = 4 * 1024 * 1024  # what Dropbox stores and hashes
_PART_BYTES = 2 * _BLOCK_BYTES
_READ_SCOPE = "files.content.read"
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: `refresh_token`, `app_key` and `app_secret` (none for PKCE), or `access_token`; `prefix`,
    `namespace_id`, `team_member_id`. Raises InvalidInputError.
    """
    config, hidden = given.config, given.secrets
    refresh_token = hidden.get("refresh_token")
    if not refresh_token and not hidden.get("access_token"):
        raise InvalidInputError(
            "refresh_token: is missing. Accepted: refresh_token with app_key and app_secret, or an access_token.",
            field="/configuration/refresh_token",
        )
    if refresh_token and not config.get("app_key"):
        raise InvalidInputError("app_key: is needed with a refresh_token.", field="/configuration/app_key")
    client = Dropbox(
        oauth2_access_token=None if refresh_token else hidden["access_token"],
        oauth2_refresh_token=refresh_token,
        app_key=config.get("app_key"),
        app_secret=hidden.get("app_secret"),
        max_retries_on_error=0,  # it would sleep up to 16 s, and for as long as a 429 says
        max_retries_on_rate_limit=0,
        user_agent="Haulage",
        session=make_session(given.policy, base_url=config.get("base_url", "")),
        headers=_headers(config.get("namespace_id", ""), config.get("team_member_id", "")),
        timeout=SILENCE_TIMEOUT_S,
    )
    return DropboxDestination(client, config.get("namespace_id", ""), read_prefix(config))


def _headers(namespace_id: str, team_member_id: str) -> dict[str, str]:
    headers = {}
    if namespace_id:
        root = {".tag": "namespace_id", "namespace_id": namespace_id}
        headers["Dropbox-API-Path-Root"] = json.dumps(root)
    if team_member_id:
        headers["Dropbox-API-Select-User"] = team_member_id
    return headers


class DropboxDestination(Destination):
    """Missing folders are made by Dropbox itself."""

    def __init__(self, client: Dropbox, namespace_id: str, prefix: str) -> None:
        self.place = f"dropbox:{namespace_id}/{prefix}"
        self._client = client
        self._prefix = prefix

    def check(self) -> None:
        path = f"haulage-check-{secrets.token_hex(8)}.txt"
        writing = self._begin(path)
        writing.write(_CHECKED)
        writing.publish(None)
        try:
            self._check_content(path)
        finally:
            with translated(f"{self.place}{path}"):
                self._client.files_delete_v2(f"/{object_name(self._prefix, path)}")

    def _check_content(self, path: str) -> None:
        """Raises StorageError if the file holds other bytes. An app that may not read is fine."""
        try:
            with translated(f"{self.place}{path}"):
                _, answer = self._client.files_download(f"/{object_name(self._prefix, path)}")
                found = answer.content
        except MissingScopeError as error:
            if error.scope != _READ_SCOPE:
                raise
            return
        if found != _CHECKED:
            raise StorageError(f"{self.place}{path} holds other bytes than were written to it")

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - nothing can be removed
        return self._begin(path)

    def _begin(self, path: str) -> DropboxWriting:
        name = object_name(self._prefix, path)
        place = f"{self.place}{path}"
        with translated(place):
            session_id = self._client.files_upload_session_start(b"").session_id
        return DropboxWriting(self._client, f"/{name}", place, session_id)

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002 - none are made
        """Dropbox forgets unfinished sessions by itself."""
        object_name(self._prefix, path)

    def close(self) -> None:
        self._client.close()


class DropboxWriting(Writing):
    """One part is in memory."""

    def __init__(self, client: Dropbox, path: str, place: str, session_id: str) -> None:
        self._client = client
        self._path = path
        self._place = place
        self._session_id = session_id
        self._part = bytearray()
        self._sent = 0
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._part += chunk
        while len(self._part) >= _PART_BYTES:
            self._append(bytes(self._part[:_PART_BYTES]))
            del self._part[:_PART_BYTES]

    def finish(self) -> Iterator[int]:
        if self._part:
            last = bytes(self._part)
            self._append(last)
            self._part.clear()
            yield len(last)

    def _append(self, part: bytes) -> None:
        """Tries twice, since its offset makes that harmless: bytes whose answer was lost are not taken again."""
        digests = _digests(part)
        try:
            self._send(part, digests)
        except StorageUnavailableError as error:
            if error.retry_after_s is not None:
                raise
            self._send(part, digests)
        self._sent += len(part)
        self._hash.update(digests)

    def _send(self, part: bytes, digests: bytes) -> None:
        cursor = UploadSessionCursor(self._session_id, self._sent)
        try:
            with translated(self._place):
                self._client.files_upload_session_append_v2(
                    part, cursor, content_hash=hashlib.sha256(digests).hexdigest()
                )
        except OffsetError as error:
            if error.correct_offset != self._sent + len(part):
                raise

    def state(self) -> str | None:
        """The revision of the file."""
        found = self._metadata()
        return None if found is None else found.rev

    def _metadata(self) -> FileMetadata | None:
        try:
            with translated(self._place):
                found = self._client.files_get_metadata(self._path)
        except ObjectMissingError:
            return None
        if not isinstance(found, FileMetadata):
            raise StorageError(f"{self._place} is a folder: a file of that name cannot be written")
        return found

    def publish(self, state: Any) -> None:
        for _ in self.finish():
            pass
        commit = CommitInfo(
            self._path,
            mode=WriteMode.add if state is None else WriteMode.update(state),
            autorename=False,
            strict_conflict=True,
            mute=True,
        )
        try:
            with translated(self._place):
                self._client.files_upload_session_finish(b"", UploadSessionCursor(self._session_id, self._sent), commit)
        except StorageUnavailableError:
            if not self._is_published(state):
                raise

    def _is_published(self, state: Any) -> bool:
        """Whether the finish was done although its answer was lost."""
        found = self._metadata()
        return found is not None and found.rev != state and found.content_hash == self._hash.hexdigest()

    def abandon(self) -> None:
        self._part.clear()


def _digests(part: bytes) -> bytes:
    """SHA-256 of each block; Dropbox's content hash of a file is the SHA-256 of all of these in a row."""
    view = memoryview(part)
    blocks = (view[start : start + _BLOCK_BYTES] for start in range(0, len(part), _BLOCK_BYTES))
    return b"".join(hashlib.sha256(block).digest() for block in blocks)
