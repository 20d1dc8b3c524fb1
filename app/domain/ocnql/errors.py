"""What is wrong with a query, and where."""

from __future__ import annotations

_SHOWN_CHARS = 40


class OcnqlError(ValueError):
    """The text is no query. The message begins `Error parsing query`; `position` counts characters from 1.

    The domain knows no errors of the base layer: a door answers with `InvalidInputError(error.message, field=...)`.
    """

    def __init__(self, position: int, found: str, accepted: str) -> None:
        super().__init__(f"Error parsing query at character {position}: {found}; accepted: {accepted}.")
        self.position = position

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self)


def shown(text: str) -> str:
    """A piece of the query as an error quotes it."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")
