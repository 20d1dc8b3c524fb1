"""When it pays to look for a pattern in the records, and when to let it be."""

from __future__ import annotations

import re

from app.storage.layout import Layout
from app.storage.shape import Tree

FIRST_BYTES = 512 * 1024
"""Lines that no pattern fits: taking these apart costs about as much as making a pattern."""

_SAMPLES = 50  # records learned from at a time


class LearnedPattern:
    """A pattern (see `Layout.pattern`) that is made anew from the lines that it did not fit.

    Each time twice as many have to come together first, so that records which are all different cost little more than
    without it. There is none while most of what comes does not fit.
    """

    def __init__(self, columns: Tree | None = None) -> None:
        self.compiled: re.Pattern[bytes] | None = None
        self._columns = columns
        self._layout = Layout()
        self._wanted_bytes = FIRST_BYTES
        self._odd_bytes = 0
        self._fitting_bytes = 0

    def note(self, odd: bytes, fitting_bytes: int = 0) -> None:
        """Take in lines that it did not fit, or that came while there was none, and how much it did fit."""
        self._odd_bytes += len(odd)
        self._fitting_bytes += fitting_bytes
        if self._odd_bytes >= self._wanted_bytes:
            lines = [line for line in odd.split(b"\n") if line]
            self._learn(lines[:: -(-len(lines) // _SAMPLES)])
            self._wanted_bytes *= 2
            self._odd_bytes = self._fitting_bytes = 0

    def _learn(self, lines: list[bytes]) -> None:
        for line in lines:
            self._layout.learn(line)
        text = self._layout.pattern(self._columns)
        pattern = re.compile(text) if text else None
        is_kept = pattern and (self._odd_bytes <= self._fitting_bytes or 2 * self._fitting(pattern, lines) > len(lines))
        self.compiled = pattern if is_kept else None

    def _fitting(self, pattern: re.Pattern[bytes], lines: list[bytes]) -> int:
        matches = [pattern.match(line + b"\n") for line in lines]
        has_groups = [match is not None and match.lastindex is not None for match in matches]
        return has_groups.count(self._columns is not None)
