"""A vendor in memory that serves one list under any page kind: a function from request to response, no socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.http_client import Beat, Headers, Request, Response
from tests.fakes.sending import Deferred

BASE_URL = "https://vendor.test"
RECORDS = "/records"

PAGES: dict[str, dict[str, Any]] = {
    "none": {"kind": "none"},
    "page": {"kind": "page", "param": "page", "size_param": "size"},
    "page_from_0": {"kind": "page", "param": "page", "start": 0, "size_param": "size"},
    "page_counted": {"kind": "page", "param": "page", "size_param": "size", "pages": "/pages"},
    "page_short": {"kind": "page", "param": "page", "size_param": "size", "stop": "short"},
    "page_more": {"kind": "page", "param": "page", "size_param": "size", "more": "/more"},
    "offset": {"kind": "offset", "param": "offset", "size_param": "size"},
    "offset_short": {"kind": "offset", "param": "offset", "size_param": "size", "stop": "short"},
    "cursor": {"kind": "cursor", "at": "/token", "param": "cursor", "size_param": "size"},
    "cursor_header": {"kind": "cursor", "header": "X-Next", "param": "cursor", "size_param": "size"},
    "next_url": {"kind": "next_url", "at": "/next", "size_param": "size"},
    "link": {"kind": "link", "size_param": "size"},
    "odata": {"kind": "odata"},
    "keyset": {"kind": "keyset", "field": "/id", "param": "after", "size_param": "size"},
}


def document(name: str, **overrides: Any) -> dict[str, Any]:
    """A connector document for the list under the page kind called `name`; `overrides` go into `list`."""
    page = {**PAGES[name], **overrides.pop("page", {})}
    return {
        "format": 1,
        "key": "vendor",
        "base_url": BASE_URL,
        "auth": {"kind": "none"},
        "objects": {"records": {"id": "/id", "list": {"path": "/list", "records": RECORDS, "page": page, **overrides}}},
    }


@dataclass
class ListVendor(Deferred):
    """Records {"id": 1} to {"id": count}. `page_max` cuts the size without a word; `calls` are the URLs asked.

    `past_end`: "empty", "repeat" or "error", or "always" for an error at any page.
    """

    count: int
    page_max: int = 1000
    past_end: str = "empty"
    total: int | None = None
    calls: list[str] = field(default_factory=list)

    def request(self, request: Request, beat: Beat | None = None) -> Response:  # noqa: ARG002 - the signature of the client
        """Answer one call."""
        self.calls.append(request.url)
        params = dict(parse_qsl(urlsplit(request.url).query))
        prefer = dict(request.headers).get("Prefer", "").rpartition("=")[2]
        size = min(int(params.get("size") or prefer or self.count or 1), self.page_max)
        begin = self._begin(params, size)
        if self.past_end == "always" or (begin >= self.count > 0 and self.past_end == "error" and begin):
            return _response(request, 400, {"error": "no such page"})
        if begin >= self.count and self.past_end == "repeat":
            begin = max(0, (self.count - 1) // size * size)
        ids = range(begin + 1, min(begin + size, self.count) + 1)
        return _response(request, 200, *self._answer(ids, size))

    def _begin(self, params: Mapping[str, str], size: int) -> int:
        if "page" in params:
            return (int(params["page"]) - (0 if self._is_from_0 else 1)) * size
        for name in ("offset", "after", "cursor", "skip"):
            if name in params:
                return int(params[name])
        return 0

    @property
    def _is_from_0(self) -> bool:
        return "page=0" in self.calls[0]

    def _answer(self, ids: range, size: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        end = ids.stop - 1
        has_more = 0 < end < self.count and len(ids) > 0
        following = f"/list?skip={end}&size={size}"
        body: dict[str, Any] = {
            "records": [{"id": number} for number in ids],
            "next": None,
            "more": has_more,
            "pages": -(-self.count // size),
            "total": self.count if self.total is None else self.total,
        }
        headers = [("Date", "Sun, 22 Nov 2026 06:00:00 GMT")]
        if has_more:
            body |= {"next": following, "token": end, "@odata.nextLink": following}
            headers += [("X-Next", str(end)), ("Link", f'<{BASE_URL}{following}>; rel="next"')]
        return body, headers


def _response(request: Request, status: int, body: Any, headers: list[tuple[str, str]] | None = None) -> Response:
    return Response(status, Headers(headers or []), json.dumps(body).encode(), request.url, 0.0)
