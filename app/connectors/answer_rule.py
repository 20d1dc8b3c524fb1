"""When a rule of a connector holds: what the table of statuses and the verdicts on writes have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AnswerRule:
    """What an answer, or a failure in place of one, must be for a rule to hold: every condition that is given."""

    statuses: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    body: str = ""
    header: str = ""
    pointer: str | None = None
    equals: str | None = None
    message: str = ""
