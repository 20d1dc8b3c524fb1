"""What a fault does: to the page, instead of the answer, or on the wire. One class a fault, one table."""

# ruff: noqa: ARG002 - an override takes what the other faults need

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from app.sandbox.limits import tell, wait_header
from app.sandbox.pages import error_answer, html_answer
from app.sandbox.vocabulary import choice, flag, matching, number, setting, whole
from app.sandbox.wire import Answer, ClientGoneError, Peer, Request

_LONG_S: Final = 3600


@dataclass(frozen=True)
class Trouble:
    """A fault that changes nothing; each fault overrides what it needs."""

    @property
    def twist(self) -> str:
        """A change to the page itself: "", "repeat_page", "same_cursor" or "empty_ok"."""
        return ""

    @property
    def is_carried_out(self) -> bool:
        """Whether what the request asks for is done, whatever its answer looks like."""
        return True

    def before(self, peer: Peer) -> None:
        """What happens before the request is looked at."""

    def instead(self, request: Request, clock_skew_s: float) -> Answer | None:
        """The answer that replaces the page, if any."""
        return None

    def send(self, peer: Peer, answer: Answer) -> None:
        """Put the answer on the wire. Raises ClientGoneError when the connection is over."""
        peer.send(answer)


@dataclass(frozen=True)
class Status(Trouble):
    """An error status: 429 and 5xx bursts."""

    status: int = setting(503, whole(300, 599), "the status")
    wait_s: float = setting(1, number(0, 10**9), "seconds the client is told to wait")
    tell: str = setting("nothing", tell(), "how it is told")
    body: str = setting("json", choice("json", "html", "empty"), "form of the error body")
    code: str = setting("scripted", matching(r"[\w.-]{1,80}", "a short word"), "error.code of a JSON body")
    commits: bool = setting(default=False, accepts=flag(), about="a write is carried out all the same")

    @property
    def is_carried_out(self) -> bool:
        return self.commits

    def instead(self, request: Request, clock_skew_s: float) -> Answer:
        if self.body == "html":
            answer = html_answer(self.status, "Service unavailable")
        elif self.body == "empty":
            answer = Answer(self.status, b"", ())
        else:
            answer = error_answer(self.status, self.code, "this answer was scripted by a fault")
        return answer.plus(*wait_header(self.tell, self.wait_s, time.time() + clock_skew_s))


@dataclass(frozen=True)
class Html200(Trouble):
    """A login or maintenance page in HTML with status 200."""

    content_type: str = setting("text/html", choice("text/html", "application/json"), "what it claims to be")

    @property
    def is_carried_out(self) -> bool:
        return False

    def instead(self, request: Request, clock_skew_s: float) -> Answer:
        return html_answer(200, "Please sign in", self.content_type)


@dataclass(frozen=True)
class Redirect(Trouble):
    """A redirect, by default to the same page."""

    status: int = setting(302, whole(300, 308), "301, 302, 303, 307, 308")
    to: str = setting("", matching(r"[!-~]*", "a URL or a path; empty: the same URL"), "where to")

    @property
    def is_carried_out(self) -> bool:
        return False

    def instead(self, request: Request, clock_skew_s: float) -> Answer:
        return Answer(self.status, b"", (("Location", self.to or request.target),))


@dataclass(frozen=True)
class EmptyOk(Trouble):
    """Status 200, an empty list, total 0: what some vendors answer to an expired token."""

    @property
    def twist(self) -> str:
        return "empty_ok"


@dataclass(frozen=True)
class RepeatPage(Trouble):
    """The records of the page before under this page's cursor: the wrong page."""

    @property
    def twist(self) -> str:
        return "repeat_page"


@dataclass(frozen=True)
class SameCursor(Trouble):
    """The next cursor equals the one that was sent."""

    @property
    def twist(self) -> str:
        return "same_cursor"


@dataclass(frozen=True)
class Delay(Trouble):
    """A slow page: the answer comes late, and is right."""

    seconds: float = setting(1, number(0, _LONG_S), "how late")
    first: bool = setting(default=False, accepts=flag(), about="wait before a write is carried out, not after it")

    def before(self, peer: Peer) -> None:
        if self.first:
            peer.sleep(self.seconds)

    def send(self, peer: Peer, answer: Answer) -> None:
        if not self.first:
            peer.pause(self.seconds)
        peer.send(answer)


@dataclass(frozen=True)
class Hang(Trouble):
    """No answer at all: the connection stays open and silent, then closes."""

    seconds: float = setting(_LONG_S, number(0, 86_400), "how long")
    commits: bool = setting(default=True, accepts=flag(), about="a write is carried out before")

    @property
    def is_carried_out(self) -> bool:
        return self.commits

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.pause(self.seconds)
        raise ClientGoneError


@dataclass(frozen=True)
class Hold(Trouble):
    """The answer waits until the account is released (``Account.release``, POST .../release), then comes whole."""

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.gate.hold(peer.pause)
        peer.send(answer)


@dataclass(frozen=True)
class Drip(Trouble):
    """The body trickles."""

    piece_bytes: int = setting(100, whole(1, 10_000_000), "bytes a piece")
    pause_s: float = setting(0.1, number(0, _LONG_S), "seconds between pieces")

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.send_bytes(answer.head())
        body = answer.framed()
        for start in range(0, len(body), self.piece_bytes):
            if start:
                peer.pause(self.pause_s)
            peer.send_bytes(body[start : start + self.piece_bytes])


@dataclass(frozen=True)
class Cut(Trouble):
    """The connection ends inside the body, though the length promised more."""

    share: float = setting(0.5, number(0, 0.999), "share of the body that is sent")
    reset: bool = setting(default=False, accepts=flag(), about="end with RST instead of FIN")

    def send(self, peer: Peer, answer: Answer) -> None:
        body = answer.framed()
        peer.send_bytes(answer.head() + body[: int(len(body) * self.share)])
        if self.reset:
            peer.reset()
        raise ClientGoneError


@dataclass(frozen=True)
class Drop(Trouble):
    """The connection ends before any byte of the answer."""

    reset: bool = setting(default=False, accepts=flag(), about="end with RST instead of FIN")
    commits: bool = setting(default=True, accepts=flag(), about="a write is carried out before")

    @property
    def is_carried_out(self) -> bool:
        return self.commits

    def send(self, peer: Peer, answer: Answer) -> None:
        if self.reset:
            peer.reset()
        raise ClientGoneError


@dataclass(frozen=True)
class Garbage(Trouble):
    """Bytes that are no HTTP."""

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.send_bytes(b"\x00\xff\xfeupstream connect error\r\n\r\n")
        raise ClientGoneError


@dataclass(frozen=True)
class TruncatedGzip(Trouble):
    """A gzip body without its end, under a length that is right: the transport looks whole."""

    share: float = setting(0.5, number(0, 0.999), "share of the gzip body that is sent")

    def send(self, peer: Peer, answer: Answer) -> None:
        encoded = ("Content-Encoding", "gzip")
        packed = answer.body if encoded in answer.headers else zlib.compress(answer.body, 1, wbits=31)
        others = tuple(header for header in answer.headers if header != encoded)
        cut = packed[: int(len(packed) * self.share)]
        peer.send(replace(answer, headers=(*others, encoded), body=cut))


@dataclass(frozen=True)
class TruncatedJson(Trouble):
    """JSON without its end, under a length that is right."""

    share: float = setting(0.5, number(0, 0.999), "share of the body that is sent")

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.send(replace(answer, body=answer.body[: int(len(answer.body) * self.share)]))


@dataclass(frozen=True)
class InvalidUtf8(Trouble):
    """A byte that is no UTF-8 inside the first string value."""

    def send(self, peer: Peer, answer: Answer) -> None:
        peer.send(replace(answer, body=answer.body.replace(b'":"', b'":"\xff', 1)))


TROUBLES: Final[Mapping[str, type[Trouble]]] = {
    "status": Status,
    "html_200": Html200,
    "redirect": Redirect,
    "empty_ok": EmptyOk,
    "repeat_page": RepeatPage,
    "same_cursor": SameCursor,
    "delay": Delay,
    "hang": Hang,
    "hold": Hold,
    "drip": Drip,
    "cut": Cut,
    "drop": Drop,
    "garbage": Garbage,
    "truncated_gzip": TruncatedGzip,
    "truncated_json": TruncatedJson,
    "invalid_utf8": InvalidUtf8,
}
