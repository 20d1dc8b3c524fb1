"""Prometheus: counters of this process (or of all, in multiprocess mode) and gauges read from PostgreSQL.

The gauges are about the whole installation, so every process reports the same ones. No tenant is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.domain.deliveries import DeliveryStatus
from app.domain.pushes import PushState
from app.domain.stalls import WaitsFor
from app.services.health import Figures

_REQUESTS = Counter("haulage_http_requests", "HTTP requests answered", ["method", "route", "status"])
_SECONDS = Histogram(
    "haulage_http_request_seconds",
    "Time until the headers were ready",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_request(method: str, route: str, status: int, duration_s: float) -> None:
    """Count one answered request. Invented methods are one label: each value of a label is kept for ever."""
    _REQUESTS.labels(method if method in _METHODS else "other", route, str(status)).inc()
    _SECONDS.labels(route).observe(duration_s)


def exposition(figures: Figures | None) -> bytes:
    """The text for a scrape; without figures (PostgreSQL is down) only `haulage_up 0` and the counters."""
    return generate_latest(_Installation(figures)) + generate_latest(_process_registry())


def _process_registry() -> CollectorRegistry:
    """Counters of all processes if PROMETHEUS_MULTIPROC_DIR is set for them, else of this one."""
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        return REGISTRY
    return registry


class _Installation(CollectorRegistry):
    def __init__(self, figures: Figures | None) -> None:
        super().__init__()
        self.register(_Gauges(figures))


class _Gauges(Collector):
    def __init__(self, figures: Figures | None) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """One family a figure."""
        yield GaugeMetricFamily("haulage_up", "1 if PostgreSQL answers", value=int(self._figures is not None))
        if self._figures is not None:
            yield from _counted(self._figures)
            yield from _single(self._figures)


def _counted(found: Figures) -> Iterator[Metric]:
    """Figures with a label, each of whose values is told."""
    for name, text, label, counts, known in (
        ("haulage_jobs", "Jobs by state", "status", found.jobs, ()),
        ("haulage_jobs_stalled", "Jobs without progress, by what they wait for", "waits_for", found.stalled, WaitsFor),
        ("haulage_deliveries", "Callbacks on record by state", "status", found.deliveries, DeliveryStatus),
        ("haulage_pushes", "Outputs pushed to places, on record by state", "state", found.pushes, PushState),
    ):
        family = GaugeMetricFamily(name, text, labels=[label])
        for value in [each.value for each in known] or sorted(counts):
            family.add_metric([value], counts.get(value, 0))
        yield family


def _single(found: Figures) -> Iterator[Metric]:
    for name, text, value in (
        ("haulage_slices_due", "Slices that are due and that nobody holds", found.due_count),
        ("haulage_slices_held", "Slices that a worker holds", found.held_count),
        ("haulage_oldest_due_age_seconds", "Age of the oldest due work that nobody holds", found.oldest_due_age_s),
        ("haulage_worker_slots", "Legs that all living workers can run at once", found.worker_slots),
        ("haulage_deliveries_pending", "Callbacks owed", found.deliveries_pending),
        ("haulage_deliveries_due", "Callbacks that are due and that nobody holds", found.deliveries_due),
        ("haulage_deliveries_failed", "Callbacks given up and still on record", found.deliveries_failed),
        ("haulage_deliveries_put_off", "Due callbacks whose receiver does not answer", found.deliveries_put_off),
        ("haulage_receivers_paused", "Hosts of receivers that nobody asks just now", found.receivers_paused),
        ("haulage_pushes_due", "Pushes that are due and that nobody holds", found.pushes_due),
        ("haulage_schedules_due", "Schedules whose due time nobody has taken yet", found.schedules_due),
        ("haulage_schedules_waiting", "Schedules that are due and wait for the run before", found.schedules_waiting),
        (
            "haulage_oldest_schedule_age_seconds",
            "Age of the oldest due time that nobody has taken",
            found.oldest_schedule_age_s,
        ),
    ):
        yield GaugeMetricFamily(name, text, value=value)
