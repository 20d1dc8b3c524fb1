"""Requests, answers and what can go wrong between them: the words of the HTTP client, without the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from app.errors import StopRequestedError, TransientError

Beat = Callable[[], bool]
Kind = Literal["dns", "connect", "tls", "timeout", "cut", "stale", "decode", "refused_address", "too_large"]


class TransportError(TransientError):
    """No whole answer came. `kind` says what broke; the message names host and path, never the query."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind


class BodyTooLarge(TransportError):  # noqa: N818 - named for the limit, as callers speak of it
    """The (inflated) body passed the limit; the transfer was cut off there."""

    def __init__(self, message: str) -> None:
        super().__init__("too_large", message)


class Interrupted(StopRequestedError):  # noqa: N818 - a signal, not a fault
    """The caller's beat asked to stop; the transfer was aborted."""


class Request(msgspec.Struct, frozen=True):
    """One request. `read_timeout_s`: longest silence while waiting or reading; the whole may take ten times that.

    `is_body_wanted` False: only the head of the answer counts. What follows is passed over, up to 64 KiB, and a fault
    behind the head is none.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    read_timeout_s: float = 120.0
    is_body_wanted: bool = True


_ENDS = frozenset({b"\r\n", b"\n"})
_MAX_KEPT_LINE = 200
_STATUS, _END, _UNKNOWN = ("", "status line"), ("", "end of the head"), ("", "not read yet")


def _line_of(line: bytes) -> tuple[str, str] | None:
    """Name and value, `_STATUS` or `_END`; None for what is nothing of these."""
    if line.startswith(b"HTTP/"):
        return _STATUS
    if line in _ENDS:
        return _END
    name, colon, value = line.decode("latin-1").partition(":")
    return (name.strip().lower(), value.strip()) if colon else None


_KNOWN_LINES: dict[bytes, tuple[str, str] | None] = {}
"""Most lines of an answer are those of the answer before."""
_MOST_KNOWN_LINES = 512


def _learnt(line: bytes) -> tuple[str, str] | None:
    """Read a line that is not known, and know it from now on."""
    read = _line_of(line)
    if len(line) <= _MAX_KEPT_LINE:
        if len(_KNOWN_LINES) >= _MOST_KNOWN_LINES:
            _KNOWN_LINES.clear()
        _KNOWN_LINES[line] = read
    return read


class Headers:
    """Response headers, in order, looked up without regard to case."""

    __slots__ = ("_items",)

    def __init__(self, items: Sequence[tuple[str, str]] = ()) -> None:
        self._items = [(name.lower(), value) for name, value in items]

    @classmethod
    def of_lines(cls, lines: Sequence[bytes]) -> Headers | None:
        """From the lines of an answer's head, the interim ones (1xx) before it included; None if it has no end.

        Lines behind the head, trailers, are no headers.
        """
        items: list[tuple[str, str]] = []
        is_over = False
        for line in lines:
            read = _KNOWN_LINES.get(line, _UNKNOWN)
            if read is _UNKNOWN:
                read = _learnt(line)
            if read is _STATUS:
                items, is_over = [], False
            elif read is _END:
                is_over = True
            elif read is not None and not is_over:
                items.append(read)
        if not is_over:
            return None
        headers = cls()
        headers._items = items
        return headers

    def get(self, name: str) -> str | None:
        """The first value of `name`, or None."""
        wanted = name.lower()
        for key, value in self._items:
            if key == wanted:
                return value
        return None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value of `name`, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self._items if key == wanted)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Headers({[name for name, _ in self._items]})"


class Response(msgspec.Struct, frozen=True):
    """A whole answer, inflated. `url` is the request's. `wire_bytes`: body bytes as they travelled.

    `elapsed_s`: how long the caller waited for it; less than it took where the call was begun ahead.
    """

    status: int
    headers: Headers
    body: bytes
    url: str
    elapsed_s: float
    wire_bytes: int = 0
