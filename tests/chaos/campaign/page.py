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
_MANY = "steps"
"""Phases so named have too many faults for a cell."""


def write(
    results: Sequence[PhaseResult], problems: Sequence[str], *, seed: int, seconds: float, path: Path = PAGE
) -> None:
    """Replace everything from the heading on."""
    text, _, _ = path.read_text().partition(HEADING)
    lines = [
        HEADING,
        "",
        *_head(problems, seed, seconds),
        *_phases(results),
        *_uploads(results),
        *_recoveries(results),
        *_steps(results),
    ]
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
    for result in [each for each in results if not each.audit.uploads.rows]:
        audit, counts = result.audit, result.audit.counts
        strikes = _strikes(result)
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


def _strikes(result: PhaseResult) -> str:
    if result.name.endswith(_MANY):
        return f"{sum(tally.counted for tally in result.tallies.values())}, see below"
    return ", ".join(f"{tally.counted} {name}" for name, tally in result.tallies.items())


def _uploads(results: Sequence[PhaseResult]) -> list[str]:
    found = [(result.name, _strikes(result), result.audit, result.audit.uploads) for result in results]
    uploads = [each for each in found if each[3].rows]
    if not uploads:
        return []
    lines = [
        (
            "| phase of uploads | strikes counted | jobs | rows | written | failed | uncertain (most in flight)"
            " | created twice | missing at the vendor | no verdict | callback ids / runs |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, strikes, audit, rows in uploads:
        lines.append(
            f"| {name} | {strikes} | {audit.job_count} | {rows.rows:,} | {rows.good:,} | {rows.failed:,} |"
            f" {rows.uncertain:,} ({rows.most_in_flight}) | {rows.doubled} | {rows.missing} | {rows.untold} |"
            f" {audit.callback_count} / {audit.run_count} |"
        )
    return [*lines, ""]


def _recoveries(results: Sequence[PhaseResult]) -> list[str]:
    lines = ["| recovery | settings | samples | p50 s | p99 s | max s | mark |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in recovery_rows(results)]
    return [*lines, ""]


def _steps(results: Sequence[PhaseResult]) -> list[str]:
    lines = []
    for result in results:
        if result.name.endswith(_MANY):
            text = ", ".join(f"{name} {tally.counted}" for name, tally in result.tallies.items())
            lines.append(f"{result.name.capitalize()}: {text}.")
    return lines
