"""Dialling for urllib3's connections, whichever SDK brings them: the address is checked, errors are urllib3's own."""

from __future__ import annotations

import socket

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from app.addresses import AddressPolicy
from app.storage.checked_sockets import create_checked_connection
from app.storage.time_limits import TimedPolicy


def dial(
    policy: AddressPolicy, connection: HTTPConnection, scheme: str, *, connect_s: float, silence_s: float
) -> socket.socket:
    """For a connection's `_new_conn`. `silence_s`: how long the socket may then take for one call.

    Raises AddressRefusedError, and what urllib3 raises.
    """
    host = connection._dns_host  # noqa: SLF001 - urllib3's own name of what it dials
    try:
        dialled = create_checked_connection(policy, host, connection.port or 0, scheme, connect_s)
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"no connection to {host} within {connect_s:g} s") from error
    except OSError as error:
        raise NewConnectionError(connection, f"no connection to {host}: {error}") from error
    dialled.settimeout(silence_s)
    if isinstance(policy, TimedPolicy):  # TLS puts another socket in this one's place
        policy.limit.watch(connection)
    return dialled
