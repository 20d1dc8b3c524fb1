"""A loopback server whose every connection is played by a function of the test, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

Play = Callable[["Wire"], None]


class Wire:
    """One accepted connection. `number` counts connections from 1."""

    def __init__(self, peer: socket.socket, number: int, stopping: threading.Event) -> None:
        self._peer = peer
        self._stopping = stopping
        self.number = number

    def read_request(self) -> bytes:
        """Head and body of the next request; empty when the client closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._peer.recv(65536)
            if not piece:
                return b""
            data += piece
        return data

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._peer.sendall(data)

    def answer(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        """A whole answer with a Content-Length."""
        head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
        self.send(f"{head}\r\n".encode() + body)

    def drip(self, piece: bytes, pause_s: float) -> None:
        """`piece` again and again until the client has gone or the server stops."""
        while not self._stopping.wait(pause_s):
            self.send(piece)

    def hang(self) -> None:
        """Say nothing until the server stops."""
        self._stopping.wait(60)


class HostileServer:
    """`with HostileServer(play) as server:` plays every connection in a thread of its own."""

    def __init__(self, play: Play, *, tls: ssl.SSLContext | None = None) -> None:
        self._play = play
        self._tls = tls
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._peers: list[socket.socket] = []
        self._closed = threading.Semaphore(0)
        self.connection_count = 0

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def wait_for_close(self, timeout_s: float = 10) -> None:
        """Return once one more connection was closed from this side."""
        assert self._closed.acquire(timeout=timeout_s)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                peer.settimeout(30)
                self.connection_count += 1
                self._peers.append(peer)
                self._start(partial(self._serve, peer, self.connection_count))

    def _serve(self, peer: socket.socket, number: int) -> None:
        with peer, contextlib.suppress(OSError):
            if self._tls is None:
                self._play(Wire(peer, number, self._stopping))
            else:
                with self._tls.wrap_socket(peer, server_side=True) as wrapped:
                    self._play(Wire(wrapped, number, self._stopping))
        self._closed.release()
