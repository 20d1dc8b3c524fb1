"""The only HTTP client: one libcurl handle a thread, connections kept, every dialled address checked.

It trusts nothing from the environment (proxies, .netrc, certificate variables), follows no redirect, keeps no cookie
and sends a request exactly once: where libcurl would silently repeat a request on a fresh connection because a kept
one died, the repeat is stopped, since a vendor may have counted the first, and the caller decides (kind `stale`).
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pycurl

from app.addresses import AddressPolicy, port_of
from app.decoding import BodyBuffer, BodyDamagedError, BodyOverflowError
from app.errors import AddressRefusedError, ConfigError
from app.http_messages import BodyTooLarge, Headers, Interrupted, Kind, Request, Response, TransportError
from app.idle_connections import was_closed

__all__ = [
    "Beat",
    "BodyTooLarge",
    "Headers",
    "HttpClient",
    "Interrupted",
    "Kind",
    "Request",
    "Response",
    "TransportError",
]

MIB = 1024 * 1024
BEAT_S = 1.0
SLOWEST_BYTES_PER_S = 64
Beat = Callable[[], bool]
SocketAddress = tuple[Any, ...]

_ORIGIN = re.compile(r"https?://[^/?#@\\]+(?=[/?#][!-\[\]-~]*\Z|\Z)")
_MAX_CHECKED = 1000

# Compiled-in locations differ from machine to machine and variables may point anywhere: these are the system bundles of
# Debian, Fedora, Alpine with macOS, and SUSE, in this order.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)

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


class HttpClient:
    """Sends requests from any number of threads; each thread has its own handle and its own kept connections."""

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
        return self._transfer().run(request, beat)

    def close(self) -> None:
        """Close the kept connections of the calling thread."""
        transfer = getattr(self._local, "transfer", None)
        if transfer is not None:
            transfer.close()
            del self._local.transfer

    def _transfer(self) -> _Transfer:
        if not hasattr(self._local, "transfer"):
            curl = self._make_curl()
            self._local.transfer = _Transfer(curl, self._policy, self._max_body_bytes, is_proxied=bool(self._proxy_url))
        transfer: _Transfer = self._local.transfer
        return transfer

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
        curl.setopt(pycurl.NOPROGRESS, 0)
        if self._ca_file:
            curl.setopt(pycurl.CAINFO, self._ca_file)
        return curl


class _Transfer:
    """One thread's handle and the state of the request that it is sending.

    A callback that raises would print its traceback and lose the exception, so each keeps it in `_failure` and
    stops the transfer; `run` raises it again.
    """

    def __init__(self, curl: pycurl.Curl, policy: AddressPolicy, max_body_bytes: int, *, is_proxied: bool) -> None:
        self._curl = curl
        self._policy = policy
        self._max_body_bytes = max_body_bytes
        self._is_proxied = is_proxied
        self._headers: list[tuple[str, str]] = []
        self._body = BodyBuffer(max_body_bytes)
        self._failure: BaseException | None = None
        self._refusal: AddressRefusedError | None = None
        self._beat: Beat | None = None
        self._beat_at = 0.0
        self._scheme, self._send_count, self._is_connected, self._is_head_whole = "https", 0, False, False
        self._opened: list[socket.socket] = []
        self._checked: set[str] = set()
        self._sent_options: object = None
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._before_send)
        curl.setopt(pycurl.HEADERFUNCTION, self._on_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        curl.setopt(pycurl.XFERINFOFUNCTION, self._on_progress)

    def close(self) -> None:
        self._curl.close()

    def run(self, request: Request, beat: Beat | None) -> Response:
        self._check(request.url)
        started_at = time.monotonic()
        try:
            self._prepare(request, beat)
            self._curl.perform()
            if not self._is_head_whole:  # libcurl takes a connection that ends inside the head for a whole answer
                raise TransportError("cut", f"{_place(request)}: the answer ended inside its head.")
            body = self._body.finish()
        except BodyDamagedError as error:
            raise TransportError("decode", f"{_place(request)}: {error}") from None
        except pycurl.error as error:
            raise self._translated(error, _place(request)) from None
        finally:
            self._beat = None
            self._close_opened()
        return Response(
            status=self._curl.getinfo(pycurl.RESPONSE_CODE),
            headers=Headers(self._headers),
            body=body,
            url=request.url,
            elapsed_s=time.monotonic() - started_at,
            wire_bytes=self._body.wire_bytes,
        )

    def _check(self, url: str) -> None:
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

    def _close_opened(self) -> None:
        """Pycurl works on duplicates of the sockets that it was given; ours are closed here."""
        for opened in self._opened:
            opened.close()
        self._opened.clear()

    def _prepare(self, request: Request, beat: Beat | None) -> None:
        self._headers, self._body = [], BodyBuffer(self._max_body_bytes)
        self._failure, self._refusal = None, None
        self._beat, self._beat_at = beat, time.monotonic()
        self._scheme, self._send_count = _scheme_of(request.url), 0
        self._is_connected, self._is_head_whole = False, False
        curl = self._curl
        curl.setopt(pycurl.FRESH_CONNECT, was_closed(curl.getinfo(pycurl.ACTIVESOCKET)))
        curl.setopt(pycurl.URL, request.url)
        options = (request.method, request.headers, request.read_timeout_s)
        if options == self._sent_options and request.body is None:
            return  # the next page of the same list
        self._sent_options = None
        curl.setopt(pycurl.HTTPHEADER, _header_lines(request.headers))
        curl.setopt(pycurl.LOW_SPEED_TIME, max(1, round(request.read_timeout_s)))
        curl.setopt(pycurl.TIMEOUT_MS, max(1000, int(request.read_timeout_s * 10_000)))
        _set_method(curl, request.method, request.body)
        self._sent_options = options if request.body is None else None

    def _translated(self, error: pycurl.error, place: str) -> BaseException:
        if self._refusal is not None and not self._opened:  # of several addresses, none could be dialled
            return TransportError("refused_address", str(self._refusal))
        if isinstance(self._failure, BodyOverflowError):
            return BodyTooLarge(f"{place}: {self._failure}")
        if isinstance(self._failure, BodyDamagedError):
            return TransportError("decode", f"{place}: {self._failure}")
        if self._failure is not None:
            return self._failure
        code, text = error.args[0], str(error.args[1])
        if self._send_count > 1:
            return TransportError("stale", f"{place}: the kept connection was closed by the other side; send again.")
        kind = _KINDS.get(code, "cut")
        if kind == "timeout" and not self._is_connected:
            kind = "connect"
        return TransportError(kind, f"{place}: {text[:200]}")

    def _open_socket(self, _purpose: int, address: SocketAddress) -> socket.socket | int:
        family, kind, protocol, sockaddr = address
        try:
            if not self._is_proxied:  # the proxy is the operator's and does the checking of what it dials
                self._policy.check_ip(sockaddr[0], sockaddr[1], self._scheme)
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
        self._is_connected = True
        self._send_count += 1
        return int(pycurl.PREREQFUNC_OK if self._send_count == 1 else pycurl.PREREQFUNC_ABORT)

    def _on_header(self, line: bytes) -> int | None:
        text = line.decode("latin-1")
        if text.startswith("HTTP/"):
            self._headers, self._is_head_whole = [], False  # the block before was an interim one (1xx)
            return None
        name, colon, value = text.partition(":")
        if colon:
            self._headers.append((name.strip(), value.strip()))
        elif text.strip() == "":
            self._is_head_whole = True
            return self._guarded(lambda: self._body.set_encoding(Headers(self._headers).get("content-encoding") or ""))
        return None

    def _on_body(self, chunk: bytes) -> int | None:
        return self._guarded(lambda: self._body.feed(chunk))

    def _guarded(self, action: Callable[[], None]) -> int | None:
        """None goes on; any count that is not the chunk's length stops the transfer."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - see the class
            self._failure = error
            return -1
        return None

    def _on_progress(self, *_counts: float) -> int:
        if self._beat is None:
            return 0
        now = time.monotonic()
        if now - self._beat_at < BEAT_S:
            return 0
        self._beat_at = now
        try:
            if self._beat():
                return 0
            self._failure = Interrupted("The transfer was stopped.")
        except BaseException as error:  # noqa: BLE001 - see the class
            self._failure = error
        return 1


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
