"""Records as CSV rows, a block at a time.

Nearly all values may be copied as they lie: a number, true, false, and a JSON string without escapes are the same text
in CSV. Lines that are laid out alike are cut by a pattern (`CsvLines`). A block of others is decoded into rows of raw
values and joined with commas, and only then looked at: where the text holds a backslash, a bracket, a brace or `null`
that no checked column accounts for, the columns they lie in become checked ones, whose every value goes through `cell`,
and the block is done again. Columns once checked stay so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Raw

from app.storage.chunks import headed
from app.storage.columns import LONE_VALUE, path_of
from app.storage.csv_cells import Cell, cell, guarded, guarded_cell, header_row
from app.storage.csv_lines import CsvLines
from app.storage.json_text import UNDECODABLE, decoded, is_object, mended
from app.storage.lines import small_blocks
from app.storage.shape import Path, Row, Shape, Tree

_MARKS = (b"\\", b"[", b"{", b"null")
_BLOCK_BYTES = 64 * 1024  # whose cells are still in the processor's cache when they are joined
_CHUNK_BYTES = 256 * 1024  # sent at once, since sending costs as much as some ten records
_MOST_CELLS = 1_000_000  # in memory at once, nearly all of them the same empty one
_SHORTEST_LINE_BYTES = 3


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
        is_plain = len(columns) > 1 and not guard
        self._lines = CsvLines(self._shape.tree, len(columns), self._odd_row) if is_plain else None

    def header(self) -> bytes:
        return header_row([guarded(name) for name in self._names] if self._guard else self._names)

    def render(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The header row, then the rows of the lines in these pieces, cut anywhere."""
        return headed(self.header(), self._chunks(pieces))

    def _chunks(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        ready: list[bytes] = []
        ready_bytes = 0
        most_lines = max(_MOST_CELLS // len(self._names), 1)
        for block in small_blocks(pieces, _BLOCK_BYTES):
            for part in _parts(block, most_lines):
                ready.append(self.rows(part))
                ready_bytes += len(ready[-1])
                if ready_bytes >= _CHUNK_BYTES:
                    yield b"".join(ready)
                    ready, ready_bytes = [], 0
        if ready:
            yield b"".join(ready)

    def rows(self, block: bytes) -> bytes:
        """The rows of a block of whole lines."""
        block, replaced_count = mended(block)
        self.replaced_count += replaced_count
        rows = self._lines.rows(block) if self._lines else None
        if rows is not None:
            return b"\r\n".join([*rows, b""])
        return self._structured_rows(block)

    def _structured_rows(self, block: bytes) -> bytes:
        try:
            records = self._shape.rows(block)
        except UNDECODABLE:
            return b"".join([self._odd_row(line) + b"\r\n" for line in block.split(b"\n") if line])
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

    def _odd_row(self, line: bytes) -> bytes:
        """The row of a record that may have a scalar where others have an object, or be no object at all."""
        record = Raw(line.strip())
        cells: dict[Path, bytes] = {}
        if is_object(record):
            self._collect(self._shape.tree, record, (), cells)
        else:
            cells[LONE_VALUE,] = self._cell(record)
        return b",".join([cells.get(path, self._empty) for path in self._shape.paths])

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
    if len(block) <= most_lines * _SHORTEST_LINE_BYTES or block.count(b"\n") <= most_lines:
        yield block
        return
    lines = block.removesuffix(b"\n").split(b"\n")
    for start in range(0, len(lines), most_lines):
        yield b"\n".join(lines[start : start + most_lines]) + b"\n"
