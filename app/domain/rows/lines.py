"""A stream of bytes as lines of text, each with the bytes that it took. LF, CR and CRLF end a line."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from app.domain.rows.charsets import Charset
from app.domain.rows.model import MOST_ROW_BYTES, UnreadableInputError

Block = tuple[list[str], list[int]]
"""Lines with their ends, and how many bytes of the file each took."""


class LongLineError(ValueError):
    """A line or row is longer than MOST_ROW_BYTES: who reads it knows where its row began."""


def line_blocks(chunks: Iterable[bytes], charset: Charset, *, line: int, is_whole: bool = True) -> Iterator[Block]:
    """The lines of the chunks, the first of them being number `line`; wherever the chunks end, they are the same.

    Unless `is_whole`, what follows the last end of a line is left out. Raises LongLineError, and UnreadableInputError
    where a line changes what the next one means.
    """
    if charset.is_by_line:
        yield from _decoded_by_line(chunks, charset, line, is_whole=is_whole)
        return
    kept: list[str] = []
    kept_bytes = 0
    for text in charset.texts(chunks, is_whole=is_whole):
        cut = max(text.rfind("\n"), text.rfind("\r")) + 1
        if cut:
            lines = list(io.StringIO("".join([*kept, text[:cut]]), newline=""))
            yield lines, _widths(lines, charset)
            kept, kept_bytes = [], 0
        if cut < len(text):
            kept.append(text[cut:])
            kept_bytes += charset.width(kept[-1])
            check_length(kept_bytes)
    if kept and is_whole:
        yield ["".join(kept)], [kept_bytes]


def _widths(lines: list[str], charset: Charset) -> list[int]:
    width = charset.width
    return [width(line) for line in lines]


def check_length(row_bytes: int) -> None:
    """Raises LongLineError."""
    if row_bytes > MOST_ROW_BYTES:
        raise LongLineError


def _decoded_by_line(chunks: Iterable[bytes], charset: Charset, line: int, *, is_whole: bool) -> Iterator[Block]:
    """Neither CR nor LF is ever a part of another character in these sets."""
    number = line
    for raw_lines in _raw_lines(chunks, is_whole=is_whole):
        texts = [charset.line(raw) for raw in raw_lines]
        good = texts.index(None) if None in texts else len(texts)
        lines = [text for text in texts[:good] if text is not None]
        yield lines, [len(raw) for raw in raw_lines[: len(lines)]]
        number += len(lines)
        if len(lines) < len(raw_lines):
            raise UnreadableInputError(
                f"the line does not end in the state that lines of {charset.name} begin in; "
                "accepted: lines that end in ASCII, or a file in utf-8",
                number,
            )


def _raw_lines(chunks: Iterable[bytes], *, is_whole: bool) -> Iterator[list[bytes]]:
    kept: list[bytes] = []
    kept_bytes = 0
    for chunk in _without_cut_ends(chunks, is_whole=is_whole):
        cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if cut:
            yield b"".join([*kept, chunk[:cut]]).splitlines(keepends=True)
            kept, kept_bytes = [], 0
        if cut < len(chunk):
            kept.append(chunk[cut:])
            kept_bytes += len(kept[-1])
            check_length(kept_bytes)
    if kept and is_whole:
        yield [b"".join(kept)]


def _without_cut_ends(chunks: Iterable[bytes], *, is_whole: bool) -> Iterator[bytes]:
    kept = b""
    for chunk in chunks:
        joined = kept + chunk
        kept = b"\r" if joined.endswith(b"\r") else b""
        yield joined[:-1] if kept else joined
    if is_whole:
        yield kept
