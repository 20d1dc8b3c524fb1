"""Cutting JSON Lines at newlines. A record never contains a raw one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.errors import StorageError


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut so that each block ends with a newline; StorageError if the last one does not."""
    kept: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if not cut:
            kept.append(piece)
            continue
        yield b"".join((*kept, piece[:cut])) if kept else piece[:cut]
        kept = [piece[cut:]] if cut < len(piece) else []
    if kept:
        raise StorageError("the last line of a segment has no newline")


def small_blocks(pieces: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """The same bytes in blocks of whole lines, each cut behind the line that reaches `block_bytes` or at a piece's end.

    StorageError if the last line has no newline.
    """
    kept: list[bytes] = []
    for piece in pieces:
        start, last = 0, piece.rfind(b"\n") + 1
        while start < last:
            wanted = max(block_bytes - sum(map(len, kept)), 1)
            end = piece.find(b"\n", min(start + wanted, last) - 1) + 1
            yield b"".join((*kept, piece[start:end])) if kept else piece[start:end]
            kept = []
            start = end
        if last < len(piece):
            kept.append(piece[last:])
    if kept:
        raise StorageError("the last line of a segment has no newline")


def pieces_of_lines(block: bytes, piece_bytes: int) -> Iterator[bytes]:
    """A block of whole lines in pieces of whole lines, each cut behind the line that reaches `piece_bytes`."""
    if len(block) <= piece_bytes:
        yield block
        return
    start = 0
    while start < len(block):
        end = block.find(b"\n", min(start + piece_bytes, len(block)) - 1) + 1 or len(block)
        yield block[start:end]
        start = end
