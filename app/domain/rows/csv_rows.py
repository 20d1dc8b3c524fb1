"""The rows of a CSV (RFC 4180, and what other programs make of it), read by the standard library's parser."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from app.domain.masking import MASK
from app.domain.rows.cells import CellsError, RecordMaker
from app.domain.rows.charsets import Charset
from app.domain.rows.lines import LongLineError, check_length, line_blocks
from app.domain.rows.model import (
    MOST_ROW_BYTES,
    BadRow,
    InputForm,
    InputPosition,
    Row,
    UnreadableInputError,
    excerpt_of,
)

# The parser's own limit holds for the whole process, and is below what a cell may have here.
csv.field_size_limit(max(csv.field_size_limit(), MOST_ROW_BYTES))


class LineFeed:
    """Gives lines to a CSV parser, and knows which of them its row is made of.

    The parser asks for one line more only inside quotes: so the file ends inside quotes if lines were taken that no
    row was closed with.
    """

    def __init__(self, chunks: Iterable[bytes], charset: Charset, at: InputPosition, *, is_whole: bool = True) -> None:
        self.lines: list[str] = []
        """Of the row that is being read."""
        self._blocks = line_blocks(chunks, charset, line=at.line, is_whole=is_whole)
        self._width = 0
        self._at = at
        self.given = self._given()

    @property
    def line(self) -> int:
        """Where the row begins."""
        return self._at.line

    def behind_row(self, number: int) -> InputPosition:
        """The row of that number ends here."""
        offset, line, _, _ = self._at
        self._at = InputPosition(offset + self._width, line + len(self.lines), number)
        self._width = 0
        self.lines.clear()
        return self._at

    def _given(self) -> Iterator[str]:
        try:
            for lines, widths in self._blocks:
                for line, width in zip(lines, widths, strict=True):
                    self._width += width
                    check_length(self._width)
                    self.lines.append(line)
                    yield line
        except LongLineError:
            raise UnreadableInputError(
                f"the row that begins here is larger than {MOST_ROW_BYTES} bytes; is a quote never closed?", self.line
            ) from None
        if self.lines:
            raise UnclosedQuoteError(self.line)


class UnclosedQuoteError(UnreadableInputError):
    """The file ends inside quotes."""

    def __init__(self, line: int) -> None:
        super().__init__("a quote that is opened in the row that begins here is never closed", line)


def dialect(delimiter: str, quote: str) -> dict[str, Any]:
    """How the parser is told. A quote inside quotes is doubled; blanks belong to the cell."""
    return {"delimiter": delimiter, "quotechar": quote, "doublequote": True, "skipinitialspace": False}


def csv_rows(
    chunks: Iterable[bytes], form: InputForm, types: Mapping[str, str], at: InputPosition
) -> Iterator[Row | BadRow]:
    """The rows from `at` on. Lines without a character, or with nothing but blanks in one cell, are no rows."""
    feed = LineFeed(chunks, Charset(form.encoding), at)
    maker = RecordMaker(form.header, types, form.encoding)
    is_narrow = len(form.header) == 1
    number = at.row
    for cells, fault in _parsed(feed, dialect(form.delimiter, form.quote)):
        if not fault and (not cells or (len(cells) == 1 and not is_narrow and not cells[0].strip())):
            feed.behind_row(number)
            continue
        number += 1
        line = feed.line
        try:
            record = maker.record(cells) if not fault else b""
        except CellsError as error:
            record, message = b"", str(error)
        else:
            message = fault
        if record:
            yield Row(number, line, record, feed.behind_row(number))
        else:
            excerpt = MASK if maker.is_secret else excerpt_of("".join(feed.lines))
            yield BadRow(number, line, message, excerpt, feed.behind_row(number))


def _parsed(feed: LineFeed, how: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """The cells of each row, or what is wrong with its quotes."""
    reader = csv.reader(feed.given, strict=True, **how)
    while True:
        try:
            for cells in reader:
                yield cells, ""
        except csv.Error:
            _to_the_end_of_row(feed, how)
            quote = how["quotechar"]
            yield [], f"something stands behind a closing quote; accepted: a quote inside quotes doubled, {quote * 2}"
        else:
            return


def _to_the_end_of_row(feed: LineFeed, how: dict[str, Any]) -> None:
    """Take the lines that still belong to a row with a wrong quote, by the reading that bears with it.

    Else the rest of a cell over several lines would be taken for rows.
    """
    with suppress(csv.Error):
        next(csv.reader(chain(list(feed.lines), feed.given), strict=False, **how))
