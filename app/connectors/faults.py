"""An answer that arrived whole and cannot be right."""

from __future__ import annotations

from typing import Literal

FaultKind = Literal[
    "loop",  # the cursor came back
    "repeat",  # a page came twice
    "collapse",  # the vendor's total fell to nothing
    "short_end",  # the list ends before its exact total
    "too_many_empty",
    "bad_cursor",  # a token, key or count of a type that cannot be one
    "bad_link",
    "foreign_host",
    "missing_records",
    "not_json",
]

PERMANENT: frozenset[FaultKind] = frozenset({"foreign_host", "bad_link"})


EXPIRY: frozenset[FaultKind] = frozenset({"collapse", "short_end"})
"""An expired session may answer like this, with status 200."""


class PageFault(Exception):  # noqa: N818 - the design's word: a fault of the vendor's page
    """The vendor's answer contradicts itself, the pages before it or the connector. The message is for a person."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind

    @property
    def is_permanent(self) -> bool:
        """Whether reading again cannot help: the connector has to be edited."""
        return self.kind in PERMANENT

    @property
    def may_be_expiry(self) -> bool:
        """Whether the vendor may have taken the credentials for nobody's."""
        return self.kind in EXPIRY
