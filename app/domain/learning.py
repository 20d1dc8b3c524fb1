"""When it pays to look for a pattern in the records, and when to let it be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

from app.domain.layout import Layout

FIRST_BYTES = 1024 * 1024
"""Lines that no pattern fits. Taking these apart costs about as much as making a pattern for records like them."""

_USUAL_WIDTH = 16  # more members take longer to make a pattern for
_SAMPLES = 50  # records learned from at a time, fewer of long ones
_SAMPLE_BYTES = 64 * 1024
_GOLDEN_RATIO = 0.618034


_AnyLayout = TypeVar("_AnyLayout", bound=Layout)


class LearnedPattern(Generic[_AnyLayout]):
    """A pattern that is made anew from the lines that it did not fit.

    Each time twice as many have to come together first, so that records which are all different cost little more than
    without it. There is none while most of what comes does not fit. `pattern_of` says what a layout makes, None for
    nothing; `fits` whether a match is of a line that is laid out so.
    """

    def __init__(
        self,
        layout: _AnyLayout,
        pattern_of: Callable[[_AnyLayout], bytes | None],
        fits: Callable[[re.Match[bytes]], bool],
    ) -> None:
        self.compiled: re.Pattern[bytes] | None = None
        self._layout = layout
        self._pattern_of = pattern_of
        self._fits = fits
        self._wanted_bytes = FIRST_BYTES
        self._odd_bytes = 0
        self._fitting_bytes = 0

    def note(self, odd: bytes, fitting_bytes: int = 0) -> None:
        """Take in lines that it did not fit, or that came while there was none, and how much it did fit."""
        self._odd_bytes += len(odd)
        self._fitting_bytes += fitting_bytes
        if odd and self._odd_bytes >= self._wanted_bytes:
            self._learn(_some_lines(odd))

    def _learn(self, lines: list[bytes]) -> None:
        for line in lines:
            self._layout.learn(line)
        worth_bytes = FIRST_BYTES * self._layout.width // _USUAL_WIDTH
        if self._odd_bytes < worth_bytes:
            self._wanted_bytes = worth_bytes
            return
        self._wanted_bytes *= 2
        text = self._pattern_of(self._layout)
        pattern = re.compile(text) if text else None
        re.purge()  # its cache would keep every pattern of every leg
        is_kept = pattern and (self._odd_bytes <= self._fitting_bytes or 2 * self._fitting(pattern, lines) > len(lines))
        self.compiled = pattern if is_kept else None
        self._odd_bytes = self._fitting_bytes = 0

    def _fitting(self, pattern: re.Pattern[bytes], lines: list[bytes]) -> int:
        matches = [pattern.match(line + b"\n") for line in lines]
        return sum(match is not None and self._fits(match) for match in matches)


def _some_lines(block: bytes) -> list[bytes]:
    """Lines from all over the block, at unequal distances: what recurs every few lines must not be missed."""
    lines = [line for line in block.split(b"\n") if line]
    count = min(_SAMPLES, len(lines), max(_SAMPLE_BYTES * len(lines) // len(block), 1))
    return [lines[int(len(lines) * (number * _GOLDEN_RATIO % 1))] for number in range(count)]
