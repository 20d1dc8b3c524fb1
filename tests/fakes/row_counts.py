"""What became of the rows of uploads, in numbers."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class RowCounts:
    """`lost_hold`: uncertain rows that were in flight when their worker was lost; `most_in_flight`: in one such loss of
    a job whose rows nothing settles.

    `doubled`: records that the vendor created more than once. `missing`: rows with a good verdict that it does not
    have. `untold`: rows without a verdict.
    """

    rows: int = 0
    good: int = 0
    failed: int = 0
    uncertain: int = 0
    lost_hold: int = 0
    most_in_flight: int = 0
    doubled: int = 0
    missing: int = 0
    untold: int = 0

    @property
    def is_exact(self) -> bool:
        return not (self.doubled or self.missing or self.untold)

    def __add__(self, other: "RowCounts") -> "RowCounts":
        mine, theirs = asdict(self), asdict(other)
        summed = {name: mine[name] + theirs[name] for name in mine}
        summed["most_in_flight"] = max(self.most_in_flight, other.most_in_flight)
        return RowCounts(**summed)

    def __str__(self) -> str:
        return (
            f"{self.rows}: written {self.good}, failed {self.failed}, uncertain {self.uncertain} ({self.lost_hold} of"
            f" them in flight when a worker was lost, at most {self.most_in_flight} at once); created twice"
            f" {self.doubled}, missing at the vendor {self.missing}, without a verdict {self.untold}"
        )
