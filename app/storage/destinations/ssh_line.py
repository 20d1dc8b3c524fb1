"""SSH connections to a server that a user names: dialled through the address check, its host key held against a pin."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import paramiko

from app.addresses import AddressPolicy
from app.errors import StorageError, StorageUnavailableError
from app.storage.checked_sockets import create_checked_connection
from app.storage.destinations.ssh_keys import HostPin, fingerprint

DIAL_S = 15.0

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_KEEPALIVE_S = 20

# Its threads log a stack for each connection that breaks; what a caller must know is raised to him.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Server:
    """Where to, as whom, and what the server must prove to be."""

    host: str
    port: int
    username: str
    pin: HostPin
    password: str = field(repr=False)
    key: Any = field(repr=False)
    """One of paramiko's private keys, or None."""
    policy: AddressPolicy
    answer_s: float
    """Longest silence of the server."""
    open_s: float
    """Time for each step until files can be written: keys, credentials, the start of sftp."""

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


class NoCommonAlgorithmError(StorageError):
    """Neither knows what the other does."""


def open_transport(server: Server) -> Any:
    """A connection that has proved to be the server's, and is logged in.

    Raises StorageError (wrong host key, refused credentials, no common algorithm), StorageUnavailableError,
    AddressRefusedError.
    """
    transport = _proven(server)
    try:
        with bounded(transport, server), translated(server):
            _log_in(transport, server)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(_KEEPALIVE_S)
    return transport


@contextmanager
def bounded(transport: Any, server: Server) -> Iterator[None]:
    """Closes the connection if what is inside takes too long: some of paramiko's waits have no limit of their own."""
    is_late = threading.Event()

    def close() -> None:
        is_late.set()
        transport.close()

    timer = threading.Timer(server.open_s, close)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_late.is_set():
            raise StorageUnavailableError(f"{server.shown} does not answer") from error
        raise
    finally:
        timer.cancel()


@contextmanager
def translated(server: Server) -> Iterator[None]:
    """Faults of the connection become StorageUnavailableError; ours pass through."""
    try:
        yield
    except TimeoutError as error:
        raise StorageUnavailableError(f"{server.shown} did not answer for {server.answer_s:.0f} s") from error
    except (OSError, EOFError, paramiko.SSHException, paramiko.SFTPError) as error:
        raise StorageUnavailableError(f"{server.shown}: the connection broke{_reason(error)}") from error


def _proven(server: Server) -> Any:
    """A connection whose host key is one of the pin's. A server with several is asked for one type after another."""
    pin = server.pin
    seen: list[str] = []
    while pin.algorithms:
        try:
            transport = _connected(server, pin)
        except NoCommonAlgorithmError:
            if not seen:
                raise
            break
        shown = transport.get_remote_server_key()
        if fingerprint(shown.asbytes()) in pin.fingerprints:
            return transport
        transport.close()
        seen.append(f"{shown.get_name()} {fingerprint(shown.asbytes())}")
        pin = pin.without(shown.get_name())
    raise _mismatch(server, seen)


def _connected(server: Server, pin: HostPin) -> Any:
    """Keys are exchanged, nothing of the user's was sent. Raises NoCommonAlgorithmError too."""
    try:
        dialled = create_checked_connection(server.policy, server.host, server.port, "sftp", DIAL_S)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise StorageUnavailableError(f"the name {server.host} could not be resolved now") from error
        raise StorageError(f"the host {server.host} has no address; check its name") from error
    except OSError as error:
        raise StorageUnavailableError(f"{server.shown} cannot be reached{_reason(error)}") from error
    transport = paramiko.Transport(_BoundedSocket(dialled, server.answer_s))
    options = transport.get_security_options()
    options.ciphers, options.digests, options.key_types = _CIPHERS, _MACS, pin.algorithms
    transport.auth_timeout = transport.channel_timeout = server.answer_s
    transport.banner_timeout = transport.handshake_timeout = min(DIAL_S, server.answer_s)
    try:
        with bounded(transport, server):
            _exchange_keys(transport, server)
    except BaseException:
        transport.close()
        raise
    return transport


def _exchange_keys(transport: Any, server: Server) -> None:
    with translated(server):
        try:
            transport.start_client(timeout=server.open_s)
            transport.get_remote_server_key()  # raises where the time was over
        except paramiko.IncompatiblePeer as error:
            raise NoCommonAlgorithmError(
                f"{server.shown} and Haulage know no common algorithm{_reason(error)}. Where it is the type of the "
                "host key, give host_key of another type (ssh-ed25519, ecdsa or rsa)."
            ) from None


def _log_in(transport: Any, server: Server) -> None:
    ways = {
        "private_key": server.key and (lambda: transport.auth_publickey(server.username, server.key)),
        "password": server.password and (lambda: transport.auth_password(server.username, server.password)),
    }
    refused: list[str] = []
    for name, attempt in ways.items():
        if attempt:
            more = _tried(transport, refused, name, attempt)
            if more == []:
                return
            if more:
                refused.append(f"it takes the {name} and asks for {', '.join(more)} as well")
    raise StorageError(
        f"{server.shown} does not let the user {server.username!r} in: {'; '.join(refused)}. "
        "Check username, password and private_key, and that the server knows the key's public half."
    )


def _tried(transport: Any, refused: list[str], name: str, attempt: Any) -> list[str] | None:
    """What the server asks for beside it; empty: logged in; None: refused."""
    try:
        return list(attempt())
    except paramiko.BadAuthenticationType as error:
        refused.append(f"it takes no {name}, only {', '.join(error.allowed_types)}")
    except paramiko.AuthenticationException as error:
        if not transport.is_active() or "timeout" in str(error):
            raise StorageUnavailableError(
                "the server broke off or did not answer while logging in; if that stays, check username and credentials"
            ) from error
        refused.append(f"it refuses the {name}")
    return None


def _mismatch(server: Server, seen: list[str]) -> StorageError:
    return StorageError(
        f"the host key of {server.shown} is another one than host_key says: it shows {', '.join(seen)}. Either this is "
        "not the server, or its key was changed: ask who runs it, and only then change host_key."
    )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f" ({''.join(each if each.isprintable() else ' ' for each in text)[:200]})" if text else ""


class _BoundedSocket:
    """A socket for paramiko, which would try for ever to send to a peer that takes nothing."""

    def __init__(self, dialled: socket.socket, most_s: float) -> None:
        self._dialled = dialled
        self._most_s = most_s
        self._stuck_since: float | None = None

    def send(self, data: bytes) -> int:
        try:
            sent = self._dialled.send(data)
        except TimeoutError:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since > self._most_s:
                raise ConnectionError("the other side takes nothing") from None
            raise
        self._stuck_since = None
        return sent

    def close(self) -> None:
        with suppress(OSError):
            self._dialled.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        self._dialled.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialled, name)
