"""The OpenAPI document and a page to read and try it, from files of our own: nothing is fetched from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import cast

from flask import Blueprint, Flask, Response, current_app, redirect, send_from_directory
from werkzeug.wrappers import Response as WerkzeugResponse

from app.api.blueprint import SECURITY_SCHEME, ApiDocument, make_document
from app.api.runtime import json_response

DOCUMENT = "haulage.document"

# Only our own files, nothing inline: a page that talks to the API with pasted secrets must not run anything else.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEPT_S = 3600

blueprint = Blueprint("documentation", __name__)


def begin(app: Flask, version: str) -> ApiDocument:
    """An empty document for `app`, to which blueprints are added."""
    document = make_document(version)
    document.init_app(app)
    document.spec.components.security_scheme("secrets", SECURITY_SCHEME)
    app.extensions[DOCUMENT] = document
    return document


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document."""
    return json_response(_as_dict(cast("ApiDocument", current_app.extensions[DOCUMENT])))


@blueprint.get("/")
def root() -> WerkzeugResponse:
    """A person who opens the bare address wants to read."""
    return redirect("/docs")


@blueprint.get("/docs")
def page() -> Response:
    """Swagger UI."""
    return _asset("docs.html")


@blueprint.get("/docs/docs.js")
def script() -> Response:
    """Starts Swagger UI."""
    return _asset("docs.js")


@blueprint.get("/docs/swagger-ui/<path:name>")
def swagger_ui(name: str) -> Response:
    """Files of swagger-ui-dist as they were published."""
    return _asset(f"swagger-ui/{name}")


def _asset(name: str) -> Response:
    folder = str(resources.files("app.api").joinpath("assets"))
    response = send_from_directory(folder, name, max_age=_KEPT_S)
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@lru_cache(maxsize=1)
def _as_dict(document: ApiDocument) -> dict[str, object]:
    found: dict[str, object] = document.spec.to_dict()
    return found
