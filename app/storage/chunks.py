"""Streams of bytes that begin with something of ours."""

from __future__ import annotations

from collections.abc import Iterator


def headed(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The head joined to the first chunk, then the others.

    Joined, since who sends an answer takes one chunk before the status line: a store that fails at once must fail then.
    """
    yield head + next(chunks, b"")
    yield from chunks
