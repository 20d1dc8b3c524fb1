"""Moments as documents of jobs tell them."""

from __future__ import annotations

from datetime import datetime


def epoch_ms(at: datetime | None) -> int | None:
    """Milliseconds since 1970."""
    return None if at is None else int(at.timestamp() * 1000)


def iso(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as in `2021-03-01T10:00:00.000Z`."""
    # Not strftime, which takes several times as long; a page of jobs has hundreds of times.
    clock = f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}.{at.microsecond // 1000:03d}"
    return f"{at.year:04d}-{at.month:02d}-{at.day:02d}T{clock}Z"
