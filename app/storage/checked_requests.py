"""Sessions of the requests library, for vendors' SDKs that bring it: they dial only addresses that were checked."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.addresses import AddressPolicy
from app.storage.checked_dialling import dial
from app.storage.strange_answers import BoundedAnswers

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 100.0
"""Without a byte of the answer for so long, or for handing one write of the request to the socket. Finishing a large
upload is one call that the other side may think about."""


def make_session(
    policy: AddressPolicy, *, redirects: int = 0, base_url: str = "", is_bounded: bool = False
) -> requests.Session:
    """A session that trusts nothing from the environment (proxies, .netrc, certificate variables).

    It raises AddressRefusedError, and what requests raises. More than `redirects` redirects are an error; to another
    host requests takes no credentials along. With `base_url` every call goes there instead of to the host of its URL.
    `is_bounded`: who uses it names a time limit for every call, which holds then.
    """
    if base_url:
        policy.check_url(base_url)
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = redirects
    adapter = _CheckedAdapter(policy, base_url.rstrip("/"), is_bounded)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _CheckedAdapter(HTTPAdapter):
    """`send` bounds the time of every call, also where an SDK names none."""

    def __init__(self, policy: AddressPolicy, base_url: str, is_bounded: bool) -> None:
        self._policy = policy
        self._is_bounded = is_bounded
        self._base_url = base_url
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._policy)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        if self._base_url:
            request.url = self._base_url + request.path_url
        limits = timeout if self._is_bounded else (CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S)
        return super().send(request, stream, limits, verify, cert, proxies)


def _pools(policy: AddressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools by scheme, with connections that ask `policy` before they dial.

    A whole part is one write: the time to connect would be too short for it on a slow line.
    """

    class Plain(BoundedAnswers, HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial(policy, self, "http", connect_s=CONNECT_TIMEOUT_S, silence_s=SILENCE_TIMEOUT_S)

    class Secure(BoundedAnswers, HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(policy, self, "https", connect_s=CONNECT_TIMEOUT_S, silence_s=SILENCE_TIMEOUT_S)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
