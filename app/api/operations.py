"""Calls for operators and probes. They need no credentials and name no tenant."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST

from app.api import metrics
from app.api.runtime import json_response
from app.errors import DatabaseUnavailableError
from app.services.health import HealthCheck

HEALTH = "haulage.health"

blueprint = Blueprint("operations", __name__)


@blueprint.get("/health")
def health() -> Response:
    """The process is up; nothing else is looked at."""
    return json_response({"status": "UP"})


@blueprint.get("/ready")
def ready() -> Response:
    """Requests can be served: database, migrations and store are there. A broker that is down is a warning."""
    found = _check().readiness()
    body = {
        "status": "READY" if found.is_ready else "NOT_READY",
        "faults": found.faults,
        "warnings": found.warnings,
        "oldestDueAgeSeconds": found.oldest_due_age_s,
    }
    return json_response(body, 200 if found.is_ready else 503)


@blueprint.get("/metrics")
def scrape() -> Response:
    """Prometheus text."""
    try:
        figures = _check().figures()
    except DatabaseUnavailableError:
        figures = None
    return Response(metrics.exposition(figures), content_type=CONTENT_TYPE_LATEST)


def _check() -> HealthCheck:
    return cast("HealthCheck", current_app.extensions[HEALTH])
