"""The demo's callback receiver: takes POSTs on a loopback port and checks both signatures with nothing but the key."""

import base64
import binascii
import hashlib
import hmac
import json
import queue
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.local.errors import LocalError

_TOLERANCE_S = 300  # Standard Webhooks: refuse old timestamps, so that a recorded callback cannot be played again


@dataclass(frozen=True)
class Callback:
    """One verified callback: its id and its JSON body."""

    event_id: str
    document: dict[str, Any]


class SignatureError(Exception):
    """The callback is not what the key's owner sent."""


def new_signing_key() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def verify(key: str, headers: Mapping[str, str], body: bytes, now_s: float) -> Callback:
    """Check a request as a receiver should, in each of the two ways. Raises SignatureError.

    SAP's: HMAC-SHA256 over the body by the key as text. Standard Webhooks: over id, time and body by the decoded key.
    """
    expected = "sha256=" + _mac(key.encode(), body)
    if not hmac.compare_digest(headers.get("Elements-Webhook-Signature", ""), expected):
        raise SignatureError("Elements-Webhook-Signature does not match")
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(now_s - int(timestamp)) > _TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp {timestamp!r} is not of now")
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = "v1," + _mac(base64.b64decode(key.removeprefix("whsec_")), signed)
    if not any(hmac.compare_digest(one, expected) for one in headers.get("webhook-signature", "").split()):
        raise SignatureError("webhook-signature does not match")
    return Callback(event_id, json.loads(body))


class Receiver:
    """Serves until `stop`."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._arrived: queue.Queue[Callback | SignatureError] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/callback"

    def wait(self, timeout_s: float) -> Callback:
        """The next callback. Raises LocalError if none comes in time or its signature is wrong."""
        try:
            arrived = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            raise LocalError(f"no callback within {timeout_s:g} s") from None
        if isinstance(arrived, SignatureError):
            raise LocalError(f"a callback came with a bad signature: {arrived}")
        return arrived

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Record a request; the status to answer it with."""
        try:
            self._arrived.put(verify(self._key, headers, body, time.time()))
        except (SignatureError, ValueError, binascii.Error) as error:
            self._arrived.put(SignatureError(str(error)))
            return 401
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(receiver.take(dict(self.headers), body))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """The demo reports what arrived."""

        return Handler


def _mac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
