"""The rows of an uploaded file: CSV, JSON array or JSON Lines to one JSON object a row, from any row on (reference 5).

`look`        the head of the plain file to its form; raises UnreadableInputError
`kept_line`   a row of one job as the file of another has it, which `read_rows` reads too
`read_rows`   the plain file to rows and bad rows, each with the position behind it
"""

from app.domain.rows.kept import KEPT_FORM, kept_line
from app.domain.rows.looking import HEAD_BYTES, look
from app.domain.rows.model import (
    MOST_ROW_BYTES,
    BadRow,
    InputForm,
    InputPosition,
    Row,
    UnreadableInputError,
)
from app.domain.rows.reading import read_rows

__all__ = [
    "HEAD_BYTES",
    "KEPT_FORM",
    "MOST_ROW_BYTES",
    "BadRow",
    "InputForm",
    "InputPosition",
    "Row",
    "UnreadableInputError",
    "kept_line",
    "look",
    "read_rows",
]
