"""Calls that wait until a test lets them go: the one fault that needs no clock."""

import threading
from collections.abc import Callable
from typing import Final

_LOOK_S: Final = 0.02  # how often a held call looks whether its client has left


class Gate:
    """Holds calls until the next release. Safe for threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._releases = self._held = 0

    @property
    def held(self) -> int:
        return self._held

    def hold(self, pause: Callable[[float], None]) -> None:
        """Return after the next release. ``pause`` waits so many seconds and raises when the client has left."""
        with self._changed:
            releases = self._releases
            self._held += 1
            self._changed.notify_all()
        try:
            while releases == self._releases:
                pause(_LOOK_S)
        finally:
            with self._changed:
                self._held -= 1

    def release(self) -> None:
        with self._changed:
            self._releases += 1

    def wait_for_held(self, count: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._held >= count, timeout_s)
