"""The chosen fields of many records, in the order in which they were asked for.

Nearly all records are decoded into a structure that has the chosen fields and nothing else, and written from there:
values are kept as they are written, the rest is skipped in C. What does not fit goes through a looser structure, member
by member, or, if it is hard to read, the exact way (`scanned_choice`). All give the same bytes, so what comes out of a
record depends on that record alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import msgspec
from msgspec import Raw

from app.domain.selection.fields import Fields
from app.domain.selection.judging import Record
from app.domain.selection.scanned_choice import chosen, chosen_value
from app.domain.selection.scanning import UnreadableError
from app.domain.selection.structures import structure_of

_MOST_ODD = 1 / 8  # of the records: with more of them the loose structure is faster than trying the strict one first

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LEVEL = msgspec.json.Decoder(dict[str, Raw])
_ENCODER = msgspec.json.Encoder()


class Choosing:
    """Cuts records down to these fields: dotted names, in the order in which they are written.

    Learns only which way is the fastest, so it is made for the records of one leg.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._fields = Fields(names)
        self._is_loose = False

    def cut(self, records: Sequence[Record]) -> list[bytes]:
        """What is kept of each record. One that is no object, or no JSON, stays as it is."""
        if self._is_loose or self._strictly is None:
            return [self._cut_one(record) for record in records]
        decode, encode = self._strictly, _ENCODER.encode
        cut: list[bytes] = []
        odd = 0
        for record in records:
            try:
                cut.append(encode(decode(record)))
            except _UNDECODABLE:
                cut.append(self._cut_one(record))
                odd += 1
        self._is_loose = odd > _MOST_ODD * len(records) and self._loosely is not None
        return cut

    @cached_property
    def _strictly(self) -> Callable[[Record], msgspec.Struct] | None:
        structure = structure_of(self._fields.names)
        return None if structure is None else msgspec.json.Decoder(structure.type).decode

    @cached_property
    def _loosely(self) -> Callable[[Record], bytes] | None:
        structure = structure_of(self._fields.names, is_loose=True)
        if structure is None or not structure.ways:
            return None
        decode, clear, encode = msgspec.json.Decoder(structure.type).decode, structure.clear, _ENCODER.encode

        def cut(record: Record) -> bytes:
            decoded = decode(record)
            clear(decoded)
            return encode(decoded)

        return cut

    def _cut_one(self, record: Record) -> bytes:
        if self._loosely is not None:
            try:
                return self._loosely(record)
            except _UNDECODABLE:
                pass
        try:
            return chosen_by_member(record, self._fields)
        except UnreadableError:
            return bytes(record)


def chosen_by_member(record: Record, fields: Fields) -> bytes:
    """What `scanned_choice.chosen` makes of the record, for most a tenth of its price. Raises UnreadableError."""
    try:
        members = _LEVEL.decode(record)
    except _UNDECODABLE:
        return chosen(bytes(record), fields)
    kept = {}
    for name, field in fields.chosen.items():
        raw = members.get(name)
        if raw is not None and field.inner is not None:
            cut = chosen_value(bytes(raw), field.inner)
            raw = None if cut is None else Raw(cut)
        if raw is not None:
            kept[name] = raw
    return _ENCODER.encode(kept)
