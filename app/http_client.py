"""The only HTTP client: connections kept by each thread, every dialled address checked, a request in flight at will.

It trusts nothing from the environment (proxies, .netrc, certificate variables), follows no redirect, keeps no cookie
and sends a request exactly once: where libcurl would silently repeat a request on a fresh connection because a kept
one died, the repeat is stopped, since a vendor may have counted the first, and the caller decides (kind `stale`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pycurl

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError
from app.http_messages import Beat, BodyTooLarge, Headers, Interrupted, Kind, Request, Response, TransportError
from app.http_transfer import BEAT_S, Failure, Transfer
from app.idle_connections import KnownConnections

__all__ = [
    "Beat",
    "BodyTooLarge",
    "Headers",
    "HttpClient",
    "Interrupted",
    "Kind",
    "Request",
    "Response",
    "Sent",
    "TransportError",
]

MIB = 1024 * 1024
SLOWEST_BYTES_PER_S = 64

_ORIGIN = re.compile(r"https?://[^/?#@\\]+(?=[/?#][!-\[\]-~]*\Z|\Z)")
_MAX_CHECKED = 1000
_MAX_KEPT_CONNECTIONS = 8
_WAIT_MS = 250
_NO_SOCKET_WAIT_S = 0.005
_LEFT_ALONE_S = 1.0
"""A connection that was only begun and then left alone for so long may have run into its time limit meanwhile."""

# Compiled-in locations differ from machine to machine and variables may point anywhere: these are the system bundles of
# Debian, Fedora, Alpine with macOS, and SUSE, in this order.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


class HttpClient:
    """Sends requests from any number of threads; each thread has its own kept connections."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        user_agent: str,
        connect_timeout_s: float = 10.0,
        max_body_bytes: int = 64 * MIB,
        proxy_url: str = "",
        ca_file: str = "",
    ) -> None:
        self._policy = policy
        self._user_agent = user_agent
        self._connect_timeout_s = connect_timeout_s
        self._max_body_bytes = max_body_bytes
        self._proxy_url = proxy_url
        self._ca_file = ca_file or next((path for path in _CA_FILES if Path(path).is_file()), "")
        self._local = threading.local()

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        """Send `request` once and read the whole answer, whatever its status.

        `beat` is called about once a second, also while nothing arrives; False aborts with Interrupted.
        Raises TransportError, BodyTooLarge, Interrupted; ConfigError for a header that cannot be sent.
        """
        return self.start(request).result(beat)

    def start(self, request: Request) -> Sent:
        """Send `request` and return while its answer is on the way; what fails is raised by `Sent.result`.

        Over a kept connection it is sent at once, a new one is only begun. The answer is read in `result`, by the
        thread that called `start`: until then it waits in the buffers of the operating system.
        """
        return Sent(self._lines(), request)

    def together(self) -> AbstractContextManager[None]:
        """Calls begun inside, by the calling thread, are sent when it ends, and not if it ends with an exception.

        Sent one by one, each would have libcurl look at all that are under way.
        """
        return self._lines().together()

    def wait(self) -> None:
        """Let the calling thread's transfers go on until something arrives; a quarter of a second at most."""
        self._lines().go_on()

    def let_handles_go(self) -> None:
        """Free what many calls at once took of the calling thread's memory; connections are kept.

        Each handle has buffers of half a megabyte, and every thread of a worker may have as many as an upload's calls.
        """
        self._lines().let_handles_go()

    def close(self) -> None:
        """Close the kept connections of the calling thread. Nothing of it may be in flight."""
        lines = getattr(self._local, "lines", None)
        if lines is not None:
            lines.close()
            del self._local.lines

    def _lines(self) -> _Lines:
        try:
            lines: _Lines = self._local.lines
        except AttributeError:
            lines = self._local.lines = _Lines(self._make_transfer, self._policy)
        return lines

    def _make_transfer(self) -> Transfer:
        curl = self._make_curl()
        return Transfer(curl, self._policy, self._max_body_bytes, is_proxied=bool(self._proxy_url))

    def _make_curl(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.HTTP09_ALLOWED, 0)
        curl.setopt(pycurl.HTTP_CONTENT_DECODING, 0)
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.PROXY, self._proxy_url)  # an empty text, too, keeps libcurl from reading http_proxy
        curl.setopt(pycurl.NOPROXY, "" if self._proxy_url else "*")
        curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        curl.setopt(pycurl.USERAGENT, self._user_agent)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(self._connect_timeout_s * 1000)))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, SLOWEST_BYTES_PER_S)
        curl.setopt(pycurl.MAXAGE_CONN, 50)  # below the usual idle limit of a minute, so that fewer kept ones are dead
        curl.setopt(pycurl.BUFFERSIZE, 256 * 1024)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        if self._ca_file:
            curl.setopt(pycurl.CAINFO, self._ca_file)
        return curl


class Sent:
    """A request whose answer is on the way. Ask for the result once, or abandon it."""

    def __init__(self, lines: _Lines, request: Request) -> None:
        self._lines = lines
        self._refusal: Exception | None = None
        self._transfer: Transfer | None = None
        try:
            lines.check(request.url)
            self._transfer = lines.start(request)
        except Exception as error:  # noqa: BLE001 - raised by `result`, where the caller looks for it
            self._refusal = error

    @property
    def is_over(self) -> bool:
        """Whether `result` would not have to wait; learnt in `HttpClient.wait`, or while another answer is read."""
        return self._transfer is None or self._transfer.is_over

    @property
    def is_sent(self) -> bool:
        """The request, or a part of it, may have left. For calls that nobody has asked for the result of."""
        return self._transfer is not None and self._transfer.is_sent

    def result(self, beat: Beat | None = None) -> Response:
        """The whole answer; see `HttpClient.request` for `beat` and what is raised."""
        if self._transfer is None:
            raise self._refusal or RuntimeError("the result was fetched before")
        transfer, self._transfer = self._transfer, None
        return self._lines.finish(transfer, beat)

    def abandon(self) -> None:
        """Break the call off, if it is still under way: its connection is closed."""
        if self._transfer is not None:
            self._lines.drop(self._transfer)
            self._transfer = None


class _Lines:
    """One thread's connections, and what goes over them."""

    def __init__(self, make_transfer: Callable[[], Transfer], policy: AddressPolicy) -> None:
        self._make_transfer = make_transfer
        self._policy = policy
        self._multi = pycurl.CurlMulti()
        self._kept_count = 0
        self._is_held = False
        self._keep(_MAX_KEPT_CONNECTIONS)
        self._idle: list[Transfer] = []
        self._busy: dict[pycurl.Curl, Transfer] = {}
        self._checked: set[str] = set()
        self._known = KnownConnections()

    def check(self, url: str) -> None:
        """Ask the policy, once an origin: what follows the origin only has to be printable."""
        origin = _ORIGIN.match(url)
        if origin is not None and origin.group() in self._checked:
            return
        try:
            self._policy.check_url(url)
        except AddressRefusedError as error:
            raise TransportError("refused_address", str(error)) from None
        if origin is not None and len(self._checked) < _MAX_CHECKED:
            self._checked.add(origin.group())

    def start(self, request: Request) -> Transfer:
        """Send, as far as that goes without waiting. Raises ConfigError, TransportError."""
        transfer = self._idle.pop() if self._idle else self._make_transfer()
        try:
            transfer.prepare(request, is_fresh=self._known.is_any_dead())
            self._multi.add_handle(transfer.curl)
            self._busy[transfer.curl] = transfer
            self._keep(len(self._busy))
            if not self._is_held:
                self._go_on()
        except BaseException:
            self.drop(transfer)
            raise
        return transfer

    @contextmanager
    def together(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self._go_on()

    def _keep(self, count: int) -> None:
        """Libcurl counts busy connections too, and closes one that becomes idle where there are more than these."""
        if count > self._kept_count:
            self._kept_count = count
            self._multi.setopt(pycurl.M_MAXCONNECTS, count)

    def go_on(self) -> None:
        """Wait a little, then take in what has come."""
        self._wait()
        self._go_on()

    def finish(self, transfer: Transfer, beat: Beat | None) -> Response:
        """Read the answer to its end."""
        if not transfer.is_sent and time.monotonic() - transfer.begun_at > _LEFT_ALONE_S:
            request = transfer.request
            self.drop(transfer)
            transfer = self.start(request)
        transfer.ask()
        if transfer.is_sent:
            self._go_on()  # it may have come while the caller did other things
        beat_at = time.monotonic() + BEAT_S
        try:
            while not transfer.is_over:
                self.go_on()
                if beat is not None and time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + BEAT_S
                    if not transfer.is_over and not beat():
                        if transfer.is_answered:
                            break
                        raise Interrupted("The transfer was stopped.")
            return transfer.response()
        finally:
            self.drop(transfer)

    def drop(self, transfer: Transfer) -> None:
        """Make room for the next one. A connection in the middle of an answer is closed."""
        transfer.let_go()
        if self._busy.pop(transfer.curl, None) is not None:
            self._multi.remove_handle(transfer.curl)
        self._idle.append(transfer)

    def let_handles_go(self) -> None:
        for transfer in self._idle:
            transfer.curl.close()
        self._idle.clear()

    def close(self) -> None:
        for transfer in [*self._busy.values()]:
            self.drop(transfer)
        self.let_handles_go()
        self._multi.close()

    def _go_on(self) -> None:
        """Let libcurl do what can be done without waiting."""
        _, running = self._multi.perform()
        if running == len(self._busy):
            return
        _, succeeded, failed = self._multi.info_read()
        for curl in succeeded:
            self._end(self._busy[curl], None)
        for curl, code, text in failed:
            self._end(self._busy[curl], (code, text))

    def _end(self, transfer: Transfer, failure: Failure | None) -> None:
        transfer.end(failure)
        if transfer.is_dialled:  # else it went over one that is known, or over none
            self._known.add(transfer.descriptor)

    def _wait(self) -> None:
        """Until something arrives, or libcurl's own timers run out; a quarter of a second at most."""
        due_ms = self._multi.timeout()
        wait_s = (_WAIT_MS if due_ms < 0 else min(due_ms, _WAIT_MS)) / 1000
        asked_at = time.monotonic()
        if wait_s > 0 and self._multi.select(wait_s) <= 0 and time.monotonic() - asked_at < wait_s / 2:
            time.sleep(min(wait_s, _NO_SOCKET_WAIT_S))  # no socket to wait for, or one beyond select()'s 1024
