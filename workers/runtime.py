"""What one worker process has: its context, its row, and the stop flag. Made after forking, once a process."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading

from celery import Celery

from app.bootstrap import build_context, product_version
from app.config import load_settings
from app.connectors.throttle import BudgetUnavailableError
from app.enqueue import Enqueuer
from app.services.context import Context
from workers.life import Life

# Shared with forked children: the main process of a prefork pool is told to stop, its children are not.
_stop_flag = mmap.mmap(-1, 1)
_lock = threading.Lock()
_current: Runtime | None = None


def ask_to_stop() -> None:
    """Every leg of this process and its children checkpoints and hands back."""
    _stop_flag[0] = 1


def is_stopping() -> bool:
    """True once the process was asked to end."""
    return _stop_flag[0] == 1


class Runtime:
    """The parts of one process."""

    def __init__(self, celery: Celery | None, *, concurrency: int, download_slots: int, callback_slots: int) -> None:
        settings = load_settings()
        self.pid = os.getpid()
        enqueuer = Enqueuer(settings.broker_url, celery)
        self.context: Context = build_context(settings, pool_size=min(concurrency, 8) + 1, enqueuer=enqueuer)
        with contextlib.suppress(BudgetUnavailableError):  # the first call that needs it tells what is wrong
            self.context.throttle.begin()
        self._life = Life(
            self.context.db, slots=download_slots, callback_slots=callback_slots, version=product_version()
        )
        self._life.start()

    @property
    def worker_id(self) -> int | None:
        """The row of this process; None while PostgreSQL has not been reached yet."""
        return self._life.worker_id

    def close(self) -> None:
        """Say goodbye and close connections."""
        self._life.stop()
        self.context.throttle.close()
        self.context.db.close()


def start_runtime(
    celery: Celery | None = None, *, concurrency: int = 1, download_slots: int = 0, callback_slots: int = 0
) -> Runtime:
    """The runtime of this process, made at its start; tasks only ask for it.

    `celery`: sends its hints, too. `concurrency`: tasks at once. `download_slots`, `callback_slots`: how many of them
    may be counted on for downloads and for callbacks.
    """
    global _current  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = Runtime(
                celery, concurrency=concurrency, download_slots=download_slots, callback_slots=callback_slots
            )
        return _current


def stop_runtime() -> None:
    """End the runtime of this process, if there is one."""
    global _current  # noqa: PLW0603
    with _lock:
        if _current is not None and _current.pid == os.getpid():
            _current.close()
        _current = None
