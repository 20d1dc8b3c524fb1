"""Parts of one object, a few of them on their way at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

Part = TypeVar("Part")
Sent = TypeVar("Sent")
"""What the other side says of a part."""


class ParallelParts(Generic[Part, Sent]):
    """Sends parts, numbered from 1, by as many threads as may be under way. Used by one thread.

    After a failure, which the next call raises, nothing more is sent.
    """

    def __init__(self, send: Callable[[int, Part], Sent], at_once: int) -> None:
        self._send = send
        self._at_once = at_once
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="part")
        self._under_way: dict[Future[Sent], int] = {}
        self._sent: dict[int, Sent] = {}
        self._count = 0

    def add(self, part: Part) -> None:
        """Begin to send the next part, which is not touched any more. Waits while enough are under way."""
        self._reap(leave=self._at_once - 1)
        self._count += 1
        self._under_way[self._threads.submit(self._send, self._count, part)] = self._count

    def finish(self) -> list[Sent]:
        """What the other side says of all parts, in order, when all have arrived. May be called again."""
        self._reap(leave=0)
        self._threads.shutdown()
        return [self._sent[number] for number in sorted(self._sent)]

    def stop(self) -> None:
        """Wait for the parts that are under way, however they end; send no others."""
        self._threads.shutdown(cancel_futures=True)

    def _reap(self, leave: int) -> None:
        while len(self._under_way) > leave:
            done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
            for one in done:
                self._sent[self._under_way[one]] = one.result()
                del self._under_way[one]
