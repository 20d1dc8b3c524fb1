"""Errors of ours and of the framework as answers: `{"requestId", "message"[, "providerMessage"]}` (reference 1)."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from http import HTTPStatus

import structlog
from flask import Flask, Response, g, request
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from app import errors
from app.api.runtime import json_response

_log = structlog.get_logger(__name__)

STATUS = {
    errors.InvalidInputError: HTTPStatus.BAD_REQUEST,
    errors.AddressRefusedError: HTTPStatus.BAD_REQUEST,
    errors.UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    errors.TooManyColumnsError: HTTPStatus.NOT_ACCEPTABLE,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.ConfigError: HTTPStatus.CONFLICT,
    errors.GoneError: HTTPStatus.GONE,
    errors.PayloadTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.IdempotencyMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TransientError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Status by class of error; a subclass answers as the nearest class above it."""

_FRAMEWORK_TEXTS = {
    HTTPStatus.NOT_FOUND: "There is no resource at this path; /openapi.json lists all, most below /elements/api-v2.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than HAULAGE_MAX_BODY_BYTES allows.",
    HTTPStatus.BAD_REQUEST: "The request cannot be read.",
}
_RETRY_AFTER_S = 5


class ErrorSchema(Schema):
    """What every error looks like."""

    requestId = fields.String(required=True, metadata={"description": "Also in the header Elements-Request-Id"})
    message = fields.String(required=True)
    providerMessage = fields.String(metadata={"description": "Only where the vendor answered"})


class UnsupportedMediaTypeError(errors.InvalidInputError):
    """The body is of another type than the call takes (415)."""


class TooSlowError(errors.HaulageError):
    """The body took longer than it may (408)."""


STATUS[UnsupportedMediaTypeError] = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
STATUS[TooSlowError] = HTTPStatus.REQUEST_TIMEOUT


def register(app: Flask) -> None:
    """Answer every error of the application in one form."""
    app.register_error_handler(errors.HaulageError, _own)
    app.register_error_handler(HTTPException, _framework)
    app.register_error_handler(Exception, _unexpected)


def status_of(error: errors.HaulageError) -> HTTPStatus:
    """The status code that this error answers with; 500 for one that a caller can do nothing about."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """The one error body."""
    return json_response({"requestId": g.request_id, "message": message}, status, headers)


def _own(error: errors.HaulageError) -> Response:
    status = status_of(error)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'User realm="Haulage"'
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("http.failed", error=type(error).__name__, text=error.message, status=int(status))
    return error_response(status, error.message, headers)


def _framework(error: HTTPException) -> Response:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        response: Response = error.get_response()  # type: ignore[assignment]
        return response
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED:
        return error_response(
            error.code, f"{request.method} is not accepted here; accepted: {headers.get('Allow', '')}.", headers
        )
    text = _FRAMEWORK_TEXTS.get(HTTPStatus(error.code)) or error.description or error.name
    return error_response(error.code, text, headers)


def _unexpected(error: Exception) -> Response:
    # The trace goes to the log under the request's id and never to the caller.
    _log.error("http.crashed", exc_info=error)
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, f"Something went wrong here; the log has it under request {g.request_id}."
    )
