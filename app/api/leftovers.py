"""What a client still sends when its answer is there already.

A connection that is closed with unread bytes on it is reset, and the reset may overtake the answer: the client then
sees a broken connection instead of the reason. So a refused body is read on for a while after the answer went out.
"""

from __future__ import annotations

import contextlib
import time
from typing import BinaryIO

from flask import Request, Response

MOST_BYTES = 64 * 1024 * 1024
MOST_S = 5.0
_PIECE_BYTES = 128 * 1024
_FIRST_REFUSAL = 400


def take_after(request: Request, response: Response) -> None:
    """Once a refusal is sent, read what is left of the request's body, up to a limit.

    Only behind servers that end the stream where the body ends.
    """
    has_body = request.content_length or request.headers.get("Transfer-Encoding")
    if response.status_code < _FIRST_REFUSAL or not has_body or "wsgi.input_terminated" not in request.environ:
        return
    source: BinaryIO = request.environ["wsgi.input"]
    response.call_on_close(lambda: read_on(source))


def read_on(source: BinaryIO, *, most_bytes: int = MOST_BYTES, most_s: float = MOST_S) -> int:
    """Read and forget, until the end or a limit; whatever breaks ends it. Returns how many bytes there were."""
    until = time.monotonic() + most_s
    taken = 0
    with contextlib.suppress(Exception):  # the server's own, for a connection that is gone
        while taken < most_bytes and time.monotonic() < until and (piece := source.read(_PIECE_BYTES)):
            taken += len(piece)
    return taken
