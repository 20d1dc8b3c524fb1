"""What became of the records, in the five counts of Jepsen's set checkers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Counts:
    """`ok`: expected records that came, once or more often. `disordered`: places where the order breaks."""

    ok: int
    lost: int
    duplicated: int
    unexpected: int
    disordered: int

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected or self.disordered)


def count_records(expected: Sequence[bytes], got: Sequence[bytes]) -> Counts:
    """Compare records that are all different from each other. A changed byte is one lost and one unexpected record."""
    places = {record: place for place, record in enumerate(expected)}
    assert len(places) == len(expected), "expected records must be different"
    times = Counter(got)
    known = [places[record] for record in got if record in places]
    ok = sum(record in times for record in expected)
    return Counts(
        ok=ok,
        lost=len(expected) - ok,
        duplicated=len(known) - ok,
        unexpected=len(got) - len(known),
        disordered=sum(later < earlier for earlier, later in pairwise(known)),
    )
