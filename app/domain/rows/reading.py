"""The rows of a file, whatever its form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.domain.rows.csv_rows import csv_rows
from app.domain.rows.json_array import json_array_rows
from app.domain.rows.json_lines import json_line_rows
from app.domain.rows.kept import kept_rows
from app.domain.rows.model import BadRow, InputForm, InputPosition, Row


def read_rows(
    chunks: Iterable[bytes], form: InputForm, types: Mapping[str, str], at: InputPosition
) -> Iterator[Row | BadRow]:
    """The rows of the plain file from `at` on: `form.body_at`, or `behind` of any row. `chunks` begin at `at.offset`.

    `types` gives the type of a CSV's columns by dotted name: text, integer, number, boolean, json, date; all others are
    text, and a date stays the text it is. JSON has types of its own. In memory are one chunk and one row. Raises
    UnreadableInputError where what follows cannot be told apart; the rows before it are good.
    """
    if form.format == "csv":
        return csv_rows(chunks, form, types, at)
    if form.format == "lines":
        return json_line_rows(chunks, form, at)
    if form.format == "kept":
        return kept_rows(chunks, at)
    return json_array_rows(chunks, form, at)
