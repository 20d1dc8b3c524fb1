"""Where a JSON value ends that comes into sight piece by piece: no bracket is looked at twice."""

from __future__ import annotations

import re
from itertools import accumulate

from app.domain.selection.scanning import UnreadableError, string_end

_BARE = re.compile(rb'[^ \t\r\n,:\[\]{}"]+')
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_WHOLE_STRINGS = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[{])|([\]}])', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_QUOTE = ord('"')
_OPENING = frozenset(b"[{")
_FIRST_PIECE_BYTES, _LAST_PIECE_BYTES = 512, 256 * 1024


class ValueEnd:
    """The end of one value, by its brackets and quotes alone: whether it is JSON inside is another question."""

    def __init__(self) -> None:
        self._scanned = 0  # bytes of the value
        self._depth = 0
        self._piece_bytes = _FIRST_PIECE_BYTES

    def find(self, data: bytes, at: int, *, is_all: bool) -> int:
        """Behind the value that begins at `at`; 0 if that is not in sight. Called again with the same bytes and more.

        `is_all`: nothing comes behind the data. There must be a value: no comma, colon or closing bracket.
        """
        first = data[at]
        if first == _QUOTE:
            return _behind_string(data, at)
        if first in _OPENING:
            return self._behind_container(data, at)
        found = _BARE.match(data, at)
        end = found.end() if found else at
        return end if end < len(data) or is_all else 0

    def _behind_container(self, data: bytes, start: int) -> int:
        if not self._scanned:
            self._scanned = self._depth = 1
        at = start + self._scanned
        while at < len(data):
            if data[at] == _QUOTE:
                end = _behind_string(data, at)
                if not end:
                    return 0
            else:
                found = _WHOLE_STRINGS.match(data, at, at + self._piece_bytes)
                end = found.end() if found else at
                if self._piece_bytes == _FIRST_PIECE_BYTES or self._may_close_in(data[at:end]):
                    closed = self._closing(data, at, end)
                    if closed:
                        return closed
                self._piece_bytes = min(2 * self._piece_bytes, _LAST_PIECE_BYTES)
            self._scanned = end - start
            at = end
        return 0

    def _may_close_in(self, piece: bytes) -> bool:
        """Whether the value may be closed in it; if not, the depth is that behind it. Fast for large pieces."""
        brackets = _STRING.sub(b"", piece).translate(None, _ALL_BUT_BRACKETS)
        depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=self._depth))
        if min(depths) <= 0:
            return True
        self._depth = depths[-1]
        return False

    def _closing(self, data: bytes, start: int, end: int) -> int:
        """Behind the bracket that closes the value; 0 if that is not here, and the depth is that behind the piece."""
        depth = self._depth
        for found in _STRING_OR_BRACKET.finditer(data, start, end):
            if found[1]:
                depth += 1
            elif found[2]:
                depth -= 1
                if not depth:
                    return found.end()
        self._depth = depth
        return 0


def _behind_string(data: bytes, at: int) -> int:
    try:
        return string_end(data, at)
    except UnreadableError:
        return 0
