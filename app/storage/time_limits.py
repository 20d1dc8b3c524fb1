"""A limit for all calls to a place together: a server that drips a byte now and then keeps each of its own for ever."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from app.addresses import AddressPolicy

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection


class TimeLimit:
    """`with TimeLimit(20) as limit:` cuts, when the time is over, every connection that was dialled by `limit.over`.

    Whoever waits for one of them gets an OSError, as from a peer that hung up, and no further one is dialled. A thread
    of its own waits for the end.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at = 0.0
        self._lines: WeakSet[socket.socket | HTTPConnection] = WeakSet()
        self._lock = threading.Lock()
        self._left = threading.Event()
        self.is_over = False

    def over(self, policy: AddressPolicy) -> TimedPolicy:
        """The policy, for connections that the limit is for."""
        return TimedPolicy(policy.allow, self)

    def extend(self) -> None:
        """The time begins anew."""
        self._ends_at = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raises TimeoutError if the time is over."""
        if self.is_over:
            raise TimeoutError("the time for it is over")

    def watch(self, line: socket.socket | HTTPConnection) -> None:
        """Cut it in time. Raises TimeoutError if that is now."""
        with self._lock:
            self.check()
            self._lines.add(line)

    def __enter__(self) -> Self:
        self.extend()
        threading.Thread(target=self._wait, name="time-limit", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()

    def _wait(self) -> None:
        while (left_s := self._ends_at - time.monotonic()) > 0:
            if self._left.wait(left_s):
                return
        with self._lock:
            self.is_over = True
            for line in self._lines:
                _cut(line)


def _cut(line: socket.socket | HTTPConnection) -> None:
    """Not by SSLSocket's own `shutdown`, which would take the state away that its reader works with."""
    connection = line if isinstance(line, socket.socket) else line.sock
    if connection is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


@dataclass(frozen=True)
class TimedPolicy(AddressPolicy):
    """An address policy for connections that have to end in time."""

    limit: TimeLimit = field(default_factory=lambda: TimeLimit(0.0), compare=False)
