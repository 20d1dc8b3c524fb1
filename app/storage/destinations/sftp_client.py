"""SFTP version 3 as paramiko speaks it, with what it does not tell: status codes and the server's extensions.

Facts from draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL file, sections 4.3 (posix-rename) and 4.6 (fsync).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

import paramiko
from paramiko.sftp import CMD_EXTENDED, CMD_INIT, CMD_VERSION

from app.errors import StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.ssh_line import Server, bounded, open_transport, translated

_VERSION = 3
_SYNC_S = 300.0
_RENAME = "posix-rename@openssh.com"
_SYNC = "fsync@openssh.com"


class Code(IntEnum):
    """Status codes; those above 8 come from later drafts, and some servers send them all the same."""

    OK = 0
    END = 1
    MISSING = 2
    DENIED = 3
    UNSUPPORTED = 8
    NO_SPACE = 14
    QUOTA = 15


class StatusError(OSError):
    """The server said no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = "".join(each if each.isprintable() else " " for each in text)[:200]


class Client(paramiko.SFTPClient):  # type: ignore[misc] # paramiko has no types
    """One sftp session. Raises StatusError for what the server refuses."""

    extensions: frozenset[str] = frozenset()

    def _send_version(self) -> int:
        hello = paramiko.Message()
        hello.add_int(_VERSION)
        self._send_packet(CMD_INIT, hello)
        kind, data = self._read_packet()
        if kind != CMD_VERSION:
            raise paramiko.SFTPError("the server speaks no sftp")
        answer = paramiko.Message(data)
        version: int = answer.get_int()
        names = set()
        while answer.get_remainder():
            names.add(answer.get_binary().decode("utf-8", "replace"))
            answer.get_binary()
        self.extensions = frozenset(names)
        return version

    def _convert_status(self, msg: Any) -> None:
        code = msg.get_int()
        if code == Code.END:
            raise EOFError
        if code != Code.OK:
            raise StatusError(code, msg.get_binary().decode("utf-8", "replace"))


class Session:
    """A connection of its own with one sftp session. Close it."""

    def __init__(self, server: Server) -> None:
        """Raises what `open_transport` does, and StorageError where the user gets no sftp."""
        self._server = server
        self._transport = open_transport(server)
        try:
            self.client = self._start()
        except BaseException:
            self._transport.close()
            raise

    def _start(self) -> Client:
        server = self._server
        with bounded(self._transport, server), translated(server):
            try:
                channel = self._transport.open_session(timeout=server.answer_s)
                channel.settimeout(server.answer_s)
                channel.invoke_subsystem("sftp")
                return Client(channel)
            except (paramiko.SSHException, paramiko.SFTPError, EOFError) as error:
                if not self._transport.is_active() or "imeout" in str(error):
                    raise
                raise StorageError(f"{server.shown} gives the user {server.username!r} no sftp") from error

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Faults inside become ours. `what`: the words after "may not", such as `write a/b`."""
        with translated(self._server):
            try:
                yield
            except StatusError as error:
                raise self._explained(error, what) from error

    def _explained(self, error: StatusError, what: str) -> Exception:
        shown, user = self._server.shown, self._server.username
        if error.code in {Code.NO_SPACE, Code.QUOTA}:
            return StorageFullError(f"{shown} has no room: it could not {what} ({error.text})")
        if error.code == Code.DENIED:
            return StorageError(f"{shown}: the user {user!r} may not {what} ({error.text})")
        if error.code == Code.UNSUPPORTED:
            return StorageError(f"{shown} cannot {what} ({error.text})")
        if error.code == Code.MISSING:
            return StorageUnavailableError(f"{shown} could not {what}: file or folder was removed meanwhile")
        return StorageUnavailableError(
            f"{shown} could not {what} ({error.text}); servers say no more when their disk or the user's quota is full"
        )

    def find(self, path: str) -> Any:
        """Attributes of a file, links not followed; None: nothing is there."""
        return self._found(path, self.client.lstat)

    def _found(self, path: str, ask: Any) -> Any:
        with self.doing(f"look at {path}"):
            try:
                return ask(path)
            except StatusError as error:
                if error.code == Code.MISSING:
                    return None
                raise

    def make_folders(self, folder: str) -> None:
        """Make a folder and those above it, as far as they are missing. Raises StorageError for a file in the way."""
        missing = []
        while folder.strip("/") and (found := self._found(folder, self.client.stat)) is None:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        if folder.strip("/") and not is_folder(found):
            raise StorageError(f"{folder} at {self._server.shown} is no folder")
        for each in reversed(missing):
            with self.doing(f"make the folder {each}"):
                self._make_folder(each)

    def _make_folder(self, folder: str) -> None:
        try:
            self.client.mkdir(folder)
        except StatusError:
            if not is_folder(self._found(folder, self.client.stat)):  # another writer may have made it
                raise

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self.doing(f"remove {path}"):
            try:
                self.client.remove(path)
            except StatusError as error:
                if error.code != Code.MISSING:
                    raise

    def sync(self, file: Any) -> None:
        """Have the server bring a file to its disk, where it offers that."""
        if _SYNC not in self.client.extensions:
            return
        channel = self.client.get_channel()
        channel.settimeout(max(_SYNC_S, self._server.answer_s))
        try:
            self.client._request(CMD_EXTENDED, _SYNC, file.handle)  # noqa: SLF001 - as its posix_rename does
        finally:
            channel.settimeout(self._server.answer_s)

    @property
    def replaces(self) -> bool:
        """Whether a file can take another's place in one step."""
        return _RENAME in self.client.extensions

    def close(self) -> None:
        """Raises nothing."""
        with suppress(Exception):
            self._transport.close()


def is_folder(attributes: Any) -> bool:
    """Also where the server does not tell what it is."""
    return attributes is not None and (attributes.st_mode is None or stat.S_ISDIR(attributes.st_mode))
