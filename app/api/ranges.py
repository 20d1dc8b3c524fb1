"""Parts of an answer (RFC 9110, 14): one range of bytes, if the client's copy is of this very representation.

Several ranges, another unit and whatever cannot be read are answered with the whole, as the RFC allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Request

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` to `last`, both included. Without a first: the last `last` bytes; without a last: to the end."""

    first: int | None
    last: int | None

    def within(self, length: int) -> tuple[int, int] | None:
        """(start, end), end excluded, in a body of so many bytes; None if none of it is there (416)."""
        if self.first is None:
            return (max(length - (self.last or 0), 0), length) if self.last and length else None
        end = length if self.last is None else min(self.last + 1, length)
        return (self.first, end) if self.first < length else None


def wanted_range(request: Request, etag: str) -> ByteRange | None:
    """The range to send of the representation with that strong ETag; None for the whole of it.

    A date in If-Range never fits: results carry none.
    """
    match = _ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or request.method != "GET" or not (match[1] or match[2]):
        return None
    first, last = (int(text) if text else None for text in match.groups())
    if first is not None and last is not None and last < first:
        return None
    condition = request.headers.get("If-Range")
    return ByteRange(first, last) if condition is None or condition.strip() == etag else None
