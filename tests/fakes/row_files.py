"""Reading uploaded files the way a leg does, and what came of it in a form that can be compared."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.rows import BadRow, InputForm, InputPosition, Row, UnreadableInputError, look, read_rows
from app.domain.uploads import UploadOptions

CSV = UploadOptions("contacts")
JSON = UploadOptions("contacts", format="json")


@dataclass(frozen=True)
class Reading:
    """The rows, and the error that ended them, if one did."""

    rows: list[Row | BadRow]
    error: str = ""
    place: tuple[int, int] = (0, 0)

    @property
    def records(self) -> list[Any]:
        return [json.loads(row.record) for row in self.rows if isinstance(row, Row)]

    @property
    def bad(self) -> list[BadRow]:
        return [row for row in self.rows if isinstance(row, BadRow)]


def read(
    raw: bytes, options: UploadOptions = CSV, types: Mapping[str, str] | None = None, sizes: Sequence[int] = (65536,)
) -> Reading:
    """The whole file, from the look at its head on."""
    try:
        form = look(raw, options, is_whole=True)
    except UnreadableInputError as error:
        return Reading([], error.message, (error.line, error.column))
    return read_from(raw, form, form.body_at, types, sizes)


def read_from(
    raw: bytes,
    form: InputForm,
    at: InputPosition,
    types: Mapping[str, str] | None = None,
    sizes: Sequence[int] = (65536,),
) -> Reading:
    """What follows a position, in chunks of these sizes over and over."""
    rows: list[Row | BadRow] = []
    try:
        rows.extend(read_rows(in_chunks(raw[at.offset :], sizes), form, types or {}, at))
    except UnreadableInputError as error:
        # list.extend keeps what came before the error
        return Reading(rows, error.message, (error.line, error.column))
    return Reading(rows)


def in_chunks(raw: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(raw):
            return
        yield raw[at : at + size]
        at += size
