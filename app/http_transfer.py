"""One libcurl handle: the request that it carries, and the answer that comes in."""

from __future__ import annotations

import contextlib
import socket
import time
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

import pycurl

from app.addresses import AddressPolicy, port_of
from app.decoding import BodyDamagedError, BodyOverflowError, decode_body
from app.errors import AddressRefusedError, ConfigError
from app.http_messages import BodyTooLarge, Headers, Kind, Request, Response, TransportError

BEAT_S = 1.0
SocketAddress = tuple[Any, ...]
Failure = tuple[int, str]
"""libcurl's code and text."""

_KINDS: Final[dict[int, Kind]] = {
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_RESOLVE_PROXY: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_BAD_CONTENT_ENCODING: "decode",
    pycurl.E_UNSUPPORTED_PROTOCOL: "decode",
    pycurl.E_URL_MALFORMAT: "decode",
}
_NOTHING = Request("GET", "")
_MOST_PASSED_OVER = 64 * 1024


_KEPT_BODY_BYTES = 1536 * 1024
"""The buffer of a body that is no larger serves the next one too: new memory costs more than the copy out of it."""


class Transfer:
    """Carries one request at a time, for one thread.

    Heads are collected by `list.append` and bodies by `BytesIO.write`, without a line of Python a chunk, and read when
    all is there. (Not as chunks: one of two bytes takes forty, and so a body within the limit gigabytes.) A callback
    that raises would print its traceback and lose the exception: it is kept in `_failure`.
    """

    def __init__(self, curl: pycurl.Curl, policy: AddressPolicy, max_body_bytes: int, *, is_proxied: bool) -> None:
        self.curl = curl
        self.is_over = False
        self._policy = policy
        self._max_body_bytes = max_body_bytes
        self._is_proxied = is_proxied
        self.request = _NOTHING
        self.begun_at = 0.0
        self._asked_at = 0.0
        self._head_lines: list[bytes] = []
        self._body = BytesIO()
        self._ended: Failure | None = None
        self._failure: BaseException | None = None
        self._refusal: AddressRefusedError | None = None
        self._send_count, self._passed_over = 0, 0
        self._opened: list[socket.socket] = []
        self._sent_options: object = None
        self._is_fresh = False
        curl.setopt(pycurl.HEADERFUNCTION, self._head_lines.append)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._before_send)
        self._expect_body(is_wanted=True)

    def prepare(self, request: Request, *, is_fresh: bool) -> None:
        """Take up a request; `is_fresh`: no kept connection may carry it.

        Raises ConfigError for a header that cannot be sent, TransportError for such a URL.
        """
        self.request, self.begun_at, self.is_over = request, time.monotonic(), False
        self._ended, self._failure, self._refusal = None, None, None
        self._send_count, self._passed_over = 0, 0
        try:
            if is_fresh is not self._is_fresh:
                self._is_fresh = is_fresh
                self.curl.setopt(pycurl.FRESH_CONNECT, is_fresh)
            self._set_options(request)
        except pycurl.error as error:
            raise self._translated(*error.args) from None

    def _set_options(self, request: Request) -> None:
        curl = self.curl
        curl.setopt(pycurl.URL, request.url)
        if request.is_body_wanted != self._is_body_wanted:
            self._expect_body(is_wanted=request.is_body_wanted)
        options = (request.method, request.headers, request.read_timeout_s)
        if options == self._sent_options and request.body is None:
            return  # the next page of the same list
        self._sent_options = None
        curl.setopt(pycurl.HTTPHEADER, _header_lines(request.headers))
        curl.setopt(pycurl.LOW_SPEED_TIME, max(1, round(request.read_timeout_s)))
        curl.setopt(pycurl.TIMEOUT_MS, max(1000, int(request.read_timeout_s * 10_000)))
        _set_method(curl, request.method, request.body)
        self._sent_options = options if request.body is None else None

    def _expect_body(self, *, is_wanted: bool) -> None:
        self._is_body_wanted = is_wanted
        self.curl.setopt(pycurl.WRITEFUNCTION, self._body.write if is_wanted else self._pass_over)
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, self._max_body_bytes if is_wanted else 0)

    def _pass_over(self, piece: bytes) -> int:
        self._passed_over += len(piece)
        return len(piece) if self._passed_over <= _MOST_PASSED_OVER else 0  # which ends the transfer

    @property
    def is_answered(self) -> bool:
        """All that is wanted is there, where that is the head."""
        if self._is_body_wanted or Headers.of_lines(self._head_lines) is None:
            return False
        return bool(self.curl.getinfo(pycurl.RESPONSE_CODE) >= HTTPStatus.OK)  # not an interim one

    @property
    def is_sent(self) -> bool:
        """The request, or a part of it, may have left."""
        return self._send_count > 0

    def ask(self) -> None:
        """From now on somebody waits for the answer."""
        self._asked_at = time.monotonic()

    def end(self, failure: Failure | None) -> None:
        """Libcurl is done with it."""
        self.is_over, self._ended = True, failure

    @property
    def descriptor(self) -> int:
        """Of the connection that carried it; -1 where that is closed."""
        return int(self.curl.getinfo(pycurl.ACTIVESOCKET))

    @property
    def is_dialled(self) -> bool:
        """Whether a connection was opened for it, or tried."""
        return bool(self._opened)

    def let_go(self) -> None:
        """Forget the answer. Pycurl works on duplicates of the sockets that it was given; ours are closed here."""
        for opened in self._opened:
            opened.close()
        self._opened.clear()
        self._head_lines.clear()
        self.request = _NOTHING
        if self._body.tell() > _KEPT_BODY_BYTES:
            self._body.truncate(0)
        self._body.seek(0)

    def response(self) -> Response:
        """The whole answer. Raises TransportError, BodyTooLarge, or what a callback kept."""
        if self._ended is not None and not self.is_answered:
            raise self._translated(*self._ended) from None
        headers = Headers.of_lines(self._head_lines)
        if headers is None:  # libcurl takes a connection that ends inside the head for a whole answer
            raise TransportError("cut", f"{_place(self.request)}: the answer ended inside its head.")
        received = bytes(self._body.getbuffer()[: self._body.tell()])
        encoding = headers.get("content-encoding") or "" if self._is_body_wanted else ""
        try:
            body = decode_body(received, encoding, self._max_body_bytes)
        except BodyDamagedError as error:
            raise TransportError("decode", f"{_place(self.request)}: {error}") from None
        except BodyOverflowError as error:
            raise BodyTooLarge(f"{_place(self.request)}: {error}") from None
        return Response(
            status=self.curl.getinfo(pycurl.RESPONSE_CODE),
            headers=headers,
            body=body,
            url=self.request.url,
            elapsed_s=time.monotonic() - self._asked_at,
            wire_bytes=len(received),
        )

    def _translated(self, code: int, text: str) -> BaseException:
        place = _place(self.request)
        if self._refusal is not None and not self._opened:  # of several addresses, none could be dialled
            return TransportError("refused_address", str(self._refusal))
        if code == pycurl.E_FILESIZE_EXCEEDED:
            return BodyTooLarge(f"{place}: {BodyOverflowError(self._max_body_bytes)}")
        if self._failure is not None:
            return self._failure
        if self._send_count > 1:
            return TransportError("stale", f"{place}: the kept connection was closed by the other side; send again.")
        kind = _KINDS.get(code, "cut")
        if kind == "timeout" and self._send_count == 0:
            kind = "connect"
        return TransportError(kind, f"{place}: {str(text)[:200]}")

    def _open_socket(self, _purpose: int, address: SocketAddress) -> socket.socket | int:
        family, kind, protocol, sockaddr = address
        try:
            if not self._is_proxied:  # the proxy is the operator's and does the checking of what it dials
                self._policy.check_ip(sockaddr[0], sockaddr[1], _scheme_of(self.request.url))
            opened = socket.socket(family, kind, protocol)
        except AddressRefusedError as error:
            self._refusal = error
            return int(pycurl.SOCKET_BAD)
        except Exception as error:  # noqa: BLE001 - see the class
            self._failure = error
            return int(pycurl.SOCKET_BAD)
        self._opened.append(opened)
        return opened

    def _before_send(self, *_addresses: object) -> int:
        self._send_count += 1
        return int(pycurl.PREREQFUNC_OK if self._send_count == 1 else pycurl.PREREQFUNC_ABORT)


def _set_method(curl: pycurl.Curl, method: str, body: bytes | None) -> None:
    if body is None:
        curl.setopt(pycurl.HTTPGET, 1)
        with contextlib.suppress(pycurl.error):
            curl.unsetopt(pycurl.CUSTOMREQUEST)
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif method != "GET":
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        return
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
    curl.setopt(pycurl.COPYPOSTFIELDS, body)
    curl.setopt(pycurl.CUSTOMREQUEST, method)


def _header_lines(headers: tuple[tuple[str, str], ...]) -> list[bytes]:
    """Lines for libcurl. `Expect:` keeps it from waiting a second before it sends a body."""
    lines = [b"Accept-Encoding: gzip", b"Expect:"]
    for name, value in headers:
        if any(char in "\r\n\0" for char in name + value):
            raise ConfigError(f"The header {name[:50]!r} holds a line break and is not sent.")
        # "Name;" is libcurl's spelling of a header with an empty value; "Name:" would remove it.
        lines.append((f"{name}: {value}" if value else f"{name};").encode())
    return lines


def _scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def _place(request: Request) -> str:
    """Method, host and path: what a message may show of a URL, whose query may hold a key."""
    try:
        parts = urlsplit(request.url)
        return f"{request.method} {parts.scheme}://{parts.hostname}:{port_of(parts)}{parts.path}"
    except (ValueError, KeyError):
        return request.method
