"""Headers that an instance adds to its callbacks. Pure.

SAP documents the name of the setting and no form (reference 4): taken are a JSON object of texts, and lines
`Name: value`. Messages show names and never values, which are secrets more often than not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

import msgspec

MOST_HEADERS = 20
LONGEST_TEXT = 4000

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_USER = re.compile(r"[^\x00-\x1f\x7f:]{1,255}")
_PASSWORD = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
_OUR_PREFIXES = ("webhook-", "elements-", "proxy-")
_FORMS = "a JSON object of texts, or lines `Name: value`"

Header = tuple[str, str]


def parse_headers(text: str) -> list[Header]:
    """Read the setting. Raises ValueError that says what is wrong and what is accepted."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"it has {len(text)} characters; up to {LONGEST_TEXT} are accepted.")
    found = list(_of_json(text) if text.lstrip().startswith("{") else _of_lines(text))
    if len(found) > MOST_HEADERS:
        raise ValueError(f"it has {len(found)} headers; up to {MOST_HEADERS} are accepted.")
    for name, value in found:
        _check(name, value)
    names = [name.lower() for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the header {name!r} is there twice; one of a name is accepted.")
    return found


def basic_authorization(user: str, password: str) -> Header:
    """The header for user name and password (RFC 7617). Raises ValueError for what cannot be one."""
    if not _USER.fullmatch(user):
        raise ValueError("a user name of 1 to 255 characters, without colons and control characters, is accepted.")
    if not _PASSWORD.fullmatch(password):
        raise ValueError("a password of up to 1000 characters, without control characters, is accepted.")
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def has_authorization(headers: Sequence[Header]) -> bool:
    """Whether they bring their own credentials."""
    return any(name.lower() == "authorization" for name, _ in headers)


def _of_json(text: str) -> Iterator[Header]:
    try:
        yield from msgspec.json.decode(text, type=dict[str, str]).items()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise ValueError(f"it is no JSON object of texts; {_FORMS} are accepted.") from None


def _of_lines(text: str) -> Iterator[Header]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"line {number} has no colon; {_FORMS} are accepted.")
        yield name.strip(), value.strip()


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a name in it is no name of a header: letters, digits and !#$%&'*+-.^_`|~ are accepted.")
    if name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES):
        raise ValueError(f"the header {name!r} is set by Haulage or by the connection; others are accepted.")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of {name!r} has other characters than printable ASCII, which is accepted.")
