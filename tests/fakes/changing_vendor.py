"""A vendor in memory with a clock of its own, whose records come, change and go between and during the calls."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.http_client import Beat, Headers, Request, Response

START = datetime(2024, 3, 1, 9, 0, tzinfo=UTC)
_FILTER = re.compile(r"(\w+ (?:ge|eq)) (\S+)")


@dataclass(frozen=True)
class Version:
    """One state of one record. `shown_at`: when it came into the list, perhaps later than its own date says."""

    id: int
    number: int
    changed: datetime
    shown_at: datetime

    @property
    def record(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "changed": self.changed.isoformat(),
            "version": self.number,
            "status": "closed" if self.is_closed else "open",
        }

    @property
    def is_closed(self) -> bool:
        """Every other state of a record."""
        return self.number % 2 == 0


Order = Callable[[Version], tuple[Any, ...]]

BY_ID: Order = lambda version: (version.id,)  # noqa: E731 - one of several orders
UNSORTED: Order = lambda version: (version.id * 7919 % 104729, version.id)  # noqa: E731
BY_DATE: Order = lambda version: (version.changed.timestamp(), version.id)  # noqa: E731
NEWEST_FIRST: Order = lambda version: (-version.changed.timestamp(), version.id)  # noqa: E731


@dataclass
class ChangingVendor:
    """One list, read by a cursor that says behind which record to go on in `order`. Each call takes `call_s`.

    It can be asked for less: `since` and `until` (moments, included), `behind_day` (a day, not included), `status`, and
    `$filter` with any of `changed ge` and `status eq`. `asked`: how often each of these was.
    """

    order: Order = UNSORTED
    call_s: float = 0.0
    now: datetime = START
    current: dict[int, Version] = field(default_factory=dict)
    gone_at: dict[tuple[int, int], datetime] = field(default_factory=dict)
    """(id, version) -> when it was replaced or deleted."""
    past: list[Version] = field(default_factory=list)
    """Every version that ever was."""
    state_counts: Counter[int] = field(default_factory=Counter)
    """Id -> how many of them are of this record."""
    call_count: int = 0
    is_clockless: bool = False
    overlap: int = 0
    """So many records of a page stand on the next one as well."""
    while_called: Callable[[], object] = lambda: None
    asked: Counter[str] = field(default_factory=Counter)

    def put(self, record_id: int, changed: datetime | None = None) -> Version:
        """A new record, or a new state of one."""
        self.remove(record_id)
        self.state_counts[record_id] += 1
        version = Version(record_id, self.state_counts[record_id], changed or self.now, self.now)
        self.current[record_id] = version
        self.past.append(version)
        return version

    def put_again(self, record_id: int, number: int) -> None:
        """The record is back in an earlier state, byte for byte."""
        self.current[record_id] = next(each for each in self.past if (each.id, each.number) == (record_id, number))

    def remove(self, record_id: int) -> None:
        """It is not in the list any more."""
        version = self.current.pop(record_id, None)
        if version is not None:
            self.gone_at[version.id, version.number] = self.now

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)

    def request(self, request: Request, beat: Beat | None = None) -> Response:  # noqa: ARG002 - the client's signature
        self.while_called()
        self.call_count += 1
        params = dict(parse_qsl(urlsplit(request.url).query))
        behind = tuple(json.loads(params["cursor"])) if "cursor" in params else ()
        by_key = {self.order(each): each for each in self.current.values() if self._is_wanted(each, params)}
        found = sorted(key for key in by_key if key > behind)
        size = int(params["size"])
        self.asked.update(params.keys())
        token = json.dumps(found[size - 1 - self.overlap]) if len(found) > size else None
        body = {"records": [by_key[key].record for key in found[:size]], "token": token}
        self.now += timedelta(seconds=self.call_s)
        date = [] if self.is_clockless else [("Date", format_datetime(self.now, usegmt=True))]
        return Response(200, Headers(date), json.dumps(body).encode(), request.url, 0.0)

    @staticmethod
    def _is_wanted(version: Version, params: dict[str, str]) -> bool:
        tests = dict(_FILTER.findall(params.get("$filter", "")))
        since = params.get("since") or tests.get("changed ge")
        status = params.get("status") or tests.get("status eq", "").strip("'")
        return (
            (since is None or version.changed >= datetime.fromisoformat(since))
            and ("until" not in params or version.changed <= datetime.fromisoformat(params["until"]))
            and f"{version.changed:%Y-%m-%d}" > params.get("behind_day", "")
            and (not status or version.record["status"] == status)
        )
