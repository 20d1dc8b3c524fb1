"""Stand-ins for the HTTP client whose answers are made up: a call is begun now, its answer is made when it is read."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from app.http_client import Beat, Request, Response


class Unread:
    """A call that was begun. `is_abandoned`: it was broken off; `is_sent`: the vendor has heard of it."""

    def __init__(self, answer: Callable[[Request, Beat | None], Response], request: Request) -> None:
        self._answer = answer
        self._request = request
        self.is_abandoned = False
        self.is_sent = True

    def result(self, beat: Beat | None = None) -> Response:
        assert not self.is_abandoned
        return self._answer(self._request, beat)

    def abandon(self) -> None:
        self.is_abandoned = True


class Deferred(ABC):
    """Gives a stand-in that answers by `request` the `start` of the client."""

    @abstractmethod
    def request(self, request: Request, beat: Beat | None = None) -> Response:
        """Answer a call."""

    def start(self, request: Request) -> Unread:
        return Unread(self.request, request)
