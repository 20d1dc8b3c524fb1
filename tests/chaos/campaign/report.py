"""What a campaign came to, in lines of text."""

from collections.abc import Sequence

from tests.chaos.campaign.judgement import MARKS, percentile, total, total_of_uploads
from tests.chaos.campaign.recovery import DEFINITIONS
from tests.chaos.campaign.result import PhaseResult
from tests.fakes.audit import Audit


def phase_lines(result: PhaseResult) -> list[str]:
    """A phase's own lines: strikes, five counters, calls, callbacks."""
    audit = result.audit
    lines = [f"{result.name}: {result.title} ({result.seconds:.0f} s)"]
    lines += [f"  strikes    {text}" for text in _strike_texts(result)]
    lines += _what_became(audit)
    lines.append(f"  callbacks  {audit.callback_count} ids for {audit.run_count} runs")
    lines += [f"  note       {name}: {number}" for name, number in result.notes.items()]
    lines += [f"  PROBLEM    {problem}" for problem in result.problems]
    return lines


def _what_became(audit: Audit) -> list[str]:
    if audit.uploads.rows:
        return [f"  rows       {audit.uploads}, in {audit.job_count} jobs"]
    return [
        f"  records    {audit.counts}, in {audit.job_count} jobs",
        (
            f"  apiLimit   {audit.call_count} vendor calls of {audit.allowed_call_count} allowed,"
            f" {audit.written_off_count} written off"
        ),
    ]


_LISTED = 8


def _strike_texts(result: PhaseResult) -> list[str]:
    tallies = result.tallies
    if len(tallies) <= _LISTED:
        return [
            f"{tally.counted} of {tally.demanded} {name}"
            + (f", {tally.wasted} more not counted" if tally.wasted else "")
            for name, tally in tallies.items()
        ]
    least = min(tally.counted for tally in tallies.values())
    counted, wasted = (sum(getattr(tally, part) for tally in tallies.values()) for part in ("counted", "wasted"))
    return [f"{counted} at {len(tallies)} steps, at least {least} at each, {wasted} more not counted"]


def recovery_lines(results: Sequence[PhaseResult]) -> list[str]:
    """The table of both settings, production's first."""
    lines = [f"{'recovery':<18} {'settings':<11} {'samples':>7} {'p50 s':>7} {'p99 s':>7} {'max s':>7}  mark"]
    return lines + ["{:<18} {:<11} {:>7} {:>7} {:>7} {:>7}  {}".format(*row) for row in recovery_rows(results)]


def recovery_rows(results: Sequence[PhaseResult]) -> list[tuple[str, ...]]:
    rows = []
    for is_production in (True, False):
        for kind in DEFINITIONS:
            chosen = [result for result in results if result.is_production == is_production]
            samples = [sample for result in chosen for sample in result.samples.get(kind, [])]
            if samples:
                rows.append(_recovery_row(kind, samples, is_production=is_production))
    return rows


def _recovery_row(kind: str, samples: list[float], *, is_production: bool) -> tuple[str, ...]:
    mark = next((mark for mark in MARKS if mark.kind == kind), None) if is_production else None
    goal = ""
    if mark is not None:
        goal = f"p99 <= {mark.required_s:g}" + (f", aim {mark.aim_s:g}" if mark.aim_s is not None else "")
    figures = (percentile(samples, 0.5), percentile(samples, 0.99), max(samples))
    settings = "production" if is_production else "short"
    return (kind, settings, str(len(samples)), *(f"{figure:.2f}" for figure in figures), goal)


def summary_lines(results: Sequence[PhaseResult], problems: Sequence[str], *, seed: int, seconds: float) -> list[str]:
    strikes = sum(tally.counted for result in results for tally in result.tallies.values())
    lines = ["", *recovery_lines(results), ""]
    lines += [f"{kind}: {text}" for kind, text in DEFINITIONS.items()]
    lines += [
        "",
        f"all phases: {strikes} strikes, {sum(result.audit.job_count for result in results)} jobs, {total(results)}",
        f"rows uploaded: {total_of_uploads(results)}",
        f"seed {seed}, {seconds / 60:.1f} minutes",
        *(f"PROBLEM {problem}" for problem in problems),
        "RED" if problems else "green: nothing lost, nothing doubled, every strike counted, every mark reached",
    ]
    return lines
