"""The words of reading an uploaded file: where one is in it, what a row is, how the file is written."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

MOST_ROW_BYTES = 16 * 1024 * 1024
"""Of one row, as it stands in the file. A lost quote would else make one row of all that follows."""

_SHOWN_CHARS = 40
_EXCERPT_CHARS = 200

Layout = Literal["csv", "lines", "array", "kept"]
"""`lines`: a JSON object a line; `array`: one JSON array of them; `kept`: those of another job (see `kept`)."""


class UnreadableInputError(ValueError):
    """The file as a whole cannot be read (any further). The message ends with the place, where there is one.

    `line` counts from 1 and is 0 where no line can be named. `column` counts from 1, in a CSV the cells of the row, in
    JSON the characters of the line. The domain knows no errors of the base layer: who reads the file translates.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        column_told = f", column {column}" if column else ""
        super().__init__(f"{message} (line {line}{column_told})" if line else message)
        self.line = line
        self.column = column

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self)


class InputPosition(NamedTuple):
    """Where the next row is looked for.

    `offset` counts the bytes of the plain file (inflated, not decoded), `line` from 1, `row` the rows read so far.
    `column` is the character of the line, from 1: other than 1 only inside the lines of a JSON array.
    """

    offset: int = 0
    line: int = 1
    row: int = 0
    column: int = 1

    def as_json(self) -> dict[str, int]:
        """As it is kept in the slice's position."""
        kept = {"offset": self.offset, "line": self.line, "row": self.row}
        return kept if self.column == 1 else {**kept, "column": self.column}

    @classmethod
    def from_json(cls, kept: dict[str, int]) -> InputPosition:
        """Read back what `as_json` gave."""
        return cls(kept["offset"], kept["line"], kept["row"], kept.get("column", 1))


class Row(NamedTuple):
    """A row that can be sent. `record` is one JSON object in UTF-8, on one line; `number` counts from 1."""

    number: int
    line: int
    record: bytes
    behind: InputPosition
    keyed_by: int | None = None
    """The job under whose idempotency key it is sent, where that is another one."""


class BadRow(NamedTuple):
    """A row that cannot be sent: what is wrong with it, and how it begins. Both texts can be kept by PostgreSQL."""

    number: int
    line: int
    message: str
    excerpt: str
    behind: InputPosition


class InputForm(NamedTuple):
    """How the file is written, found out once from its head.

    `header` has the dotted names of a CSV's columns, without nameless ones at its end. `encoding` is Python's name of
    the character set with the order of its bytes, without a byte order mark: `body_at` is behind that.
    """

    format: Layout
    encoding: str
    delimiter: str
    quote: str
    header: tuple[str, ...]
    body_at: InputPosition

    def as_json(self) -> dict[str, Any]:
        """As it is kept in `uploads.form`."""
        return {**self._asdict(), "header": list(self.header), "body_at": self.body_at.as_json()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> InputForm:
        """Read back what `as_json` gave."""
        return cls(**{**kept, "header": tuple(kept["header"]), "body_at": InputPosition.from_json(kept["body_at"])})


def shown(text: str) -> str:
    """A piece of the file as an error quotes it."""
    return storable(repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"))


def excerpt_of(text: str) -> str:
    """How a row begins."""
    return storable(text[:_EXCERPT_CHARS].rstrip("\r\n"))


def storable(text: str) -> str:
    """Without the characters that PostgreSQL does not take: a NUL and halves of surrogate pairs become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
