"""Rounds of a race as ratios and as a table."""

import statistics
from collections.abc import Callable, Sequence

from tests.benchmarks.marks import shown
from tests.benchmarks.processes import MB
from tests.benchmarks.race import Run

Rounds = Sequence[Sequence[Run]]


def ratios(done: Rounds, one: str, other: str, figure: Callable[[Run], float]) -> list[float]:
    """`figure` of contender `one` over that of `other`, within each round."""
    return [figure(_of(runs, one)) / figure(_of(runs, other)) for runs in done]


def rate(run: Run) -> float:
    return run.records_per_s


def cpu(run: Run) -> float:
    return run.cpu_s_per_million


def figures(done: Rounds, name: str, figure: Callable[[Run], float]) -> list[float]:
    return [figure(_of(runs, name)) for runs in done]


def _of(runs: Sequence[Run], name: str) -> Run:
    return next(run for run in runs if run.name == name)


def table(done: Rounds, against: str) -> list[str]:
    """Markdown: a line a contender, medians over the rounds."""
    lines = [
        f"| contender | records/s (min to max) | s | CPU s per 1M | start-up CPU | peak RSS MB | x {against} | CPU x |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted({run.name for run in done[0]}, key=lambda name: -_median(done, name, rate)):
        rates = figures(done, name, rate)
        lines.append(
            f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            f" | {_median(done, name, lambda run: run.wall_s):.2f} | {_median(done, name, cpu):.2f}"
            f" | {_median(done, name, lambda run: run.start_cpu_s):.1f}"
            f" | {_median(done, name, lambda run: run.peak_rss_bytes / MB):.0f}"
            f" | {shown(statistics.median(ratios(done, name, against, rate)))}"
            f" | {shown(statistics.median(ratios(done, name, against, cpu)))} |"
        )
    return [*lines, "", *_where_cpu_goes(done)]


def _median(done: Rounds, name: str, figure: Callable[[Run], float]) -> float:
    return statistics.median(figures(done, name, figure))


def _where_cpu_goes(done: Rounds) -> list[str]:
    lines = []
    for name in dict.fromkeys(run.name for run in done[0] if run.cpu_parts_s):
        runs = [_of(each, name) for each in done]
        parts = {
            part: statistics.median(run.cpu_parts_s[part] / run.record_count * 1_000_000 for run in runs)
            for part in runs[0].cpu_parts_s
        }
        shares = ", ".join(f"{part} {value:.2f}" for part, value in parts.items())
        lines += [f"CPU s per 1M records of {name} by part: {shares}.", ""]
    return lines
