"""Lines that are laid out alike as CSV rows, by a pattern with a group for each cell.

A JSON string without escapes, a number, true and false are the same text in CSV, and the group of a null or of a member
that is not there is empty: so the groups joined with commas are the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from app.storage.csv_cells import array_cell, cell
from app.storage.layout import hidden, restored
from app.storage.learning import LearnedPattern
from app.storage.shape import Tree

_Cells = Sequence[bytes]
_Arrange = Callable[[list[_Cells]], Iterable[_Cells]]

_MOST_ODD = 8  # one line in so many may be laid out in another way


class CsvLines:
    """Rows of these columns, two at least. `odd_row` gives the row of a line that is laid out in another way."""

    def __init__(self, columns: Tree, column_count: int, odd_row: Callable[[bytes], bytes]) -> None:
        self._column_count = column_count
        self._odd_row = odd_row
        self._learned = LearnedPattern(columns)
        self._groups: _Groups | None = None

    def rows(self, block: bytes) -> list[bytes] | None:
        """The rows of a block of whole lines, surrogates paired; None if too few lines are alike or none is known."""
        groups = self._current_groups()
        text = hidden(block) if groups else None
        if groups is None or text is None:
            self._learned.note(block)
            return None
        found = groups.pattern.findall(text)
        rows = [b",".join(cells) for cells in groups.arrange(found)]
        if b"\\" in text:
            pairs = zip(found, rows, strict=True)
            rows = [groups.checked_row(cells) if b"\\" in row else row for cells, row in pairs]
        return self._with_odd_rows(rows, block)

    def _current_groups(self) -> _Groups | None:
        pattern = self._learned.compiled
        if pattern is None or pattern.groups <= 1:  # then matches are no tuples
            return None
        if self._groups is None or self._groups.pattern is not pattern:
            self._groups = _Groups(pattern, self._column_count)
        return self._groups

    def _with_odd_rows(self, rows: list[bytes], block: bytes) -> list[bytes] | None:
        """The rows, those that came out empty done again: nearly always lines that the pattern did not fit."""
        empty = b"," * (self._column_count - 1)
        if empty not in rows:
            self._learned.note(b"", len(block))
            return rows
        lines = block.split(b"\n")
        odd = [number for number, row in enumerate(rows) if row == empty]
        odd_lines = b"".join([lines[number] + b"\n" for number in odd])
        self._learned.note(odd_lines, len(block) - len(odd_lines))
        if len(odd) * _MOST_ODD > len(rows):
            return None
        for number in odd:
            rows[number] = self._odd_row(lines[number])
        return rows


class _Groups:
    """The groups of a pattern, and where in a row they belong."""

    def __init__(self, pattern: re.Pattern[bytes], column_count: int) -> None:
        self.pattern = pattern
        names = {int(name[1:]): name for name in pattern.groupindex}
        self._places = [pattern.groupindex[names[n]] - 1 if n in names else -1 for n in range(column_count)]
        arrays = {number for number, name in names.items() if name.startswith("a")}
        is_in_order = self._places == list(range(pattern.groups))
        self.arrange: _Arrange = _same if is_in_order and not arrays else self._arrangement(arrays)

    def _arrangement(self, arrays: set[int]) -> _Arrange:
        """A function from groups to cells in the order of the columns. Only our own numbers are in its text."""
        values = [f"g{place}" if place >= 0 else "b''" for place in self._places]
        cells = [f"array_cell({value})" if number in arrays else value for number, value in enumerate(values)]
        names = ", ".join(f"g{number}" for number in range(self.pattern.groups))
        arrange: _Arrange = eval(  # noqa: S307 - compiled, since a loop over names would take five times as long
            f"lambda found: [({', '.join(cells)}) for {names} in found]", {"array_cell": array_cell}
        )
        return arrange

    def checked_row(self, groups: _Cells) -> bytes:
        """The row of a record in which there are escapes."""
        values = map((*groups, b"").__getitem__, self._places)
        return b",".join([cell(restored(value)) if b"\\" in value or value[:1] == b"[" else value for value in values])


def _same(found: list[_Cells]) -> list[_Cells]:
    return found
