"""What all jobs of one instance may do to its vendor together: the connector declares it, the instance may lower it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.connectors.model import Connector, DailyQuota, ObjectSpec, RateWindow

PER_SECOND = "limits.calls_per_second"
PER_DAY = "limits.calls_per_day"
CONCURRENCY = "limits.concurrency"
LOWERING: Mapping[str, str] = {
    PER_SECOND: "a number from 0.001 to 100000",
    PER_DAY: "a whole number from 1 to 1000000000",
    CONCURRENCY: "a whole number from 1 to 1000",
}
"""Settings that an instance of any connector may give, and what is accepted. They lower limits and never raise them."""

_RANGES: Mapping[str, tuple[float, float]] = {PER_SECOND: (0.001, 100_000), PER_DAY: (1, 10**9), CONCURRENCY: (1, 1000)}

_MARGIN = 0.05
_JITTER_S = 0.1
_JITTER_SHARE = 0.1


@dataclass(frozen=True)
class Window:
    """A RateWindow as it is kept: `name` tells windows of one instance apart, `span_us` has the margin in it."""

    name: str
    limit: RateWindow

    @property
    def span_us(self) -> int:
        """Microseconds in which `limit.calls` calls may be let go.

        The declared length and 5 %. Two calls let go so far apart reach the vendor a little nearer to each other, by
        a time that has nothing to do with the window: so it is 0.1 s at least, but never more than a tenth.
        """
        stretch = max(_MARGIN * self.limit.per_s, min(_JITTER_S, _JITTER_SHARE * self.limit.per_s))
        return round((self.limit.per_s + stretch) * 1_000_000)

    @property
    def free_after_s(self) -> float:
        """Seconds without a call after which all of them are free again: calls are counted by 1/64 of the span."""
        return self.span_us * (1 + 1 / 64) / 1_000_000


@dataclass(frozen=True)
class Allowance:
    """All limits of one object of one instance. `quota`: calls a day, the reserve taken off, or None."""

    windows: tuple[Window, ...] = ()
    quota: int | None = None
    time_zone: str = "UTC"
    concurrency: int | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything is limited at all."""
        return bool(self.windows) or self.quota is not None or self.concurrency is not None


def allowance_of(connector: Connector, spec: ObjectSpec, config: Mapping[str, str]) -> Allowance:
    """The limits for calls of the object `spec`. `config`: the instance's settings, checked when they were stored."""
    limits = connector.limits
    shared = [*limits.windows, *_window_of(config.get(PER_SECOND))]
    quota = limits.quota
    return Allowance(
        windows=(*_named("all", shared), *_named(f"object {spec.name}", spec.windows)),
        quota=_least(None if quota is None else quota.calls - quota.reserve, config.get(PER_DAY)),
        time_zone=(quota or DailyQuota(1, 0)).time_zone,
        concurrency=_least(limits.concurrency, config.get(CONCURRENCY)),
    )


def read_lowering(given: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The settings of LOWERING among `given`, as text; and (name, what is accepted) of each that cannot be used."""
    found = {name: str(given[name]) for name in LOWERING if given.get(name) not in {None, ""}}
    faults = [(name, f"accepted: {LOWERING[name]}") for name, text in found.items() if not _is_within(name, text)]
    return found, faults


def _is_within(name: str, text: str) -> bool:
    try:
        number = float(text) if name == PER_SECOND else int(text)
    except ValueError:
        return False
    least, most = _RANGES[name]
    return least <= number <= most


def _window_of(calls_per_second: str | None) -> tuple[RateWindow, ...]:
    """As short a window as holds a whole call: more calls at once would be more than was asked for."""
    if calls_per_second is None:
        return ()
    rate = float(calls_per_second)
    calls = max(1, int(rate))
    return (RateWindow(calls, calls / rate),)


def _named(scope: str, windows: list[RateWindow] | tuple[RateWindow, ...]) -> tuple[Window, ...]:
    """One window for each length, the strictest: what is counted for a length does not depend on its limit."""
    strictest: dict[float, RateWindow] = {}
    for each in windows:
        known = strictest.get(each.per_s, each)
        strictest[each.per_s] = min(known, each, key=lambda window: window.calls)
    return tuple(Window(f"{scope}:{each.per_s:g}", each) for each in strictest.values())


def _least(declared: int | None, given: str | None) -> int | None:
    known = [each for each in (declared, None if given is None else int(given)) if each is not None]
    return min(known, default=None)
