"""Whether a kept connection is still good, asked of the operating system just before it is used again."""

from __future__ import annotations

import os
import select
import socket

_PEER_CLOSED = getattr(select, "POLLRDHUP", 0)  # Linux tells it even where a last TLS alert lies unread before it
_CLOSED = _PEER_CLOSED | select.POLLHUP | select.POLLERR


class KnownConnections:
    """The sockets that calls of one thread went over.

    libcurl takes any of them that is idle for the next call, and keeps a dead one for up to a second: so while one of
    them is dead, no call may go over a kept connection.
    """

    def __init__(self) -> None:
        self._poller = select.poll()
        self._known: dict[int, int] = {}
        """Descriptor -> the socket's number: libcurl closes some, and then other things have their descriptors."""

    def add(self, descriptor: int) -> None:
        """A call that opened a connection has ended, and it may be kept; -1: it was not."""
        if descriptor >= 0:
            self._poller.register(descriptor, select.POLLIN | _PEER_CLOSED)
            self._known[descriptor] = os.fstat(descriptor).st_ino

    def is_any_dead(self) -> bool:
        """Whether the other side has closed one of them. Those that libcurl has closed are forgotten."""
        told = self._poller.poll(0)
        return bool(told) and any(self._is_dead(descriptor, events) for descriptor, events in told)

    def _is_dead(self, descriptor: int, events: int) -> bool:
        if events & select.POLLNVAL or os.fstat(descriptor).st_ino != self._known[descriptor]:
            self._poller.unregister(descriptor)
            del self._known[descriptor]
            return False
        return bool(events & _CLOSED) if _PEER_CLOSED else was_closed(descriptor)


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
    if events[0][1] & (_CLOSED | select.POLLNVAL):
        return True  # the last of them: libcurl has closed it meanwhile, for another call of the same thread
    try:
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as peer:
            return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True  # libcurl has closed it, and the number is that of something else now
