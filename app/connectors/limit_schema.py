"""The schema of `limits`: how often a vendor may be called by all clients of one customer together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Field, Integer, List, Nested
from marshmallow.validate import Length, Range

from app.connectors.fields import Duration, HeaderName, StrictSchema, Text, one_of
from app.connectors.model import BudgetHeaders, DailyQuota, LimitSpec, RateWindow

LONGEST_WINDOW_S = 3600.0
"""After a loss of Redis every window counts as used up, so a longer one would stop a customer for that long."""

_PERCENT = re.compile(r"(\d{1,2}(?:\.\d+)?)\s*%")
_DEFAULT_RESERVE = 5.0  # percent: our count and the vendor's never agree to the last call


class Reserve(Field[float | int]):
    """A share (`10%`, a float) or a number of calls (an int)."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float | int:  # noqa: ARG002 - marshmallow's signature
        share = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        if share is not None:
            return float(share[1])
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValidationError("is no reserve; accepted: 0% to 99%, or a whole number of calls")
        return value


def _calls(**extra: Any) -> Integer:
    return Integer(strict=True, validate=Range(min=1, max=10**9, error="accepted: 1 to 1000000000"), **extra)


class WindowSchema(StrictSchema):
    """So many calls in any so many seconds."""

    calls = _calls(required=True)
    per_s = Duration(required=True)

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if not 0.01 <= data["per_s"] <= LONGEST_WINDOW_S:  # noqa: PLR2004 - shorter than a call takes
            raise ValidationError({"per_s": ["accepted: 10ms to 1h; a day's limit belongs into `quota`"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> RateWindow:
        return RateWindow(**data)


class QuotaSchema(StrictSchema):
    """So many calls a calendar day."""

    calls = _calls(required=True)
    per = Text(load_default="day", validate=one_of("day", later=("month", "hour")))
    time_zone = Text(load_default="UTC")
    reserve = Reserve(load_default=_DEFAULT_RESERVE)

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if not is_zone(data["time_zone"]):
            raise ValidationError({"time_zone": ["is no time zone; accepted: UTC, or a name as in Europe/Berlin"]})
        if _reserved(data) >= data["calls"]:
            raise ValidationError({"reserve": ["leaves no call at all; accepted: less than `calls`"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> DailyQuota:
        return DailyQuota(data["calls"], _reserved(data), data["time_zone"])


class BudgetHeadersSchema(StrictSchema):
    """Where an answer says what is left."""

    remaining = HeaderName(required=True)
    limit = HeaderName(load_default="")
    reset = HeaderName(load_default="")
    reset_is = Text(load_default="auto", validate=one_of("auto", "epoch", "epoch_ms", "seconds", "iso"))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> BudgetHeaders:
        return BudgetHeaders(**data)


class ObjectLimitsSchema(StrictSchema):
    """`limits` of one object: windows for its calls alone, beside those of the whole connector."""

    later: ClassVar[frozenset[str]] = frozenset({"quota", "concurrency", "headers"})

    windows = List(Nested(WindowSchema), required=True, validate=Length(min=1, max=4, error="accepted: 1 to 4 windows"))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> tuple[RateWindow, ...]:
        return tuple(data["windows"])


class LimitsSchema(StrictSchema):
    """`limits` of the connector."""

    later: ClassVar[frozenset[str]] = frozenset({"scope", "cost"})

    windows = List(Nested(WindowSchema), load_default=list, validate=Length(max=4, error="accepted: up to 4 windows"))
    quota = Nested(QuotaSchema, load_default=None)
    concurrency = Integer(strict=True, load_default=None, validate=Range(min=1, max=1000, error="accepted: 1 to 1000"))
    headers = Nested(BudgetHeadersSchema, load_default=BudgetHeaders)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> LimitSpec:
        return LimitSpec(tuple(data["windows"]), data["quota"], data["concurrency"], data["headers"])


@lru_cache(maxsize=512)
def is_zone(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _reserved(data: Mapping[str, Any]) -> int:
    """Calls, rounded up: a reserve is never a little smaller than was asked for."""
    calls: int = data["calls"]
    reserve: float | int = data["reserve"]
    return reserve if isinstance(reserve, int) else -int(-calls * reserve // 100)
