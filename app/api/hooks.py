"""What happens around every request: an id, headers, one log line, counters."""

from __future__ import annotations

import secrets
import time

import structlog
from flask import Flask, Response, g, request

from app.api import leftovers, metrics
from app.api.runtime import PREFIX
from app.errors import InvalidInputError

_log = structlog.get_logger(__name__)

_SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
# Callers authenticate with a header that a browser never sends by itself, so any origin may try (reference 7).
_EXPOSED = (
    "Elements-Request-Id, Elements-Error, elements-returned-count, elements-total-count, elements-next-page-token,"
    " Content-Disposition, ETag, Accept-Ranges, Content-Range, Retry-After"
)
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Accept, Idempotency-Key, If-None-Match, Range, If-Range,"
    " Elements-Async-Callback-Url, Elements-Version, Elements-Schedule-Request"
)


def register(app: Flask) -> None:
    """Install the hooks."""
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.started_s = time.monotonic()
    g.request_id = secrets.token_hex(12)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if "\0" in request.path or b"%00" in request.query_string:
        raise InvalidInputError("The URL has a U+0000, which is not accepted.")


def _finish(response: Response) -> Response:
    headers = response.headers
    headers["Elements-Request-Id"] = g.request_id
    for name, value in _SECURITY:
        headers.setdefault(name, value)
    if request.path.startswith(PREFIX):
        _allow_origins(response)
    duration_s = time.monotonic() - g.started_s
    rule = request.url_rule.rule if request.url_rule else "(none)"
    metrics.count_request(request.method, rule, response.status_code, duration_s)
    _tell(response, rule, duration_s)
    leftovers.take_after(request, response)
    return response


def _allow_origins(response: Response) -> None:
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = _EXPOSED
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = headers.get("Allow", "")
        headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
        headers["Access-Control-Max-Age"] = "600"


def _tell(response: Response, rule: str, duration_s: float) -> None:
    """Pollers are many: what only reads and succeeds is told at level DEBUG."""
    is_quiet = response.status_code < 400 and request.method in {"GET", "HEAD", "OPTIONS"}  # noqa: PLR2004
    tell = _log.debug if is_quiet else _log.info
    found = g.get("caller")
    tell(
        "http.request",
        method=request.method,
        route=rule,
        status=response.status_code,
        duration_ms=round(duration_s * 1000, 1),
        organisation_id=found.organisation_id if found else None,
        instance_id=found.instance_id if found else None,
        job=g.get("job_id") or (request.view_args or {}).get("job_id"),
    )
