"""Structured logs, one line an event, with everything secret masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_SECRET_NAME = re.compile(r"token|secret|password|authorization|cookie|api_?key|signature|credential", re.IGNORECASE)
_SECRET_TEXT = (
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), "whsec_***"),
    (re.compile(r"(?i)\b(basic|bearer|user|organization|element)\s+[A-Za-z0-9+/=._~-]{8,}"), r"\1 ***"),
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?#]+)\?[^\s#]*"), r"\1?***"),
    # name=value, name: value and "name": "value", as in DSNs, headers and JSON
    (
        re.compile(
            r"""(?ix)([a-z_-]*(?:password|secret|token|api_?-?key|cookie|signature|authorization)["']?\s*[=:]\s*)"""
            r"""(?:"[^"]*"|'[^']*'|[^\s,;&}]+)"""
        ),
        r"\1***",
    ),
)
_MASK = "***"


def redact(text: str) -> str:
    """The text without what looks like a secret: credentials in URLs, query strings, authorization values, keys."""
    for pattern, shown in _SECRET_TEXT:
        text = pattern.sub(shown, text)
    return text


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        event[name] = _masked(name, value)
    return event


def _masked(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return _MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(name, inner) for inner in value]
    if isinstance(value, bool | int | float | None):
        return value
    return redact(str(value))


def configure_logs(*, log_format: str, level: str, process: str) -> None:
    """Send our lines and those of the libraries to standard error, in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _redact_event,
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=ending, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    structlog.contextvars.bind_contextvars(process=process)
