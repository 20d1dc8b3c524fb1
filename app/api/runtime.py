"""What a request handler is given: the process's context and how JSON goes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from flask import Response, current_app

from app.services.context import Context

EXTENSION = "haulage"
PREFIX = "/elements/api-v2"

_encode = msgspec.json.Encoder().encode


def context() -> Context:
    """The context that the application was built with."""
    return cast("Context", current_app.extensions[EXTENSION])


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_encode(body), status, headers, content_type="application/json")
