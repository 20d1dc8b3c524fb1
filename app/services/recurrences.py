"""From the texts of a schedule to its due times."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

from app.domain.cron import Cron, CronError
from app.domain.due_times import Recurrence
from app.errors import InvalidInputError

_LONGEST_ZONE = 100


@lru_cache(maxsize=1024)
def recurrence_of(cron: str, time_zone: str) -> Recurrence:
    """Raises InvalidInputError that names the field, its value and what is accepted."""
    try:
        return Recurrence(Cron.parse(cron), _zone(time_zone))
    except CronError as error:
        raise InvalidInputError(f"cron: {error}", field="/cron") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a path, a folder of the data, no zone
        raise InvalidInputError(
            f"timeZone {name[:_LONGEST_ZONE]!r} is not accepted: a name of the IANA time zone database, such as UTC, "
            "Europe/Berlin or America/New_York.",
            field="/timeZone",
        ) from None
