"""Memory that a leg has let go of goes back to the system."""

from __future__ import annotations

import ctypes
import threading
import time

_EVERY_S = 5.0
"""With a hundred legs at once several end in each second. A trim takes about a millisecond, and mallocs wait for it."""

_lock = threading.Lock()
_given_back_at = float("-inf")


def give_back() -> None:
    """Hand freed pages to the system, if that was not done a moment ago. For the end of a leg.

    Pages of the vendor come in sizes from kilobytes to megabytes; the holes that they leave in the heap never fit
    exactly, and glibc returns only what lies at its end. A busy worker would grow by some megabytes an hour.
    """
    global _given_back_at  # noqa: PLW0603 - one heap a process
    now = time.monotonic()
    with _lock:
        if now - _given_back_at < _EVERY_S:
            return
        _given_back_at = now
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; other C libraries do without
    if trim is not None:
        trim(0)
