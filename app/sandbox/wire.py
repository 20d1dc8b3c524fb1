"""HTTP/1.1 by hand: requests read from, and answers written to, one connection.

The standard library's handler parses headers as e-mail and writes in pieces; tests need thousands of calls a second
and answers that break off at a chosen byte.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

from app.sandbox.gate import Gate

_HEAD_LIMIT_BYTES: Final = 64 * 1024
_BODY_LIMIT_BYTES: Final = 1024 * 1024
_IDLE_LIMIT_S: Final = 300
_JOIN_LIMIT_BYTES: Final = 1024 * 1024  # below this, head and body leave in one write


class ClientGoneError(Exception):
    """The client closed the connection, or this server stops."""


class BadRequestError(Exception):
    """Bytes that are no request this server reads, as (status, message)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    path: str  # percent-decoded
    raw_query: str
    query: Mapping[str, str]  # the last value of each name
    headers: Mapping[str, str]  # lower-case names
    keeps_alive: bool = True
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What is to be sent. ``record_ids`` are the numbers of the first and last record in it, with their count."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    record_count: int = 0
    record_ids: tuple[int, int] | None = None
    chunked: bool = False
    close: bool = False
    clock_skew_s: float = 0

    def plus(self, *headers: tuple[str, str]) -> "Answer":
        return replace(self, headers=(*self.headers, *headers))

    def to_head_request(self) -> "Answer":
        """The same without a body, ending the connection: no list is ever asked for by HEAD in earnest."""
        return replace(self, body=b"", chunked=False, close=True)

    def head(self) -> bytes:
        """Status line and headers, with Date always and the length of the whole body."""
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}", f"Date: {_http_date(int(time.time() + self.clock_skew_s))}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(self.body)}")
        if self.close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def framed(self) -> bytes:
        """The body as it lies on the wire."""
        if not self.chunked:
            return self.body
        size = 16 * 1024
        parts = [self.body[i : i + size] for i in range(0, len(self.body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@lru_cache(maxsize=8)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Peer:
    """One client connection."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_IDLE_LIMIT_S)
        self._socket, self._stopping, self._buffer = connection, stopping, b""
        self.gate = Gate()  # of the account whose call is being answered
        self.origin = "http://{}:{}".format(*connection.getsockname()[:2])

    def read_request(self) -> Request | None:
        """The next request; None when the client is done. Raises BadRequestError."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT_BYTES:
                raise BadRequestError(431, "request headers above 64 KiB")
            if not self._fill():
                return None
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        request = _parse(head)
        if "transfer-encoding" in request.headers:
            raise BadRequestError(411, "send a Content-Length; chunked requests are not read here")
        length = request.headers.get("content-length", "0")
        if length == "0":
            return request
        return replace(request, body=self._read_body(length))

    def _read_body(self, length: str) -> bytes:
        if not length.isdigit() or int(length) > _BODY_LIMIT_BYTES:
            raise BadRequestError(413, f"Content-Length: {length!r} is not accepted; accepted: at most 1 MiB")
        while len(self._buffer) < int(length):
            if not self._fill():
                raise ClientGoneError
        body, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return body

    def _fill(self) -> bool:
        received = self._socket.recv(64 * 1024)
        self._buffer += received
        return bool(received)

    def send(self, answer: Answer) -> None:
        """The whole answer, in one write unless it is large."""
        head, body = answer.head(), answer.framed()
        if len(body) < _JOIN_LIMIT_BYTES:
            self.send_bytes(head + body)
        else:
            self.send_bytes(head)
            self.send_bytes(body)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait, unless the client leaves or the server stops: then ClientGoneError."""
        deadline = time.monotonic() + seconds
        watch = select.poll()
        watch.register(self._socket, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            if not watch.poll(left * 1000):
                continue
            if self._stopping.is_set() or not self._socket.recv(1, socket.MSG_PEEK):
                raise ClientGoneError
            # A pipelined request lies there: only the server's end can cut this wait short.
            if self._stopping.wait(left):
                raise ClientGoneError

    def sleep(self, seconds: float) -> None:
        """Wait whether the client is still there or not, unless the server stops: then ClientGoneError."""
        if self._stopping.wait(seconds):
            raise ClientGoneError

    def reset(self) -> None:
        """Close so that the client gets RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._socket.close()

    def interrupt(self) -> None:
        """From another thread: wake whoever reads, writes or waits on this connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already


def _parse(head: bytes) -> Request:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise BadRequestError(400, f"request line {lines[0][:100]!r} is not accepted; accepted: METHOD TARGET HTTP/1.1")
    method, target, version = parts
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    path, _, raw_query = target.partition("?")
    query = dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {}
    wish = headers.get("connection", "").lower()
    keeps_alive = wish == "keep-alive" if version == "HTTP/1.0" else wish != "close"
    return Request(method, target, unquote(path), raw_query, query, headers, keeps_alive)
