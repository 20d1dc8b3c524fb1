"""How long a leg lasts while other slices wait for a slot."""

from __future__ import annotations

_ROUND_S = 15.0
"""About how long it takes until everybody who waits has had a turn, and committed."""

_SHORTEST_S = 0.5
"""A turn costs a claim, a plan and a hand-back: below this, they would be much of it."""

_LONGEST_S = 2.0


def turn_s(slots_per_slice: float) -> float:
    """Seconds of one turn where there are so many slots for each slice that wants one.

    >>> turn_s(16 / 200)
    1.2
    """
    return min(_LONGEST_S, max(_SHORTEST_S, _ROUND_S * slots_per_slice))
