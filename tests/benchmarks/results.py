"""The kept results: one JSON file that every run adds to, and the page made of it."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from app.local.procfile import CHECKOUT
from tests.benchmarks.marks import Judged, Verdict, judge, shown

KEPT = CHECKOUT / "docs" / "benchmarks.json"
PAGE = CHECKOUT / "docs" / "benchmarks.md"
_OURS = ("celery", "kombu", "redis", "psycopg", "pycurl", "msgspec", "isal", "gunicorn", "requests")
_PEERS = ("dlt", "airbyte-cdk")


class Results:
    """`measures`: mark key -> values. `cases`: name -> what was run and every raw figure."""

    def __init__(self, path: Path = KEPT) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.measures: dict[str, list[float]] = kept.get("measures", {})
        self.cases: dict[str, dict[str, Any]] = kept.get("cases", {})
        self.machine: dict[str, Any] = kept.get("machine", {})

    def add(self, case: str, measures: Mapping[str, Sequence[float]], **raw: Any) -> None:
        """Replace a case; kept on disk at once, so that an interrupted run loses nothing."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes")
        self.cases[case] = {"at": now, "load": os.getloadavg()[0], "commit": commit(), **raw}
        self.measures.update({key: [round(value, 6) for value in values] for key, values in measures.items()})
        self._path.write_text(json.dumps(self._document(), indent=1, sort_keys=True) + "\n")

    def note_machine(self, peers: Path | None) -> None:
        self.machine = {
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "versions": {name: _version(name) for name in _OURS} | _versions_of(peers),
        }

    def _document(self) -> dict[str, Any]:
        return {"machine": self.machine, "measures": self.measures, "cases": self.cases}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _versions_of(python: Path | None) -> dict[str, str]:
    if python is None or not python.exists():
        return {}
    code = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *_PEERS], capture_output=True, text=True, check=False)
    return dict(zip(_PEERS, done.stdout.split(), strict=False))


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "?"


def verdict_table(judged: Sequence[Judged]) -> str:
    """What the run prints: a line a mark."""
    lines = []
    for each in judged:
        mark = each.mark
        value = shown(each.median) if each.values else "-"
        aim = shown(mark.aim) if mark.aim is not None else "-"
        sign = ">=" if mark.better == "higher" else "<="
        goal = f"{sign} {shown(mark.required)} / {aim}"
        lines.append(f"{mark.row:>4}  {mark.what:<66} {goal:>20} {value:>9} {mark.unit:<9} {each.verdict.value}")
    return "\n".join(lines)


def write_page(results: Results, path: Path = PAGE) -> None:
    path.write_text("\n".join([*_head(results), *_marks(results), *_tables(results)]) + "\n")


def _head(results: Results) -> list[str]:
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in sorted(machine.get("versions", {}).items()))
    return [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m tests.benchmarks`); every raw figure is in `benchmarks.json`.",
        "",
        "The vendor is nginx over pages made beforehand, 18 fields and about 537 bytes a record, on loopback.",
        "Contenders run one after the other in rounds, every output is checked (every id, in order, none more),",
        "ratios are taken within a round, then the median. CPU is of whole process trees with PostgreSQL and broker,",
        "start-up taken off. The limit loop is pycurl + `msgspec.Raw` + one file, not durable. Haulage is the whole",
        "product, from the submission over HTTP to COMPLETED with the file ready to serve. `load` is the load average",
        "at the end of a case; what is above the case's own is other work on the same cores, and makes it worth less.",
        "",
        f"Machine: {machine.get('cores')} cores, {machine.get('system')}, Python {machine.get('python')}.",
        f"Versions: {versions}.",
        "",
    ]


def _marks(results: Results) -> list[str]:
    lines = [
        "## Marks",
        "",
        "| row | what | required | aim | measured (min to max) | |",
        "|---|---|---|---|---|---|",
    ]
    for each in judge(results.measures):
        mark, sign = each.mark, "≥" if each.mark.better == "higher" else "≤"
        unit = f" {mark.unit}" if mark.unit else ""
        aim = f"{shown(mark.aim)}{unit}" if mark.aim is not None else ""
        lines.append(
            f"| {mark.row} | {mark.what} | {sign} {shown(mark.required)}{unit} | {aim} | {_spread(each)} |"
            f" {_WORDS[each.verdict]} |"
        )
    return [*lines, ""]


_WORDS = {
    Verdict.AIM: "aim reached",
    Verdict.PASS: "pass",
    Verdict.SHORT: "**falls short**",
    Verdict.MISSING: "not measured",
}


def _spread(each: Judged) -> str:
    if not each.values:
        return ""
    if len(each.values) == 1:
        return shown(each.values[0])
    return f"{shown(each.median)} ({shown(min(each.values))} to {shown(max(each.values))})"


def _tables(results: Results) -> list[str]:
    lines = []
    for name, case in sorted(results.cases.items()):
        lines += [f"## {case.get('title', name)}", ""]
        lines += [f"{case['at']}, commit {case['commit']}, load {case['load']:.1f}. {case.get('note', '')}".strip(), ""]
        lines += [*case.get("table", ()), ""]
    return lines


def command_line() -> str:
    return " ".join(["python -m tests.benchmarks", *sys.argv[1:]])
