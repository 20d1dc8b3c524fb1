"""HTTP below the SDKs of Google and Azure, which bring requests; ten connections would not do for a worker."""

from __future__ import annotations

from requests import Session  # noqa: TID251 - the SDKs' own
from requests.adapters import HTTPAdapter  # noqa: TID251

_CONNECTIONS = 64
_HOSTS = 4


def widened(session: Session) -> Session:
    """The session, which keeps a connection for each thread that may need one. Tries again by itself: never."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=_HOSTS, pool_maxsize=_CONNECTIONS, max_retries=0))
    return session


def wide_session() -> Session:
    """A new one."""
    return widened(Session())
