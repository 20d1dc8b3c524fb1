"""What one phase came to."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.chaos.campaign.arena import Tally
from tests.fakes.audit import Audit


@dataclass
class PhaseResult:
    """Everything that was counted in a phase; `problems` in words, empty when all promises were kept."""

    name: str
    title: str
    is_production: bool
    tallies: dict[str, Tally]
    promised: frozenset[str] = frozenset()
    """Kinds of recovery that must be measured here often enough."""
    audit: Audit = field(default_factory=Audit)
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of each kind of recovery."""
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
