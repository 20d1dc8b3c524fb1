"""`python -m tests.chaos.campaign [PHASE ...]`: break everything, count, judge. Exit code 1 for the least damage."""

import argparse
import secrets
import sys
import time

from app.local.procfile import CHECKOUT
from tests.chaos.campaign import page
from tests.chaos.campaign.judgement import problems_of
from tests.chaos.campaign.phases import PHASES
from tests.chaos.campaign.push_phases import PUSHES
from tests.chaos.campaign.report import phase_lines, summary_lines
from tests.chaos.campaign.result import PhaseResult
from tests.chaos.campaign.run import run_phase
from tests.chaos.campaign.upload_phases import UPLOADS

_ALL = (*PHASES, *UPLOADS, *PUSHES)
_HOME = CHECKOUT / ".haulage" / "chaos"


def main() -> int:
    options = _arguments().parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    chosen = [phase for phase in _ALL if phase.name in (options.phases or [each.name for each in _ALL])]
    began = time.monotonic()
    _say([f"seed {seed}; logs of a phase that goes wrong stay in {_HOME.relative_to(CHECKOUT)}"])
    results: list[PhaseResult] = []
    for phase in chosen:
        results.append(run_phase(phase, _HOME / phase.name, seed=seed, scale=options.scale))
        _say(phase_lines(results[-1]))
    problems = problems_of(results)
    summary = summary_lines(results, problems, seed=seed, seconds=time.monotonic() - began)
    _say(summary)
    if len(chosen) == len(_ALL) and options.scale >= 1:
        page.write(results, problems, seed=seed, seconds=time.monotonic() - began)
    return 1 if problems else 0


def _say(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description=__doc__)
    names = [phase.name for phase in _ALL]
    parser.add_argument("phases", nargs="*", choices=[*names, []], help=f"default: all; {' '.join(names)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the strikes; below 1 it proves less")
    parser.add_argument("--seed", type=int, help="draws every choice; the default is drawn and printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
