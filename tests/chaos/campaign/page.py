"""The last result in docs/chaos.md, below the text that people wrote."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from app.local.procfile import CHECKOUT
from tests.benchmarks.results import commit
from tests.chaos.campaign.judgement import total
from tests.chaos.campaign.report import recovery_rows
from tests.chaos.campaign.result import PhaseResult

PAGE = CHECKOUT / "docs" / "chaos.md"
HEADING = "## Last full run"


def write(
    results: Sequence[PhaseResult], problems: Sequence[str], *, seed: int, seconds: float, path: Path = PAGE
) -> None:
    """Replace everything from the heading on."""
    text, _, _ = path.read_text().partition(HEADING)
    lines = [HEADING, "", *_head(problems, seed, seconds), *_phases(results), *_recoveries(results), *_steps(results)]
    path.write_text(text + "\n".join(lines) + "\n")


def _head(problems: Sequence[str], seed: int, seconds: float) -> list[str]:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes")
    machine = f"{os.cpu_count()} cores, {platform.platform(terse=True)}, Python {platform.python_version()}"
    lines = [
        f"{now}, commit {commit()}, seed {seed}, {seconds / 60:.1f} minutes, {machine}.",
        "",
        "**Red:**" if problems else "Green: nothing lost, nothing doubled, every strike counted, every mark reached.",
        "",
    ]
    if problems:
        lines += [*(f"* {problem}" for problem in problems), ""]
    return lines


def _phases(results: Sequence[PhaseResult]) -> list[str]:
    lines = [
        (
            "| phase | strikes counted | jobs | ok | lost | duplicated | unexpected | out of order | calls / allowed |"
            " callback ids / runs |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        audit, counts = result.audit, result.audit.counts
        strikes = ", ".join(f"{tally.counted} {name}" for name, tally in result.tallies.items())
        if result.name == "steps":
            strikes = f"{sum(tally.counted for tally in result.tallies.values())}, see below"
        lines.append(
            f"| {result.name} | {strikes} | {audit.job_count} | {counts.ok:,} | {counts.lost} | {counts.duplicated} |"
            f" {counts.unexpected} | {counts.disordered} | {audit.call_count:,} / {audit.allowed_call_count:,} |"
            f" {audit.callback_count} / {audit.run_count} |"
        )
    counts = total(results)
    jobs = sum(result.audit.job_count for result in results)
    lines.append(
        f"| **all** | {sum(tally.counted for result in results for tally in result.tallies.values()):,} | {jobs} |"
        f" {counts.ok:,} | {counts.lost} | {counts.duplicated} | {counts.unexpected} | {counts.disordered} | | |"
    )
    return [*lines, ""]


def _recoveries(results: Sequence[PhaseResult]) -> list[str]:
    lines = ["| recovery | settings | samples | p50 s | p99 s | max s | mark |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in recovery_rows(results)]
    return [*lines, ""]


def _steps(results: Sequence[PhaseResult]) -> list[str]:
    tallies = {name: tally for result in results if result.name == "steps" for name, tally in result.tallies.items()}
    text = ", ".join(f"{name} {tally.counted}" for name, tally in tallies.items())
    return [f"Steps: {text}."] if tallies else []
