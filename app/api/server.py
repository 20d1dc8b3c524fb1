"""How gunicorn serves the application: `gunicorn --config python:app.api.server`.

A thread is held while it sends or reads. Clients that stall, a paused download say, must not hold them all for ever.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

STALLED_S = 30
"""A connection on which no byte moves for so long (sometimes twice that), while one should, is broken off."""


def post_worker_init(worker: Any) -> None:
    """Called by gunicorn in each of its processes before it accepts connections."""
    for listener in worker.sockets:
        break_off_stalled(listener.sock, STALLED_S)


def break_off_stalled(listener: socket.socket, seconds: int) -> None:
    """Let sends and reads of the connections that `listener` will accept fail after `seconds` without progress.

    The kernel's limits, since gunicorn's sockets block; accepted sockets inherit them.
    """
    limit = struct.pack("@ll", seconds, 0)
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        listener.setsockopt(socket.SOL_SOCKET, option, limit)
