"""How many calls of an upload one step tells of."""

from __future__ import annotations

_PARTS = 4
_WEIGHT = 8


class Pace:
    """Calls that are sent together are answered together, and then wait together for the commit of the next step, time
    and again. At a vendor that takes longer than a few steps, they are sent in parts: one part is told of while the
    others are at the vendor. At a quick one that would only be more commits.
    """

    def __init__(self, most_calls: int) -> None:
        self._most_calls = most_calls
        self._call_s = self._step_s = 0.0

    def call_took(self, seconds: float) -> None:
        """From the sending of a call to when its answer was taken in."""
        self._call_s += (seconds - self._call_s) / _WEIGHT

    def step_took(self, seconds: float) -> None:
        """The statement of one step."""
        self._step_s += (seconds - self._step_s) / _WEIGHT

    @property
    def most_calls(self) -> int:
        """Of one step."""
        parts = min(_PARTS, int(self._call_s / self._step_s)) if self._step_s > 0 else 1
        return max(1, self._most_calls // max(1, parts))
