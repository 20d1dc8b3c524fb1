"""A sender whose answers are given beforehand; keeps what it was asked to send."""

from __future__ import annotations

from collections.abc import Iterable

from app.http_client import Beat, Headers, Request, Response

Answer = Response | Exception


def answer(status: int, body: bytes | str = b"", **headers: str) -> Response:
    """An answer; `Set_Cookie="a=1"` is the header `Set-Cookie`."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Response(status, Headers(pairs), body.encode() if isinstance(body, str) else body, "http://vendor", 0.0)


class ScriptedVendor:
    """Gives `answers` in the order in which they are asked for, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[Request] = []
        self.abandoned = 0

    def start(self, request: Request) -> _Sent:
        self.sent.append(request)
        return _Sent(self)

    @property
    def bodies(self) -> Iterable[bytes | None]:
        """Of the requests, in order."""
        return [each.body for each in self.sent]

    def take(self) -> Response:
        """The next answer, raised if it is an error."""
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, Exception):
            raise found
        return found


class _Sent:
    is_over = True
    is_sent = True

    def __init__(self, vendor: ScriptedVendor) -> None:
        self._vendor = vendor

    def result(self, beat: Beat | None = None) -> Response:  # noqa: ARG002 - the sender's signature
        return self._vendor.take()

    def abandon(self) -> None:
        self._vendor.abandoned += 1
