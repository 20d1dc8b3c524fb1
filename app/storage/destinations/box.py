"""Files in a folder of Box: small ones in one call, the others by upload sessions.

From Box's guide to chunked uploads: a session is begun with the exact length of the file, takes files from 20 MB, says
how long each part must be, and is finished with the SHA-1 of the whole. Nobody sees anything before that. The length
of an output is known at its end only, so it waits in a temporary file, without a name, on the worker's disk.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from typing import Any

from app.errors import HaulageError, InvalidInputError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.box_client import BoxClient, Target, make_auth
from app.storage.destinations.box_errors import Conflict, GoneError
from app.storage.destinations.box_session import BoxSession
from app.storage.destinations.model import Destination, Given, Note, ReplacedMeanwhileError, Writing
from app.storage.destinations.names import object_name, read_prefix

SESSION_BYTES = 20 * 1024 * 1024
"""Files from this length go by sessions: the least that Box takes for them, and one call may have up to 50 MB."""
_MEMORY_BYTES = 8 * 1024 * 1024
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: `client_id` and `client_secret` with `enterprise_id` or `user_id`, or `access_token`; `folder_id`,
    `prefix`. Raises InvalidInputError.
    """
    config, hidden = given.config, given.secrets
    if hidden.get("client_secret"):
        _require(config.get("client_id"), "client_id", "is needed with a client_secret")
        subject = config.get("enterprise_id") or config.get("user_id")
        _require(subject, "enterprise_id", "this or user_id is needed with a client_secret")
    else:
        accepted = "is missing. Accepted: client_secret with client_id, or an access_token"
        _require(hidden.get("access_token"), "client_secret", accepted)
    client = BoxClient(make_auth(config, hidden), given.policy, config.get("base_url", ""))
    return BoxDestination(client, config.get("folder_id") or "0", read_prefix(config))


def _require(value: str | None, name: str, fault: str) -> None:
    if not value:
        raise InvalidInputError(f"{name}: {fault}.", field=f"/configuration/{name}")


class BoxDestination(Destination):
    """Prefix and path are names of folders below one that is known by its id; missing ones are made."""

    def __init__(self, client: BoxClient, folder_id: str, prefix: str) -> None:
        self.place = f"box:{folder_id}/{prefix}"
        self._client = client
        self._folder_id = folder_id
        self._prefix = prefix

    def check(self) -> None:
        path = f"haulage-check-{secrets.token_hex(8)}.txt"
        writing = self._begin(path, note=lambda _: None)
        writing.write(_CHECKED)
        writing.publish(None)
        made = writing.state()
        if made is None:
            raise StorageError(f"{self.place} takes files but does not show them")
        try:
            if self._client.read(made.id, self.place) != _CHECKED:
                raise StorageError(f"{self.place}{path} holds other bytes than were written to it")
        finally:
            self._client.delete(made.id, self.place)

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - sessions have ids
        return self._begin(path, note)

    def _begin(self, path: str, note: Note) -> BoxWriting:
        *folders, name = object_name(self._prefix, path).split("/")
        place = f"{self.place}{path}"
        folder_id = self._folder_id
        for folder in folders:
            folder_id = self._client.make_folder(folder_id, folder, place)
        writing = BoxWriting(self._client, Target(folder_id, name, place), note)
        writing.state()  # asks whether the folder may be written to
        return writing

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002
        object_name(self._prefix, path)
        for url in notes:
            self._client.abort(url, f"{self.place}{path}")

    def close(self) -> None:
        self._client.close()


class BoxWriting(Writing):
    """Small files and pieces of larger ones are in memory."""

    def __init__(self, client: BoxClient, target: Target, note: Note) -> None:
        self._client = client
        self._target = target
        self._note = note
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 - closed below
        weakref.finalize(self, self._file.close)  # a writer that is dropped gives its room back, too
        self._size = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._session: BoxSession | None = None

    def write(self, chunk: bytes) -> None:
        with _spooling(self._target.place):
            self._file.write(chunk)
        self._size += len(chunk)
        self._sha1.update(chunk)

    def finish(self) -> Iterator[int]:
        if self._size >= SESSION_BYTES:
            with suppress(ReplacedMeanwhileError):  # just now: `publish` begins another session
                yield from self._send(self.state())

    def state(self) -> Conflict | None:
        """The id of the file, and the etag and SHA-1 of its last version."""
        found = self._client.find(self._target)
        if found is not None and found.kind != "file":
            raise StorageError(f"{self._target.place} is a folder: a file of that name cannot be written")
        return found

    def publish(self, state: Any) -> None:
        try:
            self._publish(state)
        except GoneError:  # the file of `state`, or the session
            self._drop()
            raise ReplacedMeanwhileError(f"{self._target.place} was deleted by somebody else meanwhile") from None
        except StorageUnavailableError:
            if not self._is_published(state):
                raise
            with suppress(HaulageError):
                self._drop()  # it may be the same content by somebody else
        self._session = None
        self._file.close()

    def _publish(self, state: Conflict | None) -> None:
        if self._size >= SESSION_BYTES:
            for _ in self._send(state):
                pass
            assert self._session is not None
            self._session.commit(self._sha1.digest(), None if state is None else state.etag)
            return
        with _spooling(self._target.place):
            self._file.seek(0)
        self._client.upload(self._target, state, self._file, self._sha1.hexdigest())

    def _send(self, state: Conflict | None) -> Iterator[int]:
        """Have a session with all parts: the last one if it is for the same file, or else a new one. Yields lengths."""
        file_id = None if state is None else state.id
        if self._session is not None and not self._session.is_ready_for(file_id):
            self._drop()
        if self._session is None:
            self._session = BoxSession(self._client, self._target, file_id, self._size)
            self._note(self._session.abort_url)
            with _spooling(self._target.place):
                yield from self._session.send(self._file)

    def _is_published(self, state: Conflict | None) -> bool:
        """Whether it was done although the answer was lost."""
        found = self.state()
        return found is not None and found != state and found.sha1 == self._sha1.hexdigest()

    def abandon(self) -> None:
        with suppress(HaulageError):
            self._drop()
        self._file.close()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.abort()


@contextmanager
def _spooling(place: str) -> Iterator[None]:
    """Errors of the temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno in {ENOSPC, EDQUOT}:
            raise StorageFullError(
                f"{place}: the worker has no room for the temporary file that Box needs. An operator makes some, or "
                "names a folder with more in TMPDIR."
            ) from None
        raise StorageUnavailableError(f"{place}: the worker's temporary file fails ({error.strerror})") from None
