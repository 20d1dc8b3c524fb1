"""The Authorization header: `User <secret>, Organization <secret>, Element <token>` (reference 8)."""

from __future__ import annotations

from flask import g, request

from app.api.runtime import context
from app.errors import UnauthorizedError
from app.services.context import Caller
from app.services.identity import Credentials, authenticate

_FORM = "Authorization: User <secret>, Organization <secret>[, Element <token>]"
_PARTS = {"user": "User", "organization": "Organization", "element": "Element"}
_LONGEST = 1000


def parse(header: str | None) -> Credentials:
    """Read the header. The order is free and names may be in any case; a secret may hold `+`, `/` and `=`.

    Raises UnauthorizedError, without the secrets in its text.
    """
    if not header:
        raise UnauthorizedError(f"The Authorization header is missing: send {_FORM}.")
    found: dict[str, str] = {}
    for part in header.split(","):
        name, _, secret = part.strip().partition(" ")
        key, secret = name.lower(), secret.strip()
        if key not in _PARTS or key in found or not secret or " " in secret or len(secret) > _LONGEST:
            raise UnauthorizedError(f"The Authorization header cannot be read: send {_FORM}.")
        found[key] = secret
    if "user" not in found:
        raise UnauthorizedError(f"The Authorization header has no User part: send {_FORM}.")
    return Credentials(found["user"], found.get("organization"), found.get("element"))


def require_platform_caller() -> None:
    """Hook of blueprints about instances and elements: User and Organization, an Element token may come along."""
    if request.method == "OPTIONS":
        return  # a browser's preflight carries no credentials
    credentials = parse(request.headers.get("Authorization"))
    if credentials.organisation is None:
        raise UnauthorizedError(f"This call needs the Organization part: send {_FORM}.")
    g.caller = authenticate(context(), credentials)


def require_element_caller() -> None:
    """Hook of blueprints about an instance's data: User and Element; Organization may come along."""
    if request.method == "OPTIONS":
        return
    credentials = parse(request.headers.get("Authorization"))
    if credentials.element is None:
        raise UnauthorizedError(f"This call needs an Element token: send {_FORM}.")
    g.caller = authenticate(context(), credentials)


def caller() -> Caller:
    """Who calls; set by the blueprint's hook."""
    found: Caller = g.caller
    return found


def element_caller() -> tuple[Caller, int]:
    """Who calls, and the instance that their Element token stands for. Raises UnauthorizedError without a token."""
    found = caller()
    if found.instance_id is None:
        raise UnauthorizedError(f"This call needs an Element token: send {_FORM}.")
    return found, found.instance_id
