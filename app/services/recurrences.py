"""From the texts of a schedule to its due times."""

from __future__ import annotations

import re
from functools import lru_cache
from zoneinfo import ZoneInfo

from app.domain.cron import Cron, CronError
from app.domain.due_times import Recurrence
from app.errors import InvalidInputError

_LONGEST_ZONE = 100
_OF_THE_MACHINE = re.compile(r"(right|posix)/.*|localtime|posixrules|Factory")
"""Files beside the zones: what they say hangs on the machine that reads them, `right/` is 27 s of leap seconds off."""


@lru_cache(maxsize=1024)
def recurrence_of(cron: str, time_zone: str) -> Recurrence:
    """Raises InvalidInputError that names the field, its value and what is accepted."""
    try:
        return Recurrence(Cron.parse(cron), _zone(time_zone))
    except CronError as error:
        raise InvalidInputError(f"cron: {error}", field="/cron") from None


def _zone(name: str) -> ZoneInfo:
    try:
        zone = None if _OF_THE_MACHINE.fullmatch(name) else ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # a path, a folder of the data, no zone
        zone = None
    if zone is None:
        raise InvalidInputError(
            f"timeZone {name[:_LONGEST_ZONE]!r} is not accepted: a name of the IANA time zone database, such as UTC, "
            "Europe/Berlin or America/New_York.",
            field="/timeZone",
        )
    return zone
