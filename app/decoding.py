"""Reading a response body into memory within a limit, inflating it as it arrives."""

from __future__ import annotations

import zlib
from typing import Any

from isal import igzip_lib, isal_zlib

_GZIP_WBITS = 31
_PLAIN = frozenset({"", "identity"})
_DAMAGE: Any = (zlib.error, igzip_lib.IsalError)
_GZIP = frozenset({"gzip", "x-gzip"})


class BodyOverflowError(Exception):
    """The body, inflated, is larger than the limit."""


class BodyDamagedError(Exception):
    """The body cannot be inflated: damaged, truncated, or in an encoding that nobody asked for."""


class BodyBuffer:
    """Collects chunks of one body. Never holds more than `limit_bytes` of inflated bytes, so a bomb ends there."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self._inflater: _Inflater | None = None
        self.wire_bytes = 0

    def set_encoding(self, content_encoding: str) -> None:
        """Begin a body with this Content-Encoding. Raises BodyDamagedError for one that cannot be read."""
        encoding = content_encoding.strip().lower()
        if encoding in _GZIP:
            self._inflater = _Inflater()
        elif encoding in _PLAIN:
            self._inflater = None
        else:
            raise BodyDamagedError(f"the answer came in Content-Encoding {encoding[:40]!r}; only gzip was offered")

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes from the wire. Raises BodyOverflowError, BodyDamagedError."""
        self.wire_bytes += len(chunk)
        if self._inflater is None:
            self._add(chunk)
            return
        for piece in self._inflater.inflate(chunk, self._limit_bytes - self._size_bytes):
            self._add(piece)

    def finish(self) -> bytes:
        """The whole body. Raises BodyDamagedError when a compressed one stops in the middle."""
        if self._inflater is not None and not self._inflater.is_complete and self.wire_bytes:
            raise BodyDamagedError("the compressed answer was cut short")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _add(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._limit_bytes:
            raise BodyOverflowError(f"the answer is larger than {self._limit_bytes} bytes")
        self._chunks.append(piece)


class _Inflater:
    """gzip of one or many members (some servers send one a flush), with isal: several times zlib's speed."""

    def __init__(self) -> None:
        self._member: Any = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        self._is_started = False

    @property
    def is_complete(self) -> bool:
        return bool(self._member.eof) or not self._is_started

    def inflate(self, data: bytes, room_bytes: int) -> list[bytes]:
        """Inflate `data`, at most one byte over `room_bytes`, which is enough to tell that it is too much."""
        pieces: list[bytes] = []
        room_bytes += 1
        try:
            while data and room_bytes > 0:
                if self._member.eof:
                    data = data.lstrip(b"\0")  # padding after a member
                    if not data:
                        break
                    self._member = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
                self._is_started = True
                piece = self._member.decompress(data, room_bytes)
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                room_bytes -= len(piece)
                pieces.append(piece)
        except _DAMAGE as error:
            raise BodyDamagedError(f"the compressed answer is damaged ({error})") from None
        return pieces
