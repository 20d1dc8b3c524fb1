"""Streams of bytes that begin with something of ours, or are sent in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def headed(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The head joined to the first chunk, then the others.

    Joined, since who sends an answer takes one chunk before the status line: a store that fails at once must fail then.
    """
    yield head + next(chunks, b"")
    yield from chunks


def without_first(chunks: Iterable[bytes], byte_count: int) -> Iterator[bytes]:
    """What follows the first `byte_count` bytes."""
    to_skip = byte_count
    for chunk in chunks:
        if to_skip < len(chunk):
            yield chunk[to_skip:] if to_skip else chunk
        to_skip = max(to_skip - len(chunk), 0)


def only_first(chunks: Iterator[bytes], byte_count: int) -> Iterator[bytes]:
    """The first `byte_count` bytes; nothing is taken from `chunks` behind the one that holds the last of them."""
    left = byte_count
    for chunk in chunks if left else ():
        yield chunk[:left] if left < len(chunk) else chunk
        left -= min(left, len(chunk))
        if not left:
            return


def in_blocks(chunks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """The same bytes in blocks of exactly that size, the last one excepted, however they came."""
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        whole = len(kept) - len(kept) % block_bytes
        if whole:
            with memoryview(kept) as view:
                blocks = [bytes(view[at : at + block_bytes]) for at in range(0, whole, block_bytes)]
            del kept[:whole]
            yield from blocks
    if kept:
        yield bytes(kept)


def in_batches(chunks: Iterable[bytes], batch_bytes: int) -> Iterator[list[bytes]]:
    """The same chunks, some together: as many as are so long, or a little longer; the last ones excepted."""
    batch: list[bytes] = []
    held_bytes = 0
    for chunk in chunks:
        batch.append(chunk)
        held_bytes += len(chunk)
        if held_bytes >= batch_bytes:
            yield batch
            batch, held_bytes = [], 0
    if batch:
        yield batch


def taken(chunks: Iterator[bytes], size: int) -> bytes:
    """The first chunks, joined: all of them, or more than `size` bytes."""
    found: list[bytes] = []
    found_bytes = 0
    for chunk in chunks:
        found.append(chunk)
        found_bytes += len(chunk)
        if found_bytes > size:
            break
    return b"".join(found)
