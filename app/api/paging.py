"""Paging by headers (reference 7): `pageSize`, `nextPage`, and the tokens in between.

A token is unpadded base64url of compact JSON, as the vendor's is. Clients treat it as opaque.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    place: Mapping[str, int] = field(default_factory=dict)
    """What else the token carried; empty on the first page."""

    def headers(
        self,
        returned: int,
        *,
        total: int | None = None,
        next_after: int | None = None,
        next_place: Mapping[str, int] | None = None,
    ) -> dict[str, str]:
        """Headers of the answer; `next_after` None on the last page, which has no token."""
        headers = {RETURNED: str(returned)}
        if total is not None:
            headers[TOTAL] = str(total)
        if next_after is not None:
            headers[NEXT] = encode_token({"pageSize": self.size, "after": next_after, **(next_place or {})})
        if self.notice:
            headers[NOTICE] = self.notice
        return headers


def page_request(max_size: int = MAX_SIZE, place: Sequence[str] = ()) -> PageRequest:
    """Read `pageSize` and `nextPage` of the current request; `place` names what else its tokens carry.

    Raises InvalidInputError.
    """
    token = decode_token(request.args["nextPage"], place) if request.args.get("nextPage") else {}
    text = request.args.get("pageSize")
    size = _size(text) if text is not None else int(token.get("pageSize", min(DEFAULT_SIZE, max_size)))
    notice = None if size <= max_size else f"pageSize {size} is over the maximum; {max_size} was used."
    carried = {name: token[name] for name in place if name in token}
    return PageRequest(min(size, max_size), int(token.get("after", 0)), notice, carried)


def encode_token(content: Mapping[str, int]) -> str:
    """Compact JSON as unpadded base64url."""
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=").decode()


def decode_token(text: str, place: Sequence[str] = ()) -> dict[str, int]:
    """What `encode_token` made, with these names besides the two of every token. Raises InvalidInputError."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        content: Any = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=dict[str, int])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _bad_token(text) from error
    if set(content) != {"pageSize", "after", *place} or not all(0 <= each <= _MAX_NUMBER for each in content.values()):
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
