"""Connections to hosts that users name, for libraries that would dial by themselves: only to checked addresses."""

from __future__ import annotations

import socket

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError
from app.storage.time_limits import TimedPolicy


def create_checked_connection(
    policy: AddressPolicy, host: str, port: int, scheme: str, timeout_s: float
) -> socket.socket:
    """Connect to the first address of `host` that `policy` allows for `scheme` and that answers.

    `timeout_s` is the time that all addresses share, and the time limit of the socket. The system's resolver has its
    own limit. Raises AddressRefusedError, which names host, port and the setting, where no address is allowed; OSError
    (socket.gaierror, TimeoutError and others) as `socket.create_connection` does, TimeoutError also where a TimeLimit
    is over.
    """
    limit = policy.limit if isinstance(policy, TimedPolicy) else None
    allowed = _allowed(policy, host.strip("[]"), port, scheme)
    failure = OSError(f"{host} has no address")
    for address in allowed:
        if limit is not None:
            limit.check()
        try:
            connection = socket.create_connection((address, port), timeout_s / len(allowed))
        except OSError as error:
            failure = error
            continue
        connection.settimeout(timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if limit is not None:
            limit.watch(connection)
        return connection
    raise failure


def _allowed(policy: AddressPolicy, host: str, port: int, scheme: str) -> list[str]:
    """The addresses that may be dialled, in the resolver's order. An address is resolved to itself."""
    found = dict.fromkeys(str(entry[4][0]) for entry in _resolve(host, port))
    allowed = []
    refusal: AddressRefusedError | None = None
    for address in found:
        try:
            policy.check_ip(address, port, scheme)
        except AddressRefusedError as error:
            refusal = error
        else:
            allowed.append(address)
    if refusal is not None and not allowed:
        raise AddressRefusedError(f"{host}:{port}: {refusal.message}")
    return allowed


def _resolve(host: str, port: int) -> list[tuple[object, object, object, object, tuple[object, ...]]]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:  # a label is empty or above 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
