"""The rows of a file that is one JSON array of objects, in memory of one of them.

Many elements at once are cut by msgspec, where all that is in sight is a valid piece of an array; where it is not,
brackets and quotes are followed one by one. Both ways find the same ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from app.domain.rows.charsets import Charset
from app.domain.rows.json_values import RefusedJsonError, one_line_object
from app.domain.rows.model import (
    MOST_ROW_BYTES,
    BadRow,
    InputForm,
    InputPosition,
    Row,
    UnreadableInputError,
    excerpt_of,
)
from app.domain.rows.value_ends import ValueEnd

_ELEMENTS = msgspec.json.Decoder(list[Raw])
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BLANK = re.compile(rb"[ \t\r\n]*+")
_GAP = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+")
_BETWEEN_OBJECTS = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+\{")
_MOST_TRIES = 64
_NO_VALUE = frozenset(b",:]}")
_ENOUGH_BYTES = 4096


def json_array_rows(chunks: Iterable[bytes], form: InputForm, at: InputPosition) -> Iterator[Row | BadRow]:
    """The rows from `at` on: behind the opening bracket, or behind an element. A broken element ends the reading."""
    array = _Array(chunks, form.encoding, at)
    while array.goes_on():
        yield from array.some_rows()


class _Array:
    """The buffer, always UTF-8, and where in the file its first unread byte is."""

    def __init__(self, chunks: Iterable[bytes], encoding: str, at: InputPosition) -> None:
        self._charset = Charset(encoding)
        self._chunks = _in_utf8(chunks, self._charset)
        self._at = at
        self._data = b""
        self._next = 0
        self._is_all = False
        self._one_by_one = 0  # so many bytes are no valid piece of an array, or have no end in sight

    def goes_on(self) -> bool:
        """Stand before the next element, if there is one. Raises UnreadableInputError."""
        mark = self._peek()
        if mark == b"]":
            self._move(mark)
            if self._peek():
                raise self._broken("something follows the array; accepted: one JSON array, or one object a line")
            return False
        if self._at.row:
            if mark and mark != b",":
                raise self._broken("',' or ']' is missing behind the element")
            self._move(mark)
            mark = self._peek()
        if not mark:
            raise self._broken("the file ends, and the array is not closed")
        return True

    def some_rows(self) -> Iterator[Row | BadRow]:
        """The rows of the elements that can be cut now, at least one."""
        elements = [] if self._one_by_one > 0 else self._many()
        if not elements:
            yield self._row(self._one())
        for number, element in enumerate(elements):
            if number:
                self._move(_span(_GAP, self._data, self._next))
            yield self._row(bytes(element))

    def _many(self) -> list[Raw]:
        """All whole elements in sight, if what they and the commas between them spell is valid."""
        cut = self._last_object_end()
        try:
            if cut:
                return _ELEMENTS.decode(b"[%b]" % self._data[self._next : cut])
        except _REFUSED:
            pass
        self._one_by_one = (cut or len(self._data)) - self._next
        return []

    def _last_object_end(self) -> int:
        """Behind the last object that another one seems to follow; 0 if none is near the end."""
        end = len(self._data)
        for _ in range(_MOST_TRIES):
            end = self._data.rfind(b"}", self._next, end)
            if end < 0 or _BETWEEN_OBJECTS.match(self._data, end + 1):
                return end + 1
        return 0

    def _one(self) -> bytes:
        """The next element, found by its brackets and quotes."""
        if self._data[self._next] in _NO_VALUE:
            raise self._broken("a value is missing")
        value_end = ValueEnd()
        while not (end := value_end.find(self._data, self._next, is_all=self._is_all)):
            in_sight = len(self._data) - self._next
            if in_sight > MOST_ROW_BYTES:
                raise self._too_large()
            if self._is_all:
                raise self._broken("the file ends, and the value that begins here is not closed")
            self._fill(2 * in_sight)
        return self._data[self._next : end]

    def _row(self, element: bytes) -> Row | BadRow:
        begin = self._at
        if len(element) > MOST_ROW_BYTES:
            raise self._too_large()
        number = begin.row + 1
        self._move(element)
        self._at = behind = self._at._replace(row=number)
        try:
            return Row(number, begin.line, one_line_object(element), behind)
        except RefusedJsonError as error:
            if error.at is not None:
                place = self._behind(begin, element[: error.at])
                raise UnreadableInputError(f"row {number}: {error}", place.line, place.column) from None
            message = str(error) if _is_utf8(element) else f"it holds bytes that are not {self._charset.name}"
            return BadRow(
                number, begin.line, message, excerpt_of(element[:_ENOUGH_BYTES].decode(errors="replace")), behind
            )

    def _peek(self) -> bytes:
        """The next byte that is no blank; empty at the end."""
        while True:
            blank = _span(_BLANK, self._data, self._next)
            if self._next + len(blank) < len(self._data) or self._is_all:
                self._move(blank)
                return self._data[self._next : self._next + 1]
            self._move(blank.removesuffix(b"\r"))  # it may be half of a line's end
            self._fill(1)

    def _fill(self, wanted: int) -> None:
        """Have so many unread bytes in sight, and more than now, unless the file ends."""
        pieces = [self._data[self._next :]]
        missing = max(wanted - len(pieces[0]), 1)
        while missing > 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_all = True
                break
            pieces.append(chunk)
            missing -= len(chunk)
        self._data, self._next = b"".join(pieces), 0

    def _move(self, span: bytes) -> None:
        """Behind these next bytes."""
        self._at = self._behind(self._at, span)
        self._next += len(span)
        self._one_by_one -= len(span)

    def _behind(self, at: InputPosition, span: bytes) -> InputPosition:
        offset, line, row, column = at
        is_utf8 = self._charset.name == "utf-8"
        offset += len(span) if is_utf8 else self._charset.width(span.decode("utf-8", "surrogatepass"))
        breaks = span.count(b"\n")
        if b"\r" in span:
            breaks += span.count(b"\r") - span.count(b"\r\n")
        if breaks:
            span = span[max(span.rfind(b"\n"), span.rfind(b"\r")) + 1 :]
            column = 1
        column += len(span) if span.isascii() else len(span.decode(errors="replace"))
        return InputPosition(offset, line + breaks, row, column)

    def _broken(self, message: str) -> UnreadableInputError:
        return UnreadableInputError(message, self._at.line, self._at.column)

    def _too_large(self) -> UnreadableInputError:
        return self._broken(f"the element that begins here is larger than {MOST_ROW_BYTES} bytes; is it never closed?")


def _in_utf8(chunks: Iterable[bytes], charset: Charset) -> Iterator[bytes]:
    if charset.name == "utf-8":
        return iter(chunks)
    return (text.encode("utf-8", "surrogatepass") for text in charset.texts(chunks))


def _span(pattern: re.Pattern[bytes], data: bytes, at: int) -> bytes:
    found = pattern.match(data, at)
    return found[0] if found else b""


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
