"""An output whose bytes are, one piece after another, those of stored objects, with few others between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.segments import Segment
from app.storage.objects import ObjectStore
from app.storage.places import Bucket


@dataclass(frozen=True)
class StoredOutput:
    """The pieces, by their numbers. Safe to share between threads."""

    store: ObjectStore
    pieces: Sequence[bytes | Segment]

    def is_in(self, bucket: Bucket) -> bool:
        return self.store.bucket == bucket

    @property
    def total_bytes(self) -> int:
        return self.size(0, len(self.pieces))

    def size(self, first: int, end: int) -> int:
        """Of the pieces [first, end) together."""
        return sum(map(_size, self.pieces[first:end]))

    def is_object(self, number: int) -> bool:
        return not isinstance(self.pieces[number], bytes)

    def name(self, number: int) -> str:
        """What the object is called in its bucket."""
        piece = self.pieces[number]
        assert isinstance(piece, Segment)
        return self.store.name_in_bucket(piece.object_key)

    def read(self, number: int, start: int, end: int) -> bytes:
        """Bytes [start, end) of a piece. Raises the storage errors."""
        piece = self.pieces[number]
        return piece[start:end] if isinstance(piece, bytes) else self.store.read(piece.object_key, start, end)


def _size(piece: bytes | Segment) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.stored_bytes
