"""Jobs that continue one another: how far a chain has come, and what must not come again. Pure.

A **pass** is one walk through the vendor's list, by one job or, where limit or apiLimit ended that, by several that go
on at the position. A **chain** is a pass and those behind it, each of which reads what changed since the one before.

Instants are microseconds since 1970 UTC, rounded down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from app.domain.instants import parse_instant
from app.domain.selection import Record
from app.domain.selection.judging import NeededFields, found

US_A_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_HASH_BYTES = 16


@dataclass(frozen=True)
class Mark:
    """Where a chain stands in one of its passes.

    `floor_us`: the pass asks for records from here on, and the chain remembers what it has delivered of them; None in
    the first pass. `clock_us`: the vendor's clock when the pass began. `high_us`: the highest date delivered in it.
    """

    chain_id: int
    floor_us: int | None = None
    clock_us: int | None = None
    high_us: int | None = None

    def ahead(self, lookback_us: int) -> int | None:
        """The floor of the next pass, were this one over now; it never falls. None while nothing dated was delivered.

        Never behind the clock, whatever the records say: of what changed since then this pass need not have seen all.
        """
        if self.clock_us is None or self.high_us is None:
            return self.floor_us
        begin = min(max(min(self.high_us, self.clock_us) - lookback_us, _EARLIEST), _LATEST)
        return begin if self.floor_us is None else max(begin, self.floor_us)


@dataclass(frozen=True)
class Version:
    """One state of one record: hashes of its id and of all of it, and its date."""

    id_key: bytes
    digest: bytes
    at_us: int


@dataclass
class Noted:
    """What a leg has learnt for its chain and one checkpoint commits."""

    versions: dict[bytes, Version] = field(default_factory=dict)
    clock_us: int | None = None
    high_us: int | None = None
    repeated_count: int = 0


class Dates:
    """Reads the date of records from one field, a name or a dotted path."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._needed = NeededFields([name])

    def of(self, records: Sequence[Record]) -> list[int | None]:
        """The instant of each; None where the field is missing or no date."""
        return [us_of(parse_instant(found(values, self._name))) for values in self._needed.of_all(records)]


def us_of(instant_ns: int | None) -> int | None:
    """Nanoseconds as microseconds, rounded down."""
    return None if instant_ns is None else instant_ns // 1000


def version_of(record: bytes, raw_id: bytes | None, at_us: int) -> Version:
    """`raw_id`: the record's id as JSON text. A record without one is told by its content alone."""
    identity = b"=" + raw_id if raw_id is not None else b"?" + record
    return Version(_hash(identity), _hash(record), at_us)


def _hash(text: bytes) -> bytes:
    return blake2b(text, digest_size=_HASH_BYTES).digest()


def instant_text(instant_us: int) -> str:
    """ISO 8601 in UTC, exact: `2024-03-01T08:30:00Z`, with six digits of a second where there is a fraction."""
    return (_EPOCH + timedelta(microseconds=instant_us)).isoformat().replace("+00:00", "Z")
