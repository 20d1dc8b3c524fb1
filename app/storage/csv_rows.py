"""Records as CSV rows, a block at a time.

Nearly all values may be copied as they lie: a number, true, false, and a JSON string without escapes are the same text
in CSV. So a block is decoded into rows of raw values and joined with commas, and only then looked at: where the text
holds a backslash, a bracket, a brace or `null` that no checked column accounts for, the columns they lie in become
checked ones, whose every value goes through `cell`, and the block is done again. Columns once checked stay so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Raw

from app.storage.chunks import headed
from app.storage.columns import LONE_VALUE, path_of
from app.storage.csv_cells import Cell, cell, guarded, guarded_cell, header_row
from app.storage.json_text import UNDECODABLE, decoded, is_object, mended
from app.storage.lines import pieces_of_lines
from app.storage.shape import Path, Row, Shape, Tree

_MARKS = (b"\\", b"[", b"{", b"null")
_PIECE_BYTES = 256 * 1024
_MOST_CELLS = 500_000  # in memory at once


class CsvRows:
    """Renders blocks of JSON Lines as rows of these columns (stored spelling, at least one).

    `replaced_count` tells how many unpaired surrogates became U+FFFD so far. `guard` disarms spreadsheet formulas.
    """

    def __init__(self, columns: Sequence[str], *, guard: bool = False) -> None:
        self.replaced_count = 0
        self._names = [".".join(path_of(column)) for column in columns]
        self._guard = guard
        self._empty = b'""' if len(columns) == 1 else b""  # a row of one empty cell must not look like no row
        self._shape = Shape([path_of(column) for column in columns], missing=self._empty)
        self._cell = self._filling(guarded_cell if guard else cell)
        self._checked: set[int] = set(range(len(columns))) if guard else set()
        self._extract = self._shape.extractor(self._checked, self._cell)

    def header(self) -> bytes:
        return header_row([guarded(name) for name in self._names] if self._guard else self._names)

    def render(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The header row, then the rows of each block of whole lines."""
        return headed(self.header(), self._all_rows(blocks))

    def _all_rows(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            for piece in pieces_of_lines(block, _PIECE_BYTES):
                for part in _parts(piece, max(_MOST_CELLS // len(self._names), 1)):
                    yield self.rows(part)

    def rows(self, block: bytes) -> bytes:
        """The rows of a block of whole lines."""
        try:
            records = self._shape.rows(block)
        except UNDECODABLE:
            return self._odd_rows(block)
        rows = self._extract(records)
        text = self._join(rows)
        suspects = self._suspects(text, rows)
        if not suspects:
            return text
        self._checked |= suspects
        self._extract = self._shape.extractor(self._checked, self._cell)
        return self._join(self._extract(records))

    @staticmethod
    def _join(rows: list[Row]) -> bytes:
        return b"\r\n".join([b",".join(row) for row in rows]) + b"\r\n"

    def _suspects(self, text: bytes, rows: list[Row]) -> set[int]:
        """The unchecked columns that hold a value which is not the same text in CSV (or might: the test is rough)."""
        marks = [mark for mark in _MARKS if mark in text]
        if not marks or len(self._checked) == len(self._names):
            return set()
        accounted = b",".join([row[index] for row in rows for index in self._checked])
        if all(text.count(mark) == accounted.count(mark) for mark in marks):
            return set()
        unchecked = set(range(len(self._names))) - self._checked
        return {index for index in unchecked if _any_in(marks, b",".join([row[index] for row in rows]))}

    def _odd_rows(self, block: bytes) -> bytes:
        """Rows of records that may have unpaired surrogates, which msgspec takes nowhere, or unusual types."""
        mended_block, replaced = mended(block)
        if replaced:
            self.replaced_count += replaced
            return self.rows(mended_block)
        return self._join([self._odd_row(line) for line in block.split(b"\n") if line])

    def _odd_row(self, line: bytes) -> Row:
        """The row of a record that may have a scalar where others have an object, or be no object at all."""
        record = Raw(line.strip())
        cells: dict[Path, bytes] = {}
        if is_object(record):
            self._collect(self._shape.tree, record, (), cells)
        else:
            cells[LONE_VALUE,] = self._cell(record)
        return tuple(cells.get(path, self._empty) for path in self._shape.paths)

    def _collect(self, tree: Tree, value: Raw, path: Path, cells: dict[Path, bytes]) -> None:
        for name, inner in decoded(value).items():
            field = tree.fields.get(name)
            if field is None:
                continue
            if field.fields and is_object(inner):
                self._collect(field, inner, (*path, name), cells)
            else:
                cells[(*path, name)] = self._cell(inner)

    def _filling(self, plain_cell: Cell) -> Cell:
        """The cell function, with this row's way of writing an empty cell."""
        empty = self._empty
        if not empty:
            return plain_cell
        return lambda value: plain_cell(value) or empty


def _any_in(marks: list[bytes], text: bytes) -> bool:
    return any(mark in text for mark in marks)


def _parts(block: bytes, most_lines: int) -> Iterator[bytes]:
    """The block, cut into parts of so many lines where it has more."""
    if block.count(b"\n") <= most_lines:
        yield block
        return
    lines = block.removesuffix(b"\n").split(b"\n")
    for start in range(0, len(lines), most_lines):
        yield b"\n".join(lines[start : start + most_lines]) + b"\n"
