"""Files on an SFTP server: written under a name of their own in the object's folder, then renamed.

With paramiko and not through smart-open: that trusts any host key, reads ~/.ssh/config, known_hosts and the keys of the
machine, and keeps connections (with passwords) for the life of the process (docs/decisions.md, 76).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from app.errors import HaulageError, InvalidInputError, StorageError, StorageUnavailableError
from app.storage.destinations.model import Destination, Given, Note, ReplacedMeanwhileError, Writing
from app.storage.destinations.names import object_name, read_prefix
from app.storage.destinations.sftp_client import Code, Session, StatusError, is_folder
from app.storage.destinations.ssh_keys import HostPin, read_private_key
from app.storage.destinations.ssh_line import Server

_ANSWER_S = 30.0
_OPEN_S = 60.0
_LAST_PORT = 65535
_PIECE_BYTES = 32 * 1024 - 512
"""Of one write. Servers must take 34,000 bytes; so many fit into one packet of SSH with what goes around them."""
_MOST_AHEAD = 64
"""Writes that the server may owe its answer for: 2 MiB, as much as OpenSSH lets a client send ahead."""
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: `host`, `port`, `username`, `host_key`, `prefix`, `password`, `private_key`, `private_key_passphrase`.

    Raises InvalidInputError that names the setting, AddressRefusedError.
    """
    config, hidden = given.config, given.secrets
    password, key_text = hidden.get("password", ""), hidden.get("private_key", "")
    if not password and not key_text:
        raise InvalidInputError("Give password or private_key, or both.", field="/configuration/password")
    host, port = config["host"].strip("[]"), _read_port(config.get("port", "22"))
    given.policy.check_host(host, port, "sftp")
    server = Server(
        host=host,
        port=port,
        username=_read_username(config["username"]),
        pin=HostPin.parse(config["host_key"]),
        password=password,
        key=read_private_key(key_text, hidden.get("private_key_passphrase", "")) if key_text else None,
        policy=given.policy,
        answer_s=_ANSWER_S,
        open_s=_OPEN_S,
    )
    prefix = config.get("prefix", "")
    base = "/" if prefix.startswith("/") else ""
    return SftpDestination(server, base, read_prefix({"prefix": prefix.removeprefix("/")}))


def _read_port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= _LAST_PORT:
        raise InvalidInputError(f"port {text[:20]!r} is not accepted: 1 to {_LAST_PORT}.", field="/configuration/port")
    return int(text)


def _read_username(text: str) -> str:
    if not text or not text.isprintable():
        raise InvalidInputError("username is not accepted: printable characters.", field="/configuration/username")
    return text


class SftpDestination(Destination):
    """Each object is written over a connection of its own."""

    def __init__(self, server: Server, base: str, prefix: str) -> None:
        """`base`: empty, so that names begin in the folder that the user is let into, or `/`."""
        port = "" if server.port == 22 else f":{server.port}"  # noqa: PLR2004 - the port of SSH
        self.place = f"sftp://{server.username}@{server.host}{port}/{base}{prefix}"
        self._server = server
        self._base = base
        self._prefix = prefix

    def check(self) -> None:
        path = f"haulage-check-{secrets.token_hex(8)}.txt"
        writing = self._begin(path, secrets.token_hex(8))
        try:
            writing.write(_CHECKED)
            writing.publish(None)
        except BaseException:
            writing.abandon()
            raise
        session = Session(self._server)
        try:
            found = _read_back(session, writing.target)
            session.remove(writing.target)
        finally:
            session.close()
        if found not in {None, _CHECKED}:
            raise StorageError(f"{writing.target} at {self.place} held other bytes than were written to it")

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - the server needs neither
        return self._begin(path, nonce)

    def _begin(self, path: str, nonce: str) -> SftpWriting:
        target = self._target(path)
        session = Session(self._server)
        try:
            return SftpWriting(self, session, target, path, nonce)
        except BaseException:
            session.close()
            raise

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002 - none are made
        target = self._target(path)
        session = Session(self._server)
        try:
            session.remove(_beside(target, nonce, "part"))
            _give_back(session, target, _beside(target, nonce, "old"))
        finally:
            session.close()

    def _target(self, path: str) -> str:
        return self._base + object_name(self._prefix, path)


class SftpWriting(Writing):
    """A file under a temporary name. Its session is used for nothing else: paramiko would mix up the answers."""

    def __init__(self, place: SftpDestination, session: Session, target: str, path: str, nonce: str) -> None:
        self.target = target
        self._place = place
        self._session = session
        self._path = path
        self._nonce = nonce
        self._part = _beside(target, nonce, "part")
        self._held = bytearray()
        self._sent_count = 0
        self._sent_bytes = 0
        self._is_whole = False
        self._is_over = False
        session.make_folders(target.rpartition("/")[0])
        with session.doing(f"write {self._part}"):
            self._file = session.client.open(self._part, "wx")

    def write(self, chunk: bytes) -> None:
        self._held += chunk
        end = max(len(self._held) - 1, 0) // _PIECE_BYTES * _PIECE_BYTES  # the last piece is kept for `_settle`
        with memoryview(self._held) as view, self._session.doing(f"write {self._part}"):
            for start in range(0, end, _PIECE_BYTES):
                self._sent_count += 1
                self._send(view[start : start + _PIECE_BYTES].tobytes(), ahead=self._sent_count % _MOST_AHEAD != 0)
        del self._held[:end]

    def _settle(self) -> None:
        """Return when the server has answered every write. Nothing else may be asked before: paramiko would throw these
        answers away, refusals among them, and wait for them later; its `close` forgets them too.
        """
        if self._held:
            with self._session.doing(f"write {self._part}"):
                self._send(bytes(self._held), ahead=False)
            self._held.clear()

    def _send(self, piece: bytes, *, ahead: bool) -> None:
        """Not `ahead`: return when the server has answered this and every write before."""
        self._file.set_pipelined(ahead)
        self._file.write(piece)
        self._sent_bytes += len(piece)

    def state(self) -> Any:
        """Length and time of the last change, in seconds: all that the protocol tells."""
        self._settle()
        found = self._session.find(self.target)
        if found is None:
            return None
        if found.st_mode is not None and is_folder(found):
            raise StorageError(f"{self.target} at {self._place.place} is a folder; choose another path")
        return found.st_size, found.st_mtime

    def publish(self, state: Any) -> None:
        """The protocol knows no condition: between comparing and renaming is one round trip.

        Servers without posix-rename cannot replace a file in one step: what is there is moved aside first, and readers
        find nothing for two round trips. `discard` moves it back if the connection is lost in between.
        """
        self._finish()
        if self.state() != state:
            raise ReplacedMeanwhileError(f"{self.target} was written by somebody else meanwhile")
        with self._session.doing(f"rename {self._part} to {self.target}"):
            if self._session.replaces:
                self._session.client.posix_rename(self._part, self.target)
            else:
                self._move_in(is_taken=state is not None)
        self._is_over = True
        self._session.close()

    def _move_in(self, *, is_taken: bool) -> None:
        client, old = self._session.client, _beside(self.target, self._nonce, "old")
        if is_taken:
            client.rename(self.target, old)
        client.rename(self._part, self.target)
        if is_taken:
            client.remove(old)

    def _finish(self) -> None:
        """Bring the whole file to the server's disk."""
        if self._is_whole:
            return
        self._settle()
        with self._session.doing(f"write {self._part}"):
            self._session.sync(self._file)
            size = self._file.stat().st_size
            self._file.close()
        if size not in {None, self._sent_bytes}:
            raise StorageUnavailableError(f"{self._part} holds {size} bytes of {self._sent_bytes} at the server")
        self._is_whole = True

    def abandon(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._session.close()
        with suppress(HaulageError):
            self._place.discard(self._path, nonce=self._nonce, notes=[])

    def __del__(self) -> None:
        self._session.close()  # else its thread would keep the connection until the process ends


def _beside(target: str, nonce: str, kind: str) -> str:
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}.{name}.{nonce}.{kind}"


def _give_back(session: Session, target: str, old: str) -> None:
    """What a dead writer had moved aside."""
    if session.replaces or session.find(old) is None:
        return
    if session.find(target) is None:
        with session.doing(f"rename {old} to {target}"):
            session.client.rename(old, target)
    else:
        session.remove(old)


def _read_back(session: Session, target: str) -> bytes | None:
    """What the file of a check holds; None: the user may write but not read."""
    with session.doing(f"read {target}"):
        try:
            with session.client.open(target) as file:
                return bytes(file.read(len(_CHECKED) + 1))
        except StatusError as error:
            if error.code == Code.DENIED:
                return None
            raise
