"""Paging by headers (reference 7): `pageSize`, `nextPage`, and the tokens in between.

A token is unpadded base64url of compact JSON, as the vendor's is. Clients treat it as opaque.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import request

from app.errors import InvalidInputError

DEFAULT_SIZE = 200
MAX_SIZE = 5000
_MAX_NUMBER = 2**31 - 1
_LONGEST_NUMBER = 100

RETURNED = "elements-returned-count"
TOTAL = "elements-total-count"
NEXT = "elements-next-page-token"
NOTICE = "Elements-Error"


@dataclass(frozen=True)
class PageRequest:
    """What the caller asks for. `after` is the position that the token carried: 0 at the beginning."""

    size: int
    after: int
    notice: str | None = None
    """Told in the header Elements-Error: the size was capped."""

    def headers(self, returned: int, *, total: int | None = None, next_after: int | None = None) -> dict[str, str]:
        """Headers of the answer; `next_after` None on the last page, which has no token."""
        headers = {RETURNED: str(returned)}
        if total is not None:
            headers[TOTAL] = str(total)
        if next_after is not None:
            headers[NEXT] = encode_token({"pageSize": self.size, "after": next_after})
        if self.notice:
            headers[NOTICE] = self.notice
        return headers


def page_request(max_size: int = MAX_SIZE) -> PageRequest:
    """Read `pageSize` and `nextPage` of the current request. Raises InvalidInputError."""
    token = decode_token(request.args["nextPage"]) if request.args.get("nextPage") else {}
    text = request.args.get("pageSize")
    size = _size(text) if text is not None else int(token.get("pageSize", min(DEFAULT_SIZE, max_size)))
    notice = None if size <= max_size else f"pageSize {size} is over the maximum; {max_size} was used."
    return PageRequest(min(size, max_size), int(token.get("after", 0)), notice)


def encode_token(content: dict[str, int]) -> str:
    """Compact JSON as unpadded base64url."""
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=").decode()


def decode_token(text: str) -> dict[str, int]:
    """What `encode_token` made. Raises InvalidInputError."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        content: Any = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=dict[str, int])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _bad_token(text) from error
    if set(content) != {"pageSize", "after"} or not all(0 <= each <= _MAX_NUMBER for each in content.values()):
        raise _bad_token(text)
    if content["pageSize"] < 1:
        raise _bad_token(text)
    return dict(content)


def _size(text: str) -> int:
    # Any number is a wish that may be capped; the length only keeps int() cheap.
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and int(text) > 0):
        raise InvalidInputError(
            f"pageSize {text[:100]!r} is not accepted: a whole number from 1 to {MAX_SIZE}.", field="pageSize"
        )
    return int(text)


def _bad_token(text: str) -> InvalidInputError:
    return InvalidInputError(
        f"nextPage {text[:100]!r} is not accepted: the value of the header {NEXT} of the page before.", field="nextPage"
    )
