"""Whether a kept connection is still good, asked of the operating system just before it is used again."""

from __future__ import annotations

import select
import socket

_PEER_CLOSED = getattr(select, "POLLRDHUP", 0)  # Linux tells it even where a last TLS alert lies unread before it


def was_closed(descriptor: int) -> bool:
    """Whether the other side closed the connection of the last request.

    libcurl looks only after a second of idling and would otherwise send into the closed one (seen with 8.23).
    """
    if descriptor < 0:
        return False
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | _PEER_CLOSED)
    events = poller.poll(0)
    if not events:
        return False
    if events[0][1] & (_PEER_CLOSED | select.POLLHUP | select.POLLERR | select.POLLNVAL):
        return True  # the last of them: libcurl has closed it meanwhile, for another call of the same thread
    try:
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as peer:
            return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True  # libcurl has closed it, and the number is that of something else now
