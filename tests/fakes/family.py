"""A vendor whose records refer to accounts and have notes below them, and the connector that says so."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import structs

from app.http_client import Beat, Headers, Request, Response
from tests.fakes.list_vendor import ListVendor, document

LOST = 4
"""Of account and record of this number the vendor knows nothing more."""


def family_document(kind: str = "page") -> dict[str, Any]:
    """Records as ever; accounts by key; notes below each record, page by page."""
    made = document(kind)
    empty_list = {"path": "/accounts", "records": "", "page": {"kind": "none"}}
    made["objects"]["accounts"] = {
        "id": "/id",
        "list": empty_list,
        "get": {"path": "/accounts/{id}", "record": "/data"},
    }
    made["objects"]["notes"] = {
        "id": "/id",
        "list": {
            "path": "/records/{parent.id}/notes",
            "parent": "records",
            "records": "/notes",
            "page": {"kind": "page", "param": "page", "size_param": "size", "size": 2, "stop": "short"},
        },
    }
    return made


class Family(ListVendor):
    """Record n refers to account n % 7 (none where that is 0) and has n % 4 notes. `looked_up` counts child calls."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.looked_up: Counter[str] = Counter()

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        parts = urlsplit(request.url).path.strip("/").split("/")
        if parts[0] == "accounts":
            self.looked_up["/".join(parts)] += 1
            found = None if int(parts[1]) == LOST else b'{"data": %s, "next": null}' % account_text(int(parts[1]))
            return _answer(request, found)
        if parts[-1] == "notes":
            self.looked_up["/".join(parts)] += 1
            return _answer(request, self._notes(request, int(parts[1])))
        answer = super().request(request, beat)
        body = json.loads(answer.body)
        body["records"] = [parent(each["id"]) for each in body["records"]]
        return structs.replace(answer, body=json.dumps(body).encode())

    @staticmethod
    def _notes(request: Request, number: int) -> bytes | None:
        if number == LOST:
            return None
        params = dict(parse_qsl(urlsplit(request.url).query))
        size, start = int(params["size"]), (int(params["page"]) - 1) * int(params["size"])
        return b'{"notes": [%s]}' % b",".join(note_texts(number)[start : start + size])


def parent(number: int) -> dict[str, Any]:
    """A record as its list gives it."""
    return {
        "id": number,
        "accountId": str(number % 7) if number % 7 else None,
        "kind": "even" if number % 2 == 0 else "odd",
    }


def account_text(number: int) -> bytes:
    """With spelling that a decoder would change."""
    return b'{"id": "%d", "size":1.50, "note":null}' % number


def note_texts(number: int) -> list[bytes]:
    return [b'{"id":"%d-%d","weight":2.0e3}' % (number, at) for at in range(number % 4)]


def with_account(number: int) -> bytes:
    """The record as a job with `child` accounts gives it."""
    key = number % 7
    if key == LOST:
        return b'{"id": %d,"accountId": "%d","kind": "%s","account":null}' % (number, key, _kind(number))
    account = account_text(key) if key else b"null"
    return b'{"id": %d,"account":%s,"kind": "%s"}' % (number, account, _kind(number))


def with_notes(number: int) -> bytes:
    """The record as a job with `child` notes gives it."""
    notes = b",".join([] if number == LOST else note_texts(number))
    key = b'"%d"' % (number % 7) if number % 7 else b"null"
    return b'{"id": %d,"accountId": %s,"kind": "%s","notes":[%s]}' % (number, key, _kind(number), notes)


def _kind(number: int) -> bytes:
    return b"even" if number % 2 == 0 else b"odd"


def _answer(request: Request, body: bytes | None) -> Response:
    return Response(404 if body is None else 200, Headers([]), body or b"{}", request.url, 0.0)
