"""Putting credentials into a request. What each kind asks an instance for stands in `model.Connector.settings`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import structs

from app.connectors.links import without_params
from app.connectors.model import AuthKind, AuthSpec
from app.connectors.templates import Values
from app.errors import ConfigError
from app.http_client import Request


def apply(auth: AuthSpec, secrets: Mapping[str, str], config: Mapping[str, str], request: Request) -> Request:
    """`request` with the credentials in it. Raises ConfigError when a value cannot be sent in a header."""
    return _APPLY[auth.kind](auth, {"secret": secrets, "config": config}, request)


def header(auth: AuthSpec, secrets: Mapping[str, str], config: Mapping[str, str]) -> tuple[str, str] | None:
    """The header that carries the credentials, the same in every request; None where they travel in another way.

    Raises ConfigError as `apply` does.
    """
    signed = apply(auth, secrets, config, Request("GET", "http://vendor"))
    return signed.headers[0] if signed.headers else None


def secret_params(auth: AuthSpec) -> tuple[str, ...]:
    """The query parameters that carry credentials: vendors echo them in next links, where they must not be kept."""
    return (auth.name,) if auth.kind is AuthKind.API_KEY and auth.placement == "query" else ()


def encoded_secret(auth: AuthSpec, secrets: Mapping[str, str], config: Mapping[str, str]) -> str | None:
    """What is sent in place of a secret and gives it away as well; None where secrets are sent as they are."""
    return _basic_pair(auth, {"secret": secrets, "config": config}) if auth.kind is AuthKind.BASIC else None


def _none(_auth: AuthSpec, _values: Values, request: Request) -> Request:
    return request


def _basic(auth: AuthSpec, values: Values, request: Request) -> Request:
    return _with_header(request, "Authorization", f"Basic {_basic_pair(auth, values)}")


def _basic_pair(auth: AuthSpec, values: Values) -> str:
    pair = f"{auth.user.render(values)}:{auth.password.render(values)}"
    return base64.b64encode(pair.encode()).decode()


def _token(auth: AuthSpec, values: Values, request: Request) -> Request:
    value = auth.value.render(values)
    prefixed = f"{auth.prefix} {value}" if auth.prefix else value
    if auth.placement == "query":
        return structs.replace(request, url=_with_param(request.url, auth.name, prefixed))
    return _with_header(request, auth.name, prefixed)


def _with_header(request: Request, name: str, value: str) -> Request:
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"The credential for the header {name} holds characters that a header cannot carry.")
    return structs.replace(request, headers=(*request.headers, (name, value)))


def _with_param(url: str, name: str, value: str) -> str:
    parts = urlsplit(without_params(url, (name,)))
    pair = f"{quote(name, safe='')}={quote(value, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair))


_APPLY: Mapping[AuthKind, Callable[[AuthSpec, Values, Request], Request]] = {
    AuthKind.NONE: _none,
    AuthKind.BASIC: _basic,
    AuthKind.BEARER: _token,
    AuthKind.API_KEY: _token,
}
