"""Records without their null fields. Only what holds the word is looked at; every byte of the rest stays."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.selection.by_member import cut_by_member
from app.domain.selection.cutting import Cutting
from app.domain.selection.judging import Record
from app.domain.selection.scanning import UnreadableError

_CUT_AT_ONCE = 200  # records, usually few enough to stay in the processor's cache


class Nulls:
    """Learns how the records are laid out, so it is made for those of one leg, and for one thread."""

    def __init__(self) -> None:
        self._cutting = Cutting(_cut_one)

    def cut(self, records: Sequence[Record]) -> list[Record]:
        """What is kept of each record. One that is no JSON stays as it is."""
        cut: list[Record] = []
        for start in range(0, len(records), _CUT_AT_ONCE):
            some = records[start : start + _CUT_AT_ONCE]
            block = b"\n".join([*some, b""])
            cut += self._cut_block(block) if b"null" in block else some
        return cut

    def _cut_block(self, block: bytes) -> list[bytes]:
        lines = block.split(b"\n")[:-1]
        with_null = [number for number, line in enumerate(lines) if b"null" in line]
        if 2 * len(with_null) > len(lines):
            return self._cutting.cut(lines, block)
        touched = [lines[number] for number in with_null]
        for number, line in zip(with_null, self._cutting.cut(touched, b"\n".join([*touched, b""])), strict=True):
            lines[number] = line
        return lines


def _cut_one(record: bytes) -> bytes:
    try:
        return cut_by_member(record) if b"null" in record else record
    except UnreadableError:
        return record
