"""Requests of the write side: URL, parameters and headers by their declarations, with the instance's credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, unquote

from msgspec import structs

from app.connectors import auth
from app.connectors.client import in_query
from app.connectors.model import Connector, Params
from app.connectors.spec import render_base_url
from app.connectors.templates import ID, IDENTIFIER, Template, TemplateError, parse_template
from app.connectors.write_bodies import UnsendableError
from app.errors import InvalidInputError
from app.http_client import Request

_PATH = re.compile(r"/[^?#\\\x00-\x1f\x7f]{0,2000}")
_DOTS = frozenset({".", ".."})
_HARMLESS = {"object": "-", "id": "-", "identifier": "-"}
_SEGMENT_ENDS = re.compile(r"[/\\]")
_PLAIN_IN_PATH = "/:@!$&'()*+,;=%~{}|"


class DeclaredCall(Protocol):
    """What every call of the write side declares."""

    @property
    def path(self) -> Template: ...
    @property
    def params(self) -> Params: ...
    @property
    def headers(self) -> Params: ...
    @property
    def read_timeout_s(self) -> float: ...


class Outgoing:
    """Makes the requests for one object of one instance; holds the credentials, so it is never logged."""

    def __init__(
        self, connector: Connector, object_name: str, config: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        """Raises SettingsInvalidError for a base URL that is none."""
        self._connector, self._config, self._secrets = connector, config, secrets
        self._base_url = render_base_url(connector, config)
        self._object_name = object_name

    def request(
        self,
        call: DeclaredCall,
        method: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str = "",
        identifier: str = "",
    ) -> Request:
        """`headers`: unless declared otherwise. `key` and `identifier`: what {id} and {identifier} are.

        Raises ConfigError for a credential that cannot be sent, UnsendableError where `key` or `identifier` would make
        another path of the declared one.
        """
        here = {"object": self._object_name, "id": key, "identifier": identifier}
        values = {"config": self._config, "secret": self._secrets, "": here}
        params = _rendered(self._connector.params, values) | _rendered(call.params, values)
        query = "&".join(f"{in_query(name)}={in_query(value)}" for name, value in params.items())
        path = call.path.render(values, encode=_percent_encoded)
        if has_dot_segment(path) and not has_dot_segment(call.path.render(values | {"": _HARMLESS})):
            raise UnsendableError(f"the identifier {key or identifier!r} would name another path of the vendor")
        url = self._base_url + path
        declared = _rendered(self._connector.headers, values) | _rendered(call.headers, values)
        named = {name.lower() for name in declared}
        own = {name: value for name, value in (headers or {}).items() if name.lower() not in named}
        request = Request(
            method,
            f"{url}?{query}" if query else url,
            tuple(({"Accept": "application/json"} | own | declared).items()),
            body,
            call.read_timeout_s,
        )
        return auth.apply(self._connector.auth, self._secrets, self._config, request)


def with_headers(request: Request, *pairs: tuple[str, str]) -> Request:
    """The same request with more headers."""
    return structs.replace(request, headers=(*request.headers, *pairs))


def has_dot_segment(path: str) -> bool:
    """Whether one of its segments is `.` or `..`: servers take them for this folder and the one above (RFC 3986 5.2.4),
    and many do so once they have decoded the path, slashes included.
    """
    return not _DOTS.isdisjoint(_SEGMENT_ENDS.split(unquote(path)))


def given_path(text: str) -> Template:
    """A path that a user gave, with {id} and {identifier} in it at most. Raises InvalidInputError."""
    accepted = (
        "accepted: begins with '/', no '?', '#', '\\' or '//', no segment '.' or '..',"
        " placeholders {id} and {identifier} only"
    )
    refused = InvalidInputError(f"path {text[:200]!r} is no path; {accepted}.", field="/metaData/path")
    if not _PATH.fullmatch(text) or has_dot_segment(text) or "//" in text:
        raise refused
    try:
        template = parse_template(quote(text, safe=_PLAIN_IN_PATH))
    except (TemplateError, UnicodeEncodeError):
        raise refused from None
    if any(each.dotted not in {ID, IDENTIFIER} for each in template.placeholders):
        raise refused
    return template


def _rendered(params: Params, values: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {name: template.render(values) for name, template in params if template.has_values(values)}


def _percent_encoded(text: str) -> str:
    return quote(text, safe="")
