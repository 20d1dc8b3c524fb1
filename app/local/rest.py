"""A few lines of HTTP for the laptop's commands, as any user's script has. Straight to loopback, never by a proxy."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from app.local.errors import LocalError

_TIMEOUT_S = 60.0
_OK = range(200, 300)


class Api:
    """An HTTP API below one base URL; the same headers go with each call."""

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self._base = urlsplit(base_url)
        self._headers = dict(headers or {})

    def get(self, path: str) -> Any:
        """The decoded JSON answer. Raises LocalError, also for a status that is not 2xx."""
        return self._call("GET", path)

    def post(self, path: str, document: Any) -> Any:
        """Send JSON; the decoded JSON answer. Raises LocalError."""
        return self._call("POST", path, json.dumps(document).encode())

    def is_up(self, path: str) -> bool:
        try:
            with self.stream("GET", path):
                return True
        except LocalError:
            return False

    @contextmanager
    def stream(self, method: str, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        """The open answer. Raises LocalError."""
        connection = http.client.HTTPConnection(self._base.netloc, timeout=_TIMEOUT_S)
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            connection.request(method, self._base.path + path, body, headers)
            answer = connection.getresponse()
            if answer.status not in _OK:
                text = answer.read(2000).decode(errors="replace")
                raise LocalError(f"{method} {path} was answered {answer.status}: {text}")
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise LocalError(f"{method} {path} was not answered: {error!r}") from error
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        with self.stream(method, path, body) as answer:
            return json.loads(answer.read())
