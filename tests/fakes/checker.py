"""What became of the records, in the five counts of Jepsen's set checkers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
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

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in asdict(self).items())


NO_RECORDS = Counts(0, 0, 0, 0, 0)


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
