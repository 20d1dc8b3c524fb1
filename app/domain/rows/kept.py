"""Rows that one job gives to another: JSON Lines that keep each row's number and line, and its record byte for byte.

The number and the bytes make the row's idempotency key, so both must be those of the first sending.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from app.domain.rows.model import MOST_ROW_BYTES, InputForm, InputPosition, Row, UnreadableInputError

KEPT_FORM = InputForm("kept", "utf-8", "", "", (), InputPosition())
"""The form of such a file; nothing in it has to be found out."""

_LINE = re.compile(rb'\{"number":(\d{1,18}),"line":(\d{1,18}),"keyedBy":(\d{1,18}|null),"record":(\{.*\})\}')
_MOST_LINE_BYTES = MOST_ROW_BYTES * 8
"""A row of a CSV grows by names and escapes."""


def kept_line(number: int, line: int, keyed_by: int | None, record: bytes) -> bytes:
    """`record`: one JSON object on one line. `keyed_by`: the job whose idempotency key it keeps, None for a new one."""
    key = b"null" if keyed_by is None else b"%d" % keyed_by
    return b'{"number":%d,"line":%d,"keyedBy":%s,"record":%s}\n' % (number, line, key, record)


def kept_rows(chunks: Iterable[bytes], at: InputPosition) -> Iterator[Row]:
    """The rows from `at` on; `chunks` begin there. Raises UnreadableInputError where the file was changed or cut."""
    number, offset = at.line, at.offset
    for line in _lines(chunks, number):
        found = _LINE.fullmatch(line)
        if found is None:
            raise UnreadableInputError("the rows that were kept for this job are damaged", number)
        number, offset = number + 1, offset + len(line) + 1
        row, source_line, keyed_by, record = found.groups()
        behind = InputPosition(offset, number, int(row))
        yield Row(int(row), int(source_line), record, behind, None if keyed_by == b"null" else int(keyed_by))


def _lines(chunks: Iterable[bytes], first: int) -> Iterator[bytes]:
    """Whole lines, without their ends."""
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*pieces, line])
            pieces, size, first = [], 0, first + 1
        pieces.append(rest)
        size += len(rest)
        if size > _MOST_LINE_BYTES:
            raise UnreadableInputError("the rows that were kept for this job are damaged", first)
    if size:
        raise UnreadableInputError("the rows that were kept for this job end in the middle of one", first)
