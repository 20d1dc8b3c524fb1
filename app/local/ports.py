"""Free loopback ports."""

import random
import socket

# Below every system's range for outgoing connections, so that a server that was killed finds its port free again.
_FIRST, _LAST = 20000, 32000
_choose = random.SystemRandom()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(wanted: int | None = None) -> int:
    """`wanted` if it is free, else any."""
    if wanted is not None and is_free(wanted):
        return wanted
    while True:
        port = _choose.randint(_FIRST, _LAST)
        if is_free(port):
            return port
