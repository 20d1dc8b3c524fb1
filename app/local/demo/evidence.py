"""What the demo has shown, for a person who doubts it."""

from typing import Any

from app.local.demo.comparison import Comparison
from app.local.demo.journey import Download


def evidence_lines(result: Download, found: Comparison, *, vendor_calls: int, kills: int) -> list[str]:
    """Name and value, aligned; the verdict last."""
    metadata: dict[str, Any] = result.status["metadata"]
    rate = found.file_count / result.job_s
    facts = [
        ("records", f"{found.file_count:,} in the file, {found.source_count:,} in the source"),
        ("duplicates, missing", f"{found.duplicate_count}, {found.missing_count}"),
        ("pages", f"{metadata.get('pageCount', '?')}"),
        ("vendor calls", _calls(metadata["totalApiCallCount"], vendor_calls)),
        ("worker killed", f"{kills} times" if kills else "no (make demo-kill does)"),
        ("callback", f"{result.callback_id}: {result.callback['status']}, both signatures good"),
        ("job", f"{result.job_s:.1f} s from submission to the end, {rate:,.0f} records/s"),
        ("file", f"{result.file}, {result.file.stat().st_size:,} bytes, fetched in {result.file_s:.1f} s"),
        ("SHA-256", found.sha256),
        ("evidence of the job", str(metadata.get("evidence") or result.status["statusMessage"])),
    ]
    lines = [f"  {name:<20} {value}" for name, value in facts]
    lines += [f"  DIFFERENCE           {text}" for text in found.differences]
    if found.exact:
        return [*lines, f"\nExact: all {found.source_count:,} records, every field, once, in order."]
    return [*lines, "\nNOT exact: the file is not the source."]


def _calls(committed: int, logged: int) -> str:
    """A crash loses the calls since the last checkpoint; their pages are asked for again."""
    again = f", {logged - committed} of them made again after a crash" if logged > committed else ""
    return f"{committed} committed by the job, {logged} in the vendor's own log{again}"
