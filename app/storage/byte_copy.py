"""Stored bytes as they lie, between a head and a tail: an answer that may begin at any byte without reading others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.domain.segments import Segment
from app.storage.chunks import headed
from app.storage.objects import ObjectStore
from app.storage.reading import iter_stored


def copied(
    store: ObjectStore, head: bytes, segments: Sequence[Segment], tail: bytes, start: int = 0
) -> Iterator[bytes]:
    """Head, stored bytes of the segments, tail; from byte `start` of all that on.

    Only lengths are checked here; the checksum is for the client.
    """
    if start < len(head):
        return headed(head[start:], _behind_head(store, segments, tail, 0))
    return _behind_head(store, segments, tail, start - len(head))


def _behind_head(store: ObjectStore, segments: Sequence[Segment], tail: bytes, to_skip: int) -> Iterator[bytes]:
    for segment in segments:
        if to_skip >= segment.stored_bytes:
            to_skip -= segment.stored_bytes
            continue
        yield from iter_stored(store, segment, to_skip)
        to_skip = 0
    if to_skip < len(tail):
        yield tail[to_skip:]
