"""AND, OR and parentheses over tests: what OData and SOQL have in common."""

from __future__ import annotations

from collections.abc import Callable

from app.connectors.pushdown.asked import Asked, asked_of, ends_of
from app.domain.ocnql import And, Between, Condition, Or

Test = Callable[[Asked], str | None]


def boolean_text(condition: Condition, test: Test, *, words: tuple[str, str]) -> str | None:
    """The condition in the vendor's language, `words` being its AND and OR; None if any part of it cannot be said.

    There is no NOT around anything: a vendor that takes more than we mean inside it would take less outside.
    """
    if isinstance(condition, Between):
        condition = And(ends_of(condition))
    if isinstance(condition, And | Or):
        parts = [boolean_text(each, test, words=words) for each in condition.conditions]
        told = [each for each in parts if each is not None]
        word = words[isinstance(condition, Or)]
        return f"({f' {word} '.join(told)})" if len(told) == len(parts) else None
    asked = asked_of(condition)
    return None if asked is None else test(asked)
