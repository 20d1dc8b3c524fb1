"""Steps that run beside a leg, one after another, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Lane:
    """Runs what it is given in order, and holds the giver back while too many bytes wait for their turn.

    After a step that failed no other is run: every later one, and whoever asks, meets the same error. So nothing is
    ever stored behind a hole, and nobody waits for a thread that is dead.
    """

    def __init__(self, max_waiting_bytes: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._waiting_bytes = 0
        self._failure: BaseException | None = None

    def add(self, step: Callable[[], None], size_bytes: int) -> None:
        """Run `step` in its turn. Waits for room first. Raises what an earlier step raised."""
        if self._failure is not None:
            raise self._failure
        while self._waiting and (
            self._waiting[0][0].done() or self._waiting_bytes + size_bytes > self._max_waiting_bytes
        ):
            done, freed_bytes = self._waiting.popleft()
            self._waiting_bytes -= freed_bytes
            done.result()
        self._waiting.append((self._executor.submit(self._run, step), size_bytes))
        self._waiting_bytes += size_bytes

    def ask(self, step: Callable[[], _T]) -> Future[_T]:
        """Run `step` in its turn, for its result (or the error of it or of an earlier one)."""
        return self._executor.submit(self._run, step)

    def _run(self, step: Callable[[], _T]) -> _T:
        if self._failure is not None:
            raise self._failure
        try:
            return step()
        except BaseException as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Let the step that is running end, forget the others, end the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)
