"""What an instance says of its account at Azure, and the two ways to prove that it may be used."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from app.errors import InvalidInputError
from app.storage.destinations.model import Given

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62}")
_SCOPE = re.compile(r"[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True)
class Account:
    """`url`: of the account. Of key and token one is there."""

    name: str
    url: str
    container: str
    encryption_scope: str | None
    key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)


def read_account(given: Given) -> Account:
    """Raises InvalidInputError that names the setting, AddressRefusedError."""
    config = given.config
    name = _matching(config.get("account_name", ""), _ACCOUNT, "account_name", "3 to 24 small letters and digits")
    url = config.get("account_url", "").rstrip("/") or f"https://{name}.blob.core.windows.net"
    given.policy.check_url(url)
    if urlsplit(url).query or urlsplit(url).fragment:
        raise _refused("account_url", "https://host[:port][/path], without a query; a SAS token goes to sas_token")
    scope = config.get("encryption_scope", "")
    if scope:
        _matching(scope, _SCOPE, "encryption_scope", "the name of an encryption scope of the account")
    return Account(
        name,
        url,
        _matching(config.get("container", ""), _CONTAINER, "container", "the name of a container"),
        scope or None,
        *_read_secrets(given),
    )


def _read_secrets(given: Given) -> tuple[str, str]:
    key, token = given.secrets.get("account_key", ""), given.secrets.get("sas_token", "").removeprefix("?")
    if bool(key) == bool(token):
        raise _refused("account_key", "either account_key or sas_token")
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise _refused("account_key", "the key as Azure shows it, in base64") from None
    if token and not parse_qs(token).get("sig"):
        raise _refused("sas_token", "the token as Azure shows it, sv=...&sig=...")
    return key, token


def _matching(value: str, form: re.Pattern[str], name: str, accepted: str) -> str:
    if not form.fullmatch(value):
        raise _refused(f"{name} {value[:100]!r}", accepted, name)
    return value


def _refused(what: str, accepted: str, name: str = "") -> InvalidInputError:
    return InvalidInputError(f"{what} is not accepted: {accepted}.", field=f"/configuration/{name or what}")
