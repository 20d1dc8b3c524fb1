"""`python -m tests.benchmarks [CASE ...]`: measure, keep, judge. Exit code 1 where a required mark is missed."""

import argparse
import os
import sys
from collections.abc import Callable

from app.errors import HaulageError
from tests.benchmarks import (
    api_load,
    callbacks,
    destinations,
    durability,
    many_jobs,
    memory,
    overlap,
    peers_environment,
    pools,
    results,
    serving,
    slices,
    soak,
    speed,
    uploads,
)
from tests.benchmarks.bench import HOME, Bench
from tests.benchmarks.marks import MARKS, Verdict, judge
from tests.benchmarks.nginx import Vendor

CASES: dict[str, Callable[[Bench], None]] = {
    "speed": speed.run,
    "numbered": speed.run_numbered,
    "durability": durability.run,
    "serving": serving.run,
    "overlap": overlap.run,
    "slices": slices.run,
    "many": many_jobs.run,
    "pools": pools.run,
    "api": api_load.run,
    "memory": memory.run,
    "memory10m": memory.run_ten_million,
    "uploads": uploads.run,
    "destinations": destinations.run,
    "callbacks": callbacks.run,
    "soak": soak.run,
}
_DEFAULT = tuple(case for case in CASES if case != "soak")
"""All but the soak, which takes half an hour."""


def main() -> int:
    options = _arguments().parse_args()
    try:
        kept = results.Results(HOME / "trial.json" if options.scale != 1 else results.KEPT)
        return _run(options.cases or list(_DEFAULT), kept, options)
    except HaulageError as error:
        sys.stderr.write(f"bench: {error.message}\n")
        return 2


def _run(cases: list[str], kept: results.Results, options: argparse.Namespace) -> int:
    HOME.mkdir(parents=True, exist_ok=True)
    peers = peers_environment.python()
    kept.note_machine(peers)
    sys.stdout.write(f"load before: {os.getloadavg()[0]:.1f}\n")
    with Vendor(HOME) as vendor:
        bench = Bench(vendor, kept, peers, options.rounds, options.scale)
        for case in cases:
            CASES[case](bench)
    if options.scale == 1:
        results.write_page(kept)
    return _verdict(kept)


def _verdict(kept: results.Results) -> int:
    judged = [each for each in judge(kept.measures, MARKS) if each.values]
    sys.stdout.write(f"{results.verdict_table(judged)}\n")
    short = [each for each in judged if each.verdict is Verdict.SHORT]
    sys.stdout.write(f"{len(judged) - len(short)} of {len(judged)} measured marks are reached.\n")
    return 1 if short else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help=f"default: {' '.join(_DEFAULT)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: try the machinery, keep no results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
