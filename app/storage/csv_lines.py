"""Lines that are laid out alike as CSV rows, by a pattern with a group for each cell.

A JSON string without escapes, a number, true and false are the same text in CSV, and the group of a null or of a member
that is not there is empty: so the groups joined with commas are the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter

from app.storage.csv_cells import cell, escaped_cell
from app.storage.learning import LearnedPattern
from app.storage.shape import Tree

_Cells = Sequence[bytes]
_Arrange = Callable[[list[_Cells]], Iterable[_Cells]]

_CELL = "g"
_STRING_CELL = "(escaped(g) if b'\\\\' in g else g)"
_ARRAY_CELL = """(b'"' + g.replace(b'"', b'""') + b'"' if g[:1] == b'[' else cell(g))"""
_FUNCTIONS = {"cell": cell, "escaped": escaped_cell}
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
        if groups is None:
            self._learned.note(block)
            return None
        found = groups.pattern.findall(block)
        rows = [b",".join(cells) for cells in groups.arrange(found)]
        if b"\\" in block and groups.finds_escapes([found[at] for at, row in enumerate(rows) if b"\\" in row]):
            rows = [b",".join(cells) for cells in groups.arrange(found)]
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
        if len(odd) * _MOST_ODD > len(rows):
            self._learned.note(block)
            return None
        odd_lines = b"".join([lines[number] + b"\n" for number in odd])
        self._learned.note(odd_lines, len(block) - len(odd_lines))
        for number in odd:
            rows[number] = self._odd_row(lines[number])
        return rows


class _Groups:
    """The groups of a pattern, and where in a row they belong."""

    def __init__(self, pattern: re.Pattern[bytes], column_count: int) -> None:
        self.pattern = pattern
        names = {int(name[1:]): name for name in pattern.groupindex}
        self._places = [pattern.groupindex[names[n]] - 1 if n in names else -1 for n in range(column_count)]
        self._cells = {
            place: _ARRAY_CELL if names[number].startswith("a") else _CELL
            for number, place in enumerate(self._places)
            if place >= 0
        }
        self._arrange_anew()

    def finds_escapes(self, records: list[_Cells]) -> bool:
        """Look for escapes in columns of strings that had none so far. True if `arrange` did not know of such a one."""
        if b"\\" not in b"".join(chain.from_iterable(map(self._plain, records))):
            return False
        for place, cell_text in self._cells.items():
            if cell_text == _CELL and any(b"\\" in groups[place] for groups in records):
                self._cells[place] = _STRING_CELL
        self._arrange_anew()
        return True

    def _arrange_anew(self) -> None:
        plain = [place for place, cell_text in self._cells.items() if cell_text == _CELL]
        self._plain: Callable[[_Cells], Iterable[bytes]] = itemgetter(*plain, plain[0]) if plain else _none
        self.arrange = self._arrangement()
        """From groups to cells in the order of the columns."""

    def _arrangement(self) -> _Arrange:
        if self._places == list(range(self.pattern.groups)) and set(self._cells.values()) == {_CELL}:
            return _same
        cells = ["b''" if place < 0 else self._cells[place].replace("g", f"g{place}") for place in self._places]
        names = ", ".join(f"g{number}" for number in range(self.pattern.groups))
        # Compiled, since a loop over names would take five times as long. Only our own numbers are in its text.
        arrange: _Arrange = eval(f"lambda found: [({', '.join(cells)}) for {names} in found]", _FUNCTIONS)  # noqa: S307
        return arrange


def _none(_: _Cells) -> Iterable[bytes]:
    return ()


def _same(found: list[_Cells]) -> list[_Cells]:
    return found
