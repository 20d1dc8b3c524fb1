"""What every measure must reach: the one table of marks, and the judgement.

Rows 1 to 14 are those of the performance targets; `api`, `many` and `soak` are the load figures of issue 3, `slices`
that of issue 4; `callbacks` is our own.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


@dataclass(frozen=True)
class Mark:
    """One goal. `better` says on which side of `required` a figure passes; no `aim` means that required is all."""

    row: str
    key: str
    what: str
    better: Literal["higher", "lower"]
    required: float
    aim: float | None = None
    unit: str = ""

    def reaches(self, value: float, goal: float) -> bool:
        return value >= goal if self.better == "higher" else value <= goal


class Verdict(StrEnum):
    AIM = "aim"
    PASS = "pass"
    SHORT = "short"
    MISSING = "not measured"


@dataclass(frozen=True)
class Judged:
    """A mark and what was measured for it; `values` are one a round (or a single one)."""

    mark: Mark
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> Verdict:
        if not self.values:
            return Verdict.MISSING
        if not self.mark.reaches(self.median, self.mark.required):
            return Verdict.SHORT
        if self.mark.aim is None:
            return Verdict.PASS
        return Verdict.AIM if self.mark.reaches(self.median, self.mark.aim) else Verdict.PASS


MARKS: tuple[Mark, ...] = (
    Mark("0", "vendor.rate", "vendor's own rate, x limit loop", "higher", 3),
    Mark("1", "page200.rate", "200 a page: records/s, x limit loop", "higher", 0.7, 1.0),
    Mark("1", "numbered200.rate", "the same, numbered pages with a total", "higher", 0.7, 1.0),
    Mark("1", "peers.dlt_rest", "records/s, x dlt", "higher", 15, 25),
    Mark("1", "peers.airbyte_cdk", "records/s, x airbyte-cdk", "higher", 20, 35),
    Mark("1", "peers.celery_pages", "records/s, x one Celery task a page", "higher", 8, 15),
    Mark("1", "peers.requests_loop", "records/s, x requests + json", "higher", 5, 9),
    Mark("2", "page200.cpu", "200 a page: CPU of the whole tree, x limit loop", "lower", 1.8, 1.4),
    Mark("3", "page2000.rate", "2,000 a page: records/s, x limit loop", "higher", 0.75, 0.95),
    Mark("3", "page2000.cpu", "2,000 a page: CPU, x limit loop", "lower", 1.8, 1.5),
    Mark("4", "durable.time", "price of durability, time", "lower", 15, 5, "%"),
    Mark("4", "durable.cpu", "price of durability, CPU", "lower", 8, 5, "%"),
    Mark("4", "durable.repeated", "work repeated after kill -9", "lower", 1, None, "s"),
    Mark("5", "slow50.rate", "50 ms latency, sequential: records/s, x limit loop", "higher", 0.97, 1.0),
    Mark("6", "overlap.ahead4", "50 ms latency, numbered pages, 4 ahead: x limit loop", "higher", 3.3, 3.8),
    Mark("6", "overlap.ahead8", "the same, 8 ahead", "higher", 6, 7),
    Mark("slices", "slices.two", "one sliced job, 100 ms: 2 worker processes of one slot, x 1", "higher", 1.9, None),
    Mark("slices", "slices.four", "the same, 4 processes", "higher", 3.6, None),
    Mark("7", "jobs100.rate", "100 jobs at 50 ms, one worker process", "higher", 80_000, 140_000, "records/s"),
    Mark("7", "jobs100.rss", "the same, peak RSS of that process", "lower", 250, 220, "MB"),
    Mark("8", "page200.rss", "peak RSS of our largest process, 200 a page", "lower", 95, 80, "MB"),
    Mark("8", "page2000.rss", "the same, 2,000 a page", "lower", 115, 95, "MB"),
    Mark("8", "memory.growth200", "the same, 3M against 100k records, 200 a page", "lower", 5, None, "%"),
    Mark("8", "memory.growth2000", "the same, 2,000 a page", "lower", 5, None, "%"),
    Mark("8", "memory.growth10m", "the same, 10M against 100k records, 2,000 a page", "lower", 5, None, "%"),
    Mark("8", "memory.s3", "peak RSS more with S3", "lower", 25, None, "MB"),
    Mark("9", "gzip2000.rate", "gzip answers, 2,000 a page: records/s, x limit loop", "higher", 1.2, 1.6),
    Mark("10", "served.json", "JSON array served, rate x JSONL", "higher", 0.65, 0.8),
    Mark("10", "served.gzip", "gzip served: CPU x plain JSONL (a byte copy)", "lower", 0.25, None),
    Mark("11", "fields.cpu", "6 of 18 fields: CPU of download and output, x limit loop's plain", "lower", 3, 2.3),
    Mark("12", "csv.cpu", "CSV: CPU of download and render, x limit loop's plain", "lower", 6.5, 4.5),
    Mark("13", "start.p50", "submit to first vendor call, idle, p50", "lower", 60, 25, "ms"),
    Mark("api", "api.submit_p99", "200 submissions/s, workers stopped: p99", "lower", 100, None, "ms"),
    Mark("api", "api.submit_rate", "the same, rate kept", "higher", 198, None, "/s"),
    Mark("api", "api.status_rate", "500 status reads/s, rate kept", "higher", 495, None, "/s"),
    Mark("api", "api.jobs_p99", "/bulk/jobs with 1M jobs: p99", "lower", 50, None, "ms"),
    Mark("api", "api.narrow_p99", "the same, of a state that no job has: p99", "lower", 50, None, "ms"),
    Mark("api", "api.status_p99", "/status with 1M jobs: p99", "lower", 50, None, "ms"),
    Mark("api", "api.claim_p99", "claim with 1M jobs: p99", "lower", 20, None, "ms"),
    Mark("api", "api.sweep", "sweep of 10,000 due jobs", "lower", 1, None, "s"),
    Mark("many", "many.gap", "200 jobs, 16 slots, 200 ms: longest time without a commit", "lower", 30, None, "s"),
    Mark("many", "many.fair", "the same: max/median progress", "lower", 1.5, None),
    Mark("many", "many.rate", "the same: calls/s, x slots / latency", "higher", 0.9, None),
    Mark("many", "many.rss", "the same: total RSS of our processes", "lower", 600, None, "MB"),
    Mark("many", "many.finished", "1,000 jobs at once: share finished", "higher", 1, None),
    Mark("many", "many.starved", "the same: longest wait for a slot", "lower", 30, None, "s"),
    Mark("many", "many.queue", "the same: most messages queued", "lower", 64, None),
    Mark("many", "many.tables", "the same: tables and indexes", "lower", 20, None, "MB"),
    Mark("many", "many.dead", "the same: dead rows", "lower", 20_000, None),
    Mark("many", "many.rss1000", "the same: total RSS of our processes", "lower", 600, None, "MB"),
    Mark("uploads", "uploads.rate", "100,000 rows, 50 ms, 64 calls at once: x theory", "higher", 0.8, 0.95),
    Mark("uploads", "uploads.memory", "1 GB of CSV, peak RSS against 100 MB", "lower", 10, 5, "%"),
    Mark("push", "destinations.gcs_growth", "1 GB to Google's emulator, peak RSS against 200 MB", "lower", 10, 5, "%"),
    Mark("push", "destinations.azure_growth", "1 GB to Azure's emulator, the same", "lower", 10, 5, "%"),
    Mark("push", "destinations.s3_rate", "1 GB to S3: rate, x boto3.upload_fileobj", "higher", 0.7, 1.0),
    Mark("push", "destinations.s3_cpu", "the same: client's CPU more than for a copy", "lower", 4, None, "s/GB"),
    Mark("push", "destinations.s3_growth", "5 GB to S3, peak RSS against 1 GB", "lower", 10, 5, "%"),
    Mark("push", "destinations.sftp_cpu", "1 GB to OpenSSH: client's CPU", "lower", 4, None, "s/GB"),
    Mark("push", "destinations.sftp_growth", "5 GB to OpenSSH, peak RSS against 1 GB", "lower", 10, 5, "%"),
    Mark("push", "destinations.file_memory", "1 GB into a folder: peak RSS", "lower", 60, None, "MB"),
    Mark(
        "callbacks",
        "callbacks.p99",
        "10,000 callbacks, a tenth of the receivers dead: p99 of others",
        "lower",
        5,
        1,
        "s",
    ),
    Mark("soak", "soak.rss", "30 minutes, a kill every 30 s: RSS growth", "lower", 5, None, "%"),
    Mark("soak", "soak.files", "the same: open files growth", "lower", 5, None, "%"),
    Mark("soak", "soak.connections", "the same: database connections growth", "lower", 5, None, "%"),
    Mark("soak", "soak.dead", "the same: dead tuples growth", "lower", 100, None, "%"),
    Mark("soak", "soak.tables", "the same: size of the tables, growth", "lower", 20, None, "%"),
    Mark("soak", "soak.broker", "the same: broker's memory growth", "lower", 20, None, "%"),
    Mark("soak", "soak.storage", "the same: objects, leftovers and folders, growth", "lower", 50, None, "%"),
)


def judge(measured: Mapping[str, Sequence[float]], marks: Iterable[Mark] = MARKS) -> list[Judged]:
    return [Judged(mark, tuple(measured.get(mark.key, ()))) for mark in marks]


def shown(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
