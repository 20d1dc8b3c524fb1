"""A server inside of a session of requests: it answers from a script and remembers what it was asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter


@dataclass(frozen=True)
class Asked:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}


@dataclass(frozen=True)
class Answer:
    """`fault`: raised instead."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Exception | None = None


class Script(BaseAdapter):
    """Answers in order; an answer may be a function of what is asked. The last one is given for ever."""

    def __init__(self, *answers: Answer | Callable[[Asked], Answer]) -> None:
        super().__init__()
        self._answers = list(answers)
        self.asked: list[Asked] = []

    def play(self, session: Session) -> Session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, self)
        return session

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        body: Any = request.body or b""
        content = body.read() if hasattr(body, "read") else body
        content = content.encode() if isinstance(content, str) else bytes(content)
        assert request.url
        assert request.method
        asked = Asked(request.method, request.url, request.headers, content)
        self.asked.append(asked)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer = answer(asked) if callable(answer) else answer
        if answer.fault is not None:
            raise answer.fault
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is open."""


def _response(request: PreparedRequest, answer: Answer) -> Response:
    response = Response()
    response.status_code = answer.status
    response.headers.update(answer.headers)
    response.raw = io.BytesIO(answer.body)
    response.url = request.url or ""
    response.request = request
    return response
