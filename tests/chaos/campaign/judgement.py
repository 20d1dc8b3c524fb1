"""What must hold: the marks, the sums, and everything that makes a campaign red."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from tests.chaos.campaign.result import PhaseResult
from tests.fakes.checker import NO_RECORDS, Counts
from tests.fakes.row_counts import RowCounts


@dataclass(frozen=True)
class Mark:
    """What the 99th percentile of a recovery under production's settings must reach, from so many samples."""

    kind: str
    required_s: float
    aim_s: float | None = None
    sample_count: int = 30


MARKS = (Mark("worker killed", 40, 5), Mark("broker back", 15), Mark("PostgreSQL back", 20))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: the smallest value that at least this share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def problems_of(results: Sequence[PhaseResult]) -> list[str]:
    """Everything that makes a campaign red."""
    found = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    found += [f"{result.name}: {result.audit.counts}" for result in results if not result.audit.counts.is_exact]
    return found + [
        f"{result.name}: rows {result.audit.uploads}" for result in results if not result.audit.uploads.is_exact
    ]


def short_recoveries(result: PhaseResult, scale: float) -> Iterator[str]:
    """Marks that a phase under production's settings misses, or has too few samples for."""
    for mark in MARKS if result.is_production else ():
        if mark.kind not in result.promised:
            continue
        samples = result.samples.get(mark.kind, [])
        wanted = ceil(mark.sample_count * scale)
        if len(samples) < wanted:
            yield f"{len(samples)} of {wanted} samples of {mark.kind}"
        elif (p99 := percentile(samples, 0.99)) > mark.required_s:
            yield f"{mark.kind}: p99 {p99:.1f} s, required {mark.required_s:g} s"


def total_of_uploads(results: Sequence[PhaseResult]) -> RowCounts:
    return sum((result.audit.uploads for result in results), RowCounts())


def total(results: Sequence[PhaseResult]) -> Counts:
    return sum((result.audit.counts for result in results), NO_RECORDS)
