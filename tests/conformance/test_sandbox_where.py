"""Push-down end to end: the sandbox connector against the real sandbox, through the real HTTP client."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from app.connectors.client import GotPage, VendorClient
from app.connectors.objects import find_object
from app.connectors.pushdown import pushed
from app.connectors.registry import catalogue
from app.connectors.spec import load_connector, resolve_settings
from app.domain.ocnql import compile_condition, parse_condition
from app.http_client import HttpClient
from app.sandbox import Account, SandboxServer
from tests.fakes.naive_client import NaiveClient

CONNECTOR = load_connector(catalogue()["sandbox"])
COUNT = 230

CASES = [
    # object, condition, whether the vendor is to send no more than fulfils it
    ("records_page", "group = 'a'", True),
    ("records_page", "group = 'b' and active = true and archived = false", True),
    ("records_page", "group = 'a' and name like 'Ada%'", False),
    ("records_page", "group in ('a', 'b')", False),
    ("records_page", "email = 'O''Neil & Söhne, 100%+?#'", True),
    ("records_odata", "id > 20 and id <= 31 and group != 'a'", True),
    ("records_odata", "(group = 'a' or id in (3, 4)) and active = true", True),
    ("records_odata", "email like 'user1%@example.test'", True),
    ("records_odata", "createdAt between 2024-01-01T02:00:00+01:00 and '2024-01-01T02:00:00Z'", True),
    ("records_odata", "updatedAt >= 2024-01-02T00:10:00Z and address.city = 'Kyoto'", False),
    ("records_odata", "not (group = 'a' and active = true)", False),
    ("records_odata2", "createdAt >= 2024-01-01T03:00:00Z and email like '%9@example.test'", True),
    ("records_odata2", "group not in ('a', 'b') and tags = 'vip'", False),
    ("records_cursor", "group = 'a'", False),
]


def download(client: VendorClient, params: dict[str, str]) -> list[bytes]:
    lines: list[bytes] = []
    cursor: Any = None
    while True:
        result = client.fetch(cursor, 20, params)
        assert isinstance(result, GotPage), result
        lines += map(bytes, result.page.records)
        if result.next.is_exhausted:
            return lines
        cursor = json.loads(json.dumps(result.next.cursor))


@pytest.mark.parametrize(("name", "where", "is_whole"), CASES, ids=[f"{name} {where}" for name, where, _ in CASES])
def test_the_vendor_sends_less_and_the_result_is_the_same(
    sandbox: SandboxServer, account: Account, http: HttpClient, name: str, where: str, is_whole: bool
) -> None:
    account.configure(records=COUNT)
    condition = parse_condition(where)
    take = compile_condition(condition)
    expected = [line for line in account.expected() if take(json.loads(line, parse_float=Decimal))]
    told = pushed(find_object(CONNECTOR, name).list.where, condition)
    given = {"base_url": sandbox.url, "username": account.name, "password": "any"}
    instance = resolve_settings(CONNECTOR, given)
    sent = download(VendorClient(CONNECTOR, name, instance.config, instance.secrets, http), told.params)
    assert [line for line in sent if take(json.loads(line, parse_float=Decimal))] == expected
    assert (sent == expected) is is_whole
    assert bool(told.params) is (len(sent) < COUNT)
    assert bool(told.rest_text) is not is_whole


BAD_FILTERS = ["id", "id eq", "id like 1", "colour eq 1", "name eq 'x", "(id eq 1", "id eq 1)", "not ", "(" * 60]


@pytest.mark.parametrize("text", BAD_FILTERS)
def test_a_filter_that_the_sandbox_cannot_read_gets_400(client: NaiveClient, text: str) -> None:
    reply = client.get(f"/odata/records?{urlencode({'$filter': text})}")
    assert reply.status == 400
    assert reply.json["error"]["code"] == "bad_filter"
