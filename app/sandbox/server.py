"""The listening server: one thread a connection, in this process, with direct control for tests."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

from app.sandbox.accounts import Account, Accounts, TooManyAccountsError
from app.sandbox.control import PREFIX, Control
from app.sandbox.guide import guide
from app.sandbox.pages import error_answer
from app.sandbox.settings import Plain
from app.sandbox.vendor import Vendor
from app.sandbox.wire import Answer, BadRequestError, ClientGoneError, Peer, Request

_BACKLOG: Final = 512
_CONNECTIONS_MAX: Final = 2_000
_STOP_S: Final = 5


class SandboxServer:
    """The sandbox on ``host:port`` (port 0: any free one), with ``records`` records of ``seed`` an account.

    ``with SandboxServer(records=250) as vendor:`` or start()/stop(). Control: ``vendor.account(name).configure(...)``.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, records: int = 1000, seed: int = 0, page_max: int = 1000
    ) -> None:
        self._host, self._port = host, port
        self._accounts = Accounts(Plain(records=records, seed=seed, page_max=page_max))
        self._vendor, self._control = Vendor(self._accounts), Control(self._accounts)
        self._stopping = threading.Event()
        self._peers: dict[Peer, threading.Thread] = {}
        self._peers_lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def start(self) -> Self:
        """Listen and return at once. Raises OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
        self._port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name="sandbox-accept", daemon=True
        )
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close every connection, whatever it is doing, and wait for the threads."""
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._listener.close()
        if self._acceptor is not None:
            self._acceptor.join(_STOP_S)
        with self._peers_lock:
            peers = dict(self._peers)
        for peer in peers:
            peer.interrupt()
        for thread in peers.values():
            thread.join(_STOP_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port in use; 0 before start() when any free one was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        host = self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def account(self, name: str) -> Account:
        """The account of that name, made when new. Raises TooManyAccountsError."""
        return self._accounts.named(name)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                if self._stopping.wait(0.05):  # closed by stop(); otherwise out of descriptors for a moment
                    return
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        if len(self._peers) >= _CONNECTIONS_MAX:
            connection.close()
            return
        try:
            peer = Peer(connection, self._stopping)
        except OSError:  # gone between SYN and accept
            connection.close()
            return
        thread = threading.Thread(target=self._converse, args=(peer,), name="sandbox-client", daemon=True)
        with self._peers_lock:
            self._peers[peer] = thread
        thread.start()

    def _converse(self, peer: Peer) -> None:
        """Answer requests until either side ends; a client that vanishes is no error here."""
        try:
            with contextlib.suppress(ClientGoneError, OSError):
                while not self._stopping.is_set() and self._exchange(peer):
                    pass
        finally:
            peer.close()
            with self._peers_lock:
                self._peers.pop(peer, None)

    def _exchange(self, peer: Peer) -> bool:
        """One request and its answer; False when the connection ends with it."""
        try:
            request = peer.read_request()
            return request is not None and self._respond(request, peer)
        except BadRequestError as problem:
            peer.send(error_answer(problem.status, "bad_request", problem.message))
            return False
        except TooManyAccountsError as problem:
            peer.send(error_answer(503, "too_many_accounts", str(problem)))
            return False

    def _respond(self, request: Request, peer: Peer) -> bool:
        own = self._own_answer(request, peer)
        if own is None:
            return self._vendor.serve(request, peer)
        peer.send(own.to_head_request() if request.method == "HEAD" else own)
        return request.keeps_alive and request.method != "HEAD"

    def _own_answer(self, request: Request, peer: Peer) -> Answer | None:
        """The manual and the control API; None for everything that is the vendor's."""
        if request.path == "/":
            base_url = f"http://{request.headers['host']}" if "host" in request.headers else peer.origin
            return Answer(200, guide(base_url).encode(), (("Content-Type", "text/plain; charset=utf-8"),))
        if request.path.startswith(PREFIX):
            return self._control.answer(request)
        return None
