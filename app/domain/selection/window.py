"""The window of time that a job asks for: from, to, filterDateField."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from app.domain.instants import NS_A_DAY, is_date_only, parse_instant

_ACCEPTED = (
    "a date such as 2024-03-01, 2024-03-01T08:30:00Z or 2024-03-01T08:30:00.250+01:00 (without an offset it is UTC), "
    "or an epoch number"
)
_QUOTED_CHARACTERS = 80


class InvalidWindowError(ValueError):
    """A criterion of the window is wrong. `field` is its name on the wire; the text names it, its value, the cure."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self)


@dataclass(frozen=True)
class Window:
    """Records whose date lies between both ends, ends included. Nanoseconds since 1970 UTC, None for an open end.

    `field` is a name or a dotted path.
    """

    field: str
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends, an open one at infinity."""
        return (
            -inf if self.start_ns is None else self.start_ns,
            inf if self.end_ns is None else self.end_ns,
        )


def window_of(field: str | None, from_text: str | None, to_text: str | None) -> Window | None:
    """The window that the criteria ask for; None without `from` and `to`. Raises InvalidWindowError.

    A `to` that is only a date means that whole day (in UTC).
    """
    if from_text is None and to_text is None:
        return None
    if not field or not field.strip():
        named = "from" if from_text is not None else "to"
        raise InvalidWindowError(
            f"filterDateField is missing: {named} needs the name of the record's date field to compare with.",
            field="filterDateField",
        )
    start_ns = None if from_text is None else _instant("from", from_text)
    end_ns = None if to_text is None else _instant("to", to_text)
    if end_ns is not None and to_text is not None and is_date_only(to_text):
        end_ns += NS_A_DAY - 1
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise InvalidWindowError(
            f"from ({_quoted(from_text)}) is later than to ({_quoted(to_text)}); no record can lie between them.",
            field="from",
        )
    return Window(field.strip(), start_ns, end_ns)


def _instant(name: str, text: str) -> int:
    instant_ns = parse_instant(text)
    if instant_ns is None:
        raise InvalidWindowError(f"{name} is {_quoted(text)}, which is no date; expected {_ACCEPTED}.", field=name)
    return instant_ns


def _quoted(text: str | None) -> str:
    text = text or ""
    return repr(text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "...")
