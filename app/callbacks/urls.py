"""The check of a callback URL at submission. The guard that counts is the one at each dial (app.http_client)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from app.addresses import AddressPolicy, literal_address, port_of
from app.errors import AddressRefusedError, InvalidInputError, TransientError

LONGEST_URL = 2000
_RESOLVE_S = 5.0
_ACCEPTED = "an absolute URL such as https://example.com/callback is accepted"

Resolver = Callable[[str, int], list[str]]
"""(host, port) -> addresses. Raises NameUnknownError, TransientError when nobody could tell."""


class NameUnknownError(Exception):
    """The name has no address."""


def check_url(
    policy: AddressPolicy, url: str, *, field: str = "notificationUrl", resolve: Resolver | None = None
) -> None:
    """Refuse a callback URL that could never be delivered to: raises InvalidInputError that names `field`.

    The name is resolved and every address checked, so that a mistake shows at once and not when the job has ended.
    Where the resolver itself does not answer the URL is accepted: that is not the caller's mistake, and each attempt
    checks again. Messages carry host and port only: path and query often hold a receiver's secret.
    """
    parts = _absolute(url, field)
    try:
        policy.check_url(url)
        for address in _addresses(parts, field, resolve or resolve_name):
            policy.check_ip(address, port_of(parts), parts.scheme)
    except AddressRefusedError as error:
        raise InvalidInputError(f"{field}: {error.message}", field=field) from error


def resolve_name(host: str, port: int) -> list[str]:
    """Every address of `host` by the system's resolver, which has no time limit of its own: 5 s are waited."""
    found: list[str] = []
    failed: list[Exception] = []
    thread = threading.Thread(target=_look_up, args=(host, port, found, failed), daemon=True)
    thread.start()
    thread.join(_RESOLVE_S)
    if failed and _is_unknown(failed[0]):
        raise NameUnknownError(host)
    if not found:
        raise TransientError(f"The name {host!r} could not be resolved now.")
    return found


def _look_up(host: str, port: int, found: list[str], failed: list[Exception]) -> None:
    try:
        found.extend(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        failed.append(error)


def _is_unknown(error: Exception) -> bool:
    """True where asking again would change nothing. UnicodeError: a label is empty or above 63 characters."""
    if isinstance(error, UnicodeError):
        return True
    unknown = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    return isinstance(error, socket.gaierror) and error.errno in unknown


def _absolute(url: str, field: str) -> SplitResult:
    """The parts of an absolute http(s) URL of reasonable length."""
    if len(url) > LONGEST_URL:
        raise InvalidInputError(f"{field} has {len(url)} characters; up to {LONGEST_URL} are accepted.", field=field)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidInputError(f"{field} is not a URL; {_ACCEPTED}.", field=field) from None
    if not parts.scheme and not parts.netloc:
        shown = parts.path[:100]
        raise InvalidInputError(f"{field} {shown!r} is relative; {_ACCEPTED}.", field=field)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InvalidInputError(f"{field} begins with {parts.scheme[:20] + ':'!r}; {_ACCEPTED}.", field=field)
    return parts


def _addresses(parts: SplitResult, field: str, resolve: Resolver) -> list[str]:
    host = parts.hostname or ""
    if literal_address(host) is not None:
        return []  # the check of the text has judged it
    try:
        return resolve(host, port_of(parts))
    except NameUnknownError:
        raise InvalidInputError(
            f"{field}: the host {host!r} has no address; the name of a reachable host is accepted.", field=field
        ) from None
    except TransientError:
        return []
