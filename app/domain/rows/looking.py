"""How a file is written, found out from its head."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import islice

from app.domain.rows.cells import CellsError, name_parts
from app.domain.rows.charsets import Charset, charset_of
from app.domain.rows.csv_rows import LineFeed, UnclosedQuoteError, dialect
from app.domain.rows.lines import line_blocks
from app.domain.rows.model import InputForm, InputPosition, UnreadableInputError, shown
from app.domain.uploads import UploadOptions

HEAD_BYTES = 1024 * 1024
"""So much of the plain file is looked at."""

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
_DEFAULT_QUOTE = '"'
_NO_MARKS = frozenset("\r\n\0")
_BLANKS = " \t\r\n"
_ACCEPTED_JSON = "accepted: one array of objects, or one object a line"


def look(head: bytes, options: UploadOptions, *, is_whole: bool) -> InputForm:
    """How the file is written that begins with `head`, its first HEAD_BYTES or, if `is_whole`, all of it.

    Raises UnreadableInputError, which says what is accepted.
    """
    if len(head) > HEAD_BYTES:
        return look(head[:HEAD_BYTES], options, is_whole=False)
    charset, mark_bytes = charset_of(head, options.encoding)
    body, at = head[mark_bytes:], InputPosition(mark_bytes)
    if not body.strip(b" \t\r\n\0"):
        raise UnreadableInputError(_nothing_told(options, is_whole=is_whole))
    if options.format == "json":
        return _json_form(body, charset, at)
    quote = _mark("quote", options.quote or _DEFAULT_QUOTE)
    delimiter = options.delimiter and _mark("delimiter", options.delimiter)
    if delimiter == quote:
        raise UnreadableInputError(f"metaData.delimiter and metaData.quote are both {shown(quote)}; they must differ")
    delimiter = delimiter or _likely_delimiter(body, charset, quote, is_whole=is_whole)
    return _csv_form(body, InputForm("csv", charset.name, delimiter, quote, (), at), is_whole=is_whole)


def _nothing_told(options: UploadOptions, *, is_whole: bool) -> str:
    what = "the file is empty" if is_whole else f"the first {HEAD_BYTES} bytes of the file are blank"
    return f"{what}; {'accepted: a header line and rows' if options.format == 'csv' else _ACCEPTED_JSON}"


def _json_form(body: bytes, charset: Charset, at: InputPosition) -> InputForm:
    text = "".join(charset.texts([body], is_whole=False))
    blanks = text[: len(text) - len(text.lstrip(_BLANKS))]
    first = text[len(blanks) : len(blanks) + 1]
    if first == "{":
        return InputForm("lines", charset.name, "", "", (), at)
    line = 1 + len(blanks.splitlines()) if blanks.endswith(("\r", "\n")) else max(len(blanks.splitlines()), 1)
    column = 1 + len(blanks) - (max(blanks.rfind("\n"), blanks.rfind("\r")) + 1)
    if first != "[":
        raise UnreadableInputError(
            f"a file of metaData.format json begins with {shown(first)}; {_ACCEPTED_JSON}", line, column
        )
    if charset.is_by_line:
        raise UnreadableInputError(
            f"a JSON array in {charset.name} is not read; accepted: utf-8, utf-16, utf-32 and character sets of one "
            "byte a character, or one object a line",
            line,
            column,
        )
    body_at = InputPosition(at.offset + charset.width(blanks + first), line, 0, column + 1)
    return InputForm("array", charset.name, "", "", (), body_at)


def _mark(name: str, stated: str) -> str:
    if len(stated) != 1 or stated in _NO_MARKS:
        raise UnreadableInputError(f"metaData.{name} is {shown(stated)}; accepted: one character, no end of line")
    return stated


def _likely_delimiter(body: bytes, charset: Charset, quote: str, *, is_whole: bool) -> str:
    """The one that gives most rows as many cells as the first, and of these the one that gives most."""
    sample: list[str] = []
    for lines, _ in line_blocks([body], charset, line=1, is_whole=is_whole):
        sample += lines[: _SAMPLE_LINES - len(sample)]
    marks = [mark for mark in _DELIMITERS if mark != quote]
    scores = [(*_fitness(sample, mark, quote), -number) for number, mark in enumerate(marks)]
    return marks[-max(scores)[-1]]


def _fitness(sample: list[str], delimiter: str, quote: str) -> tuple[float, int]:
    try:
        rows = csv.reader(sample, **dialect(delimiter, quote))
        counts = [len(row) for row in islice(rows, len(sample)) if row]
    except csv.Error:
        return 0, 0
    if not counts or counts[0] == 1:
        return 0, 0
    return counts.count(counts[0]) / len(counts), counts[0]


def _csv_form(body: bytes, form: InputForm, *, is_whole: bool) -> InputForm:
    feed = LineFeed([body], Charset(form.encoding), form.body_at, is_whole=is_whole)
    reader = csv.reader(feed.given, strict=True, **dialect(form.delimiter, form.quote))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                names = _names(cells, feed.line, form.encoding)
                return form._replace(header=names, body_at=feed.behind_row(0))
            feed.behind_row(0)
    except csv.Error:
        hint = "; for JSON Lines state metaData.format json" if body.lstrip()[:1] == b"{" else ""
        raise UnreadableInputError(f"the header has something behind a closing quote{hint}", feed.line) from None
    except UnclosedQuoteError:
        if is_whole:
            raise
    raise UnreadableInputError(
        f"the header does not end within {HEAD_BYTES} bytes; accepted: a line with the names of the columns", feed.line
    )


def _names(cells: Sequence[str], line: int, encoding: str) -> tuple[str, ...]:
    """The names without blanks around them. Raises UnreadableInputError; `column` is the number of the cell."""
    names = [cell.strip() for cell in cells]
    while names[-1] == "":
        names.pop()
    taken: dict[str, bool] = {}  # of every object, and of every field
    for column, name in enumerate(names, 1):
        _check_characters(name, line, column, encoding)
        try:
            _take(name, taken)
        except CellsError as error:
            raise UnreadableInputError(f"the header's name {shown(name)} {error}", line, column) from None
    return tuple(names)


def _take(name: str, taken: dict[str, bool]) -> None:
    """Note the name; `taken` tells whether it is a field. Raises CellsError."""
    if not name:
        raise CellsError("is empty; accepted: a name for each column that has values")
    parts = name_parts(name)
    for end in range(1, len(parts)):
        outer = ".".join(parts[:end])
        if taken.setdefault(outer, False):
            raise CellsError(f"is inside {shown(outer)}, which is a column of its own")
    if name in taken:
        raise CellsError("is there twice" if taken[name] else "is a column, and others are inside it")
    taken[name] = True


def _check_characters(name: str, line: int, column: int, encoding: str) -> None:
    if "\0" in name:
        raise UnreadableInputError(
            f"the header's name {shown(name)} holds a NUL character; if the file is UTF-16, state metaData.encoding",
            line,
            column,
        )
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise UnreadableInputError(
            f"the header's name {shown(name)} is not {encoding}; state metaData.encoding, windows-1252 for example",
            line,
            column,
        )
