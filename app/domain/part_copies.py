"""An object of S3 put together from objects of its own bucket: which parts S3 copies by itself, and which are sent.

Beside the limits of `app.domain.parts`: a part may be copied from an object, or from a range of one that is longer
than 5 MB (docs.aws.amazon.com, "UploadPartCopy"). It has ONE source, so what is shorter is read and sent together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.domain.parts import LEAST_PART_BYTES, MIB, MOST_PARTS, part_bytes

MOST_COPIED_BYTES = 1024 * MIB
"""S3 takes 5 GiB, but answers when it has copied them; 5 TiB in such parts are 5,120."""


@dataclass(frozen=True, slots=True)
class Piece:
    """So many bytes that lie in an object of the bucket, or that only we have."""

    size: int
    is_object: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, end) of the piece of that number."""

    piece: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Part:
    """What one part holds, one after another. What is copied is one span."""

    spans: tuple[Span, ...]
    is_copied: bool

    @property
    def size(self) -> int:
        return sum(span.size for span in self.spans)


def plan_parts(pieces: Sequence[Piece]) -> list[Part]:
    """The parts of all pieces together, at most 10,000 for up to 5 TiB.

    Where copying each object that is long enough would take more parts than that, only longer ones are copied; in the
    end none.
    """
    size = part_bytes(sum(piece.size for piece in pieces))
    least = LEAST_PART_BYTES
    while len(parts := list(islice(_cut(pieces, least, size), MOST_PARTS + 1))) > MOST_PARTS:
        least *= 2
    return parts


def _cut(pieces: Sequence[Piece], least: int, size: int) -> Iterator[Part]:
    """`least`: how much of an object must be left to be copied; `size`: of a part that is sent."""
    run = _Run(size)
    for number, piece in enumerate(pieces):
        if piece.is_object and piece.size - run.lacking >= least:
            start = run.lacking  # so much of it makes what is to be sent before it long enough for a part
            yield from run.add(Span(number, 0, start))
            yield from run.close()
            yield from _copies(number, start, piece.size)
        else:
            yield from run.add(Span(number, 0, piece.size))
    yield from run.close()


def _copies(number: int, start: int, end: int) -> Iterator[Part]:
    """In parts about equally long, so that none is too short."""
    count = -(-(end - start) // MOST_COPIED_BYTES)
    ends = [start + (end - start) * each // count for each in range(count + 1)]
    for part in range(count):
        yield Part((Span(number, ends[part], ends[part + 1]),), is_copied=True)


class _Run:
    """What is to be sent and is not a whole part yet."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._spans: list[Span] = []
        self._size = 0

    @property
    def lacking(self) -> int:
        """To be long enough for a part that is not the last one."""
        return max(0, LEAST_PART_BYTES - self._size) if self._spans else 0

    def add(self, span: Span) -> Iterator[Part]:
        """The parts that are whole now."""
        while span.size:
            taken = Span(span.piece, span.start, min(span.end, span.start + self._part_size - self._size))
            self._spans.append(taken)
            self._size += taken.size
            span = Span(span.piece, taken.end, span.end)
            if self._size == self._part_size:
                yield from self.close()

    def close(self) -> Iterator[Part]:
        if self._spans:
            yield Part(tuple(self._spans), is_copied=False)
        self._spans, self._size = [], 0
