"""An SSH server of paramiko's, for what OpenSSH does only as root or not at all: passwords, and rare ways to log in.

It has no files: who is let in gets an sftp session that refuses every request.
"""

# ruff: noqa: ARG002 - the signatures are paramiko's
from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko

from tests.fixtures.openssh import make_key


class Door(paramiko.ServerInterface):  # type: ignore[misc] # paramiko has no types
    """Lets the user `u` in with the password `open sesame`, by one of `ways`, after a key where `first_key` is set."""

    def __init__(self, ways: str, first_key: str) -> None:
        self._ways = ways
        self._first_key = first_key
        self._has_shown_key = not first_key
        self.tried: list[str] = []

    def get_allowed_auths(self, username: str) -> str:
        return self._ways if self._has_shown_key else "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        self.tried.append("password")
        return self._verdict("password" in self._ways and self._has_shown_key and password == "open sesame")

    def check_auth_publickey(self, username: str, key: Any) -> int:
        self.tried.append("publickey")
        if self._first_key.split()[1:] != [key.get_base64()]:
            return self._verdict(False)
        self._has_shown_key = True
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        self.tried.append("keyboard-interactive")
        if "keyboard-interactive" not in self._ways:
            return paramiko.AUTH_FAILED
        return paramiko.InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._verdict(responses == ["open sesame"])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    @staticmethod
    def _verdict(is_right: bool) -> int:
        return int(paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED)


@contextmanager
def ssh_server(ways: str = "password", first_key: str = "") -> Iterator[tuple[int, str, Door]]:
    """Port, public host key, and what was tried."""
    private, public = make_key("ed25519")
    door = Door(ways, first_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, private, door), daemon=True).start()
        yield listener.getsockname()[1], public, door
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, host_key: str, door: Door) -> None:
    transports = []
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            break
        transport = paramiko.Transport(accepted)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key(io.StringIO(host_key)))
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer)
        transport.start_server(event=threading.Event(), server=door)
        transports.append(transport)
    for transport in transports:
        transport.close()
