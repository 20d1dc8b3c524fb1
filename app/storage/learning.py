"""The pattern of CSV columns, learned as records come."""

from __future__ import annotations

from app.domain import learning
from app.storage.layout import Layout
from app.storage.shape import Tree


class LearnedPattern(learning.LearnedPattern[Layout]):
    """A pattern (see `Layout.pattern`) that is made anew from the lines that it did not fit."""

    def __init__(self, columns: Tree | None = None) -> None:
        has_groups = columns is not None
        super().__init__(
            Layout(),
            lambda layout: layout.pattern(columns),
            lambda match: (match.lastindex is not None) == has_groups,
        )
