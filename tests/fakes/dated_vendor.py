"""A vendor in memory whose list can be narrowed to a range of dates: page numbers, a total, both ends included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.domain.instants import parse_instant
from app.http_client import Beat, Headers, Request, Response
from tests.fakes.list_vendor import ListVendor, document

DATES = {"at": {"from": "since", "to": "until", "slices": {"shortest": "1d"}}}


def dated_document(**dates: Any) -> dict[str, Any]:
    """A connector for it; `dates` go into the declaration of the field `at`."""
    return document("page", total="/total", dates={"at": {**DATES["at"], **dates}})


@dataclass
class DatedVendor(ListVendor):
    """Serves `records`, in their order. Those without a date are in every range if `undated_always`, else in none."""

    count: int = 0
    records: Sequence[dict[str, Any]] = ()
    undated_always: bool = False
    failing: dict[str, int] = field(default_factory=dict)
    """Value of `since` -> status of every answer to it."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:  # noqa: ARG002 - the client's signature
        self.calls.append(request.url)
        params = dict(parse_qsl(urlsplit(request.url).query))
        status = self.failing.get(params.get("since", ""), 200)
        if status != 200:
            return Response(status, Headers([]), b'{"error": "no"}', request.url, 0.0)
        found = [each for each in self.records if self._is_in_range(each, params)]
        size, page = int(params["size"]), int(params["page"])
        body = {"records": found[(page - 1) * size : page * size], "total": len(found)}
        return Response(200, Headers([]), json.dumps(body).encode(), request.url, 0.0)

    def _is_in_range(self, record: dict[str, Any], params: dict[str, str]) -> bool:
        at = parse_instant(record.get("at"))
        if at is None:
            return self.undated_always or "since" not in params
        low, high = (parse_instant(params.get(name)) for name in ("since", "until"))
        return (low is None or low <= at) and (high is None or at <= high)
