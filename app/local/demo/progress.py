"""Live progress of a job: a bar on a terminal, a line a second elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 1.0


class JobProgress:
    """Told the record count again and again; knows how many there will be."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started_at_s = self._line_at_s = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            columns = (BarColumn(bar_width=40), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(TextColumn("  downloading"), *columns, TimeElapsedColumn())
            self._task = self._bar.add_task("records", total=self._total, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, record_count: int, note: str) -> None:
        """`note` says in a few words what goes on."""
        if self._bar is not None:
            self._bar.update(self._task, completed=record_count, note=note)
        elif time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + _LINE_EVERY_S
            elapsed_s = time.monotonic() - self._started_at_s
            print(f"  {elapsed_s:5.1f} s  {record_count:>9,} of {self._total:,} records  {note}", flush=True)
