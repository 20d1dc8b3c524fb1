"""The rows of a file with one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.domain.rows.charsets import Charset
from app.domain.rows.json_values import RefusedJsonError, one_line_object
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

_BLANKS = " \t\r\n"


def json_line_rows(chunks: Iterable[bytes], form: InputForm, at: InputPosition) -> Iterator[Row | BadRow]:
    """The rows from `at` on. Blank lines are no rows."""
    offset, line, number, _ = at
    for text, width in _lines(chunks, Charset(form.encoding), at):
        offset += width
        stripped = text.strip(_BLANKS)
        if stripped:
            number += 1
            behind = InputPosition(offset, line + 1, number)
            try:
                record = _record(stripped, form.encoding)
            except RefusedJsonError as error:
                message = f"{error}{_place(text, stripped, error)}"
                yield BadRow(number, line, message, excerpt_of(stripped), behind)
            else:
                yield Row(number, line, record, behind)
        line += 1


def _lines(chunks: Iterable[bytes], charset: Charset, at: InputPosition) -> Iterator[tuple[str, int]]:
    line = at.line
    try:
        for lines, widths in line_blocks(chunks, charset, line=at.line):
            for text, width in zip(lines, widths, strict=True):
                check_length(width)
                yield text, width
                line += 1
    except LongLineError:
        raise UnreadableInputError(
            f"the line is longer than {MOST_ROW_BYTES} bytes; accepted: one JSON object a line", line
        ) from None


def _record(text: str, encoding: str) -> bytes:
    try:
        return one_line_object(text.encode())
    except UnicodeEncodeError:
        raise RefusedJsonError(f"it holds bytes that are not {encoding}") from None


def _place(text: str, stripped: str, error: RefusedJsonError) -> str:
    if error.at is None:
        return ""
    blanks = len(text) - len(text.lstrip(_BLANKS))
    return f" (column {blanks + len(stripped.encode()[: error.at].decode(errors='replace')) + 1})"
