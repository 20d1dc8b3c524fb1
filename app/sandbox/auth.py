"""Who asks: the credential of a request names the account, in one of five ways."""

import re
from base64 import b64decode
from typing import Final, NamedTuple

from app.sandbox.wire import Request

PUBLIC: Final = "public"
KINDS: Final = ("basic", "bearer", "header", "query")
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WRONG: Final = "wrong"  # the one password and the one secret that are refused


class Credential(NamedTuple):
    """``kind`` is none, basic, bearer, header or query; ``refusal`` is empty for a good credential."""

    account: str
    secret: str = ""
    kind: str = "none"
    refusal: str = ""


def read_credential(request: Request, required: str | None) -> Credential:
    """The credential of a request. ``required`` is one of KINDS where the path accepts just that."""
    found = _find(request, required)
    if found is None:
        if required is None:
            return Credential(PUBLIC)
        return Credential(PUBLIC, kind=required, refusal=f"this path needs a credential of the kind {required}")
    if not NAME.fullmatch(found.account):
        return found._replace(account=PUBLIC, refusal="the account name is 1 to 64 letters, digits, _ or -")
    if found.secret in {"", _WRONG} and not (found.kind == "basic" and not found.secret):
        return found._replace(refusal="wrong secret" if found.secret else "the form is account.secret")
    return found


def _find(request: Request, required: str | None) -> Credential | None:
    wanted = KINDS if required is None else (required,)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic" and "basic" in wanted:
        return _basic(value)
    if scheme.lower() == "bearer" and "bearer" in wanted:
        return _dotted(value, "bearer")
    if "x-api-key" in request.headers and "header" in wanted:
        return _dotted(request.headers["x-api-key"], "header")
    if "api_key" in request.query and "query" in wanted:
        return _dotted(request.query["api_key"], "query")
    return None


def _basic(value: str) -> Credential:
    try:
        user, _, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return Credential("", kind="basic")
    return Credential(user, password, "basic")


def _dotted(value: str, kind: str) -> Credential:
    account, _, secret = value.strip().partition(".")
    return Credential(account, secret, kind)
