"""How long a vendor asks us to wait, in every form that vendors use. Bounded: nobody sleeps for years on a typo."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.connectors.model import WaitSpec
from app.http_client import Headers

MAX_WAIT_S = 86_400.0
_EPOCH_FROM = 1_000_000_000  # a reset below this is seconds to go: as a time it would be before 2001
_EPOCH_MS_FROM = 100_000_000_000
_COUNT = re.compile(r"\s*[0-9]{1,15}\s*", re.ASCII)


def stated_wait_s(wait: WaitSpec, headers: Headers, now: datetime) -> float | None:
    """Seconds to wait as the vendor says, 0 to MAX_WAIT_S; None where it says nothing that can be read."""
    vendor_now = http_date(headers.get("Date")) or now  # their clock may be off; a difference of two of theirs is not
    for value in _values(headers, wait.headers):
        seconds = retry_after_s(value, vendor_now)
        if seconds is not None:
            return seconds
    return stated_reset_s(wait.reset, wait.reset_is, headers, now)


def stated_reset_s(name: str, form: str, headers: Headers, now: datetime) -> float | None:
    """Seconds until a count begins anew, as the header `name` says in `form`; 0 to MAX_WAIT_S, None if unsaid."""
    value = headers.get(name) if name else None
    return None if value is None else _reset_s(value, form, http_date(headers.get("Date")) or now)


def stated_count(name: str, headers: Headers) -> int | None:
    """Calls left or allowed, as the header `name` says; None where it holds no count that a vendor can mean."""
    value = headers.get(name) if name else None
    return int(value) if value is not None and _COUNT.fullmatch(value) else None


def retry_after_s(value: str, now: datetime) -> float | None:
    """Retry-After: whole or fractional seconds (negative counts as 0) or an HTTP date; None for anything else."""
    number = _number(value)
    if number is not None:
        return _bounded(number)
    moment = http_date(value)
    return None if moment is None else _bounded((moment - now).total_seconds())


def http_date(value: str | None) -> datetime | None:
    """An HTTP date in any of its forms, aware; None when it is none."""
    if not value or not any(char.isalpha() for char in value):
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _reset_s(value: str, form: str, now: datetime) -> float | None:
    number = _number(value)
    if number is None:
        moment = _iso(value) or http_date(value)
        return None if moment is None else _bounded((moment - now).total_seconds())
    if form == "auto":
        form = "epoch_ms" if number >= _EPOCH_MS_FROM else "epoch" if number >= _EPOCH_FROM else "seconds"
    if form == "seconds":
        return _bounded(number)
    return _bounded((number / 1000 if form == "epoch_ms" else number) - now.timestamp())


def _iso(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _number(value: str) -> float | None:
    try:
        number = float(value.strip().removesuffix("s"))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_WAIT_S)


def _values(headers: Headers, names: Iterable[str]) -> Iterable[str]:
    return (value for name in names for value in headers.get_all(name))
