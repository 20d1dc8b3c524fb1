"""One signed POST of a callback: prepare it (pure), send it, and say what came back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from app.addresses import port_of
from app.domain.deliveries import Answer
from app.domain.signing import SigningKey, elements_signature, standard_signature
from app.http_client import Beat, Interrupted, Request, Response, TransportError

_TEXTS = {
    "dns": "The name of the receiver {place} could not be resolved.",
    "connect": "No connection to the receiver {place}.",
    "tls": "No secure connection to the receiver {place}: its certificate or TLS version is not accepted.",
    "timeout": "The receiver {place} did not answer within {timeout_s:g} s.",
    "decode": "The answer of the receiver {place} is not HTTP.",
}
_CUT = "The receiver {place} closed the connection before it had answered."


class Sender(Protocol):
    """What is needed of app.http_client.HttpClient: it checks each address it dials and follows no redirect."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        """Send once. Raises TransportError, Interrupted."""


def prepare(
    *,
    event_id: str,
    url: str,
    body: bytes,
    keys: Sequence[SigningKey],
    sent_at: datetime,
    timeout_s: float,
    more_headers: Sequence[tuple[str, str]] = (),
) -> Request:
    """The request of one attempt. `keys`: those valid now, the newest first; without one it goes out unsigned.

    SAP's header has room for one signature: that of the oldest key, which is the one that every receiver knows. Who has
    learnt the newest reads the list of Standard Webhooks, or waits until the older ones are over.
    """
    timestamp = int(sent_at.timestamp())
    headers = [
        ("Content-Type", "application/json"),
        ("Connection", "close"),  # a kept one may be dead at the next attempt, which would then fail for nothing
        ("webhook-id", event_id),
        ("webhook-timestamp", str(timestamp)),
        ("Elements-Webhook-Id", event_id),
    ]
    if keys:
        headers.append(("webhook-signature", standard_signature(keys, event_id, timestamp, body)))
        headers.append(("Elements-Webhook-Signature", elements_signature(keys[-1], body)))
    headers += more_headers
    return Request("POST", url, headers=tuple(headers), body=body, read_timeout_s=timeout_s, is_body_wanted=False)


def send(sender: Sender, request: Request) -> Answer:
    """POST once and return what came of it; no failure of the other side is raised.

    `read_timeout_s` of the request bounds the whole attempt, also against a receiver that answers drop by drop.
    """
    started_at = time.monotonic()
    ends_at = started_at + request.read_timeout_s
    try:
        response = sender.request(request, lambda: time.monotonic() < ends_at)
    except TransportError as error:
        is_sent = error.kind != "refused_address"
        return Answer(time.monotonic() - started_at, error=_explain(error, request), is_sent=is_sent)
    except Interrupted:
        return Answer(time.monotonic() - started_at, error=_text("timeout", request))
    return Answer(response.elapsed_s, response.status, response.headers.get("retry-after"))


def _explain(error: TransportError, request: Request) -> str:
    """A sentence that shows nothing of the URL but host and port: its path and query may be secrets."""
    return error.message if error.kind == "refused_address" else _text(error.kind, request)


def _text(kind: str, request: Request) -> str:
    return _TEXTS.get(kind, _CUT).format(place=_place(request.url), timeout_s=request.read_timeout_s)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{port_of(parts)}"
