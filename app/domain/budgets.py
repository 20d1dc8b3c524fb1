"""How many vendor calls to reserve ahead, of an apiLimit or of a vendor's daily quota. Pure."""

from __future__ import annotations

LARGEST_BLOCK = 64
"""A crash loses at most this many calls of a budget."""


def block_size(remaining: int, calls_per_second: float) -> int:
    """Calls to reserve at once: about one second of them, and never more than an eighth of what is left.

    Small near the limit, so that a crash there wastes little; 0 when nothing is left.
    """
    if remaining <= 0:
        return 0
    wanted = min(int(calls_per_second), LARGEST_BLOCK, remaining // 8)
    return max(1, wanted)


def block_of_day(quota: int, remaining: int) -> int:
    """Calls to take out of a day's quota at once: a hundredth, and never more than an eighth of what is left."""
    return max(1, min(quota // 100, remaining // 8))
