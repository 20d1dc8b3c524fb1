"""What every case is given: the vendor, where to keep things, how long to run."""

import sys
from dataclasses import dataclass
from pathlib import Path

from app.local.procfile import CHECKOUT
from tests.benchmarks.nginx import Vendor
from tests.benchmarks.results import Results

HOME = CHECKOUT / ".haulage" / "bench"


@dataclass(frozen=True)
class Bench:
    """`scale` 1 is the real size; smaller ones only try the machinery. `peers`: Python of the peers' environment."""

    vendor: Vendor
    results: Results
    peers: Path
    rounds: int = 5
    scale: float = 1.0
    folder: Path = HOME

    def records(self, full: int, size: int) -> int:
        """`full` records, scaled, in whole pages."""
        return max(1, int(full * self.scale) // size) * size

    def number(self, full: int) -> int:
        return max(2, int(full * self.scale))

    def say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
