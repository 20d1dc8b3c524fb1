"""Free loopback ports."""

import random
import socket
import sys

# Below every system's range for outgoing connections, so that a server that was killed finds its port free again.
_FIRST, _LAST = 20000, 32000
_choose = random.SystemRandom()
_reserved: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(wanted: int | None = None) -> int:
    """`wanted` if it is free, else any. A wanted port is kept from other processes that ask here as well."""
    if wanted is not None and is_free(wanted) and _reserve(wanted):
        return wanted
    while True:
        port = _choose.randint(_FIRST, _LAST)
        if is_free(port):
            return port


def _reserve(port: int) -> bool:
    """Between the look and the server's bind lie seconds, in which another `make up` would find the port free too.

    A name in the abstract namespace (Linux has it) belongs to this process until it ends.
    """
    if port in _reserved or sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0haulage-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()
    _reserved.add(port)
    return True
