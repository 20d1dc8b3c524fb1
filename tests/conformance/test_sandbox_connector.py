"""Every object of the sandbox connector against the real sandbox, through the real HTTP client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.connectors.classify import Verdict
from app.connectors.client import Failed, FetchResult, GotPage, VendorClient
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.paginators import Json
from app.connectors.registry import catalogue
from app.connectors.spec import load_connector, resolve_settings
from app.http_client import HttpClient
from app.sandbox import Account, SandboxServer

OBJECTS = [name for name in load_connector(catalogue()["sandbox"]).object_names if name.startswith("records")]
PAGED = sorted(set(OBJECTS) - {"records_none"})
COUNTED = ["records_page", "records_offset", "records_odata", "records_odata2"]
CHAINED = ["records", "records_cursor_header", "records_next_url", "records_link", "records_odata"]
SIZE = 10
SHRINK = Verdict(Action.SHRINK_PAGE, ErrorClass.VENDOR, "")


@pytest.fixture(name="open_object")
def make_opener(sandbox: SandboxServer, account: Account, http: HttpClient) -> Any:
    def open_object(name: str, connector: Connector | None = None) -> VendorClient:
        connector = connector or load_connector(catalogue()["sandbox"])
        given = {"base_url": sandbox.url, "username": account.name, "password": "any"}
        settings = resolve_settings(connector, given)
        return VendorClient(connector, name, settings.config, settings.secrets, http)

    return open_object


def edited(name: str = "records_page", *, wait: Any = None, read_timeout: str = "60s", **page: Any) -> Connector:
    """The sandbox connector with `page` fields set in an object, and other things that may be declared."""
    document = json.loads(json.dumps(catalogue()["sandbox"]))
    document["objects"][name]["list"]["page"] |= page
    document["objects"][name]["list"]["read_timeout"] = read_timeout
    return load_connector(document if wait is None else {**document, "wait": wait})


def walk(client: VendorClient, size: int = SIZE, cursor: Json = None) -> Iterator[FetchResult]:
    for _ in range(2000):
        result = client.fetch(cursor, size)
        yield result
        if isinstance(result, Failed) or result.next.is_exhausted:
            return
        cursor = json.loads(json.dumps(result.next.cursor))
    raise AssertionError("the list does not end")


def download(client: VendorClient, size: int = SIZE) -> list[bytes]:
    lines: list[bytes] = []
    for result in walk(client, size):
        assert isinstance(result, GotPage), result
        lines += map(bytes, result.page.records)
    return lines


def last_failure(client: VendorClient) -> Failed:
    *_, last = walk(client)
    assert isinstance(last, Failed)
    return last


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("count", [0, 1, SIZE, SIZE + 1, 5 * SIZE + 3])
def test_all_records_arrive_once_in_order_byte_for_byte(
    open_object: Any, account: Account, name: str, count: int
) -> None:
    account.configure(records=count)
    assert download(open_object(name)) == list(account.expected())


@pytest.mark.parametrize("name", PAGED)
@pytest.mark.parametrize(
    "habits",
    [
        {"text": "strange"},
        {"json": "pretty"},
        {"json": "bom"},
        {"json": "ascii", "text": "strange"},
        {"content_type": "text/html; charset=latin1"},
        {"clock_skew_s": -86_400},
        {"pad_bytes": 100_000, "pad_every": 9},
        {"gzip": "always"},
        {"gzip": "accepted"},
        {"gzip": "members"},
        {"chunked": True},
        {"connection": "close"},
        {"cookies": True},
        {"hide_archived": True},
    ],
    ids=str,
)
def test_habits_that_change_no_record_change_nothing(
    open_object: Any, account: Account, name: str, habits: dict[str, Any]
) -> None:
    account.configure(records=35, habits=habits)
    expected = [json.loads(line) for line in account.expected()]
    assert [json.loads(line) for line in download(open_object(name))] == expected


@pytest.mark.parametrize("name", PAGED)
def test_a_silently_cut_page_size_loses_nothing(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, page_max=4)
    assert download(open_object(name)) == list(account.expected())


@pytest.mark.parametrize("name", COUNTED)
def test_a_total_that_is_too_small_does_not_end_the_walk(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, habits={"total": 3})
    results = list(walk(open_object(name)))
    assert all(isinstance(each, GotPage) for each in results)
    assert sum(each.page.count for each in results if isinstance(each, GotPage)) == 35
    assert isinstance(results[0], GotPage)
    assert results[0].total == 3


@pytest.mark.parametrize("name", ["records_page", "records_offset"])
def test_a_total_far_above_the_end_makes_the_end_a_fault(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, habits={"total": 10_001})
    *pages, last = walk(open_object(name))
    assert sum(each.page.count for each in pages if isinstance(each, GotPage)) == 35
    assert isinstance(last, Failed)
    assert "take `total` out of the connector" in last.verdict.message


@pytest.mark.parametrize("name", ["records_next_url", "records_link", "records_odata", "records_odata2"])
@pytest.mark.parametrize("habits", [{"next_links": "relative"}, {"encode_dollar": True}], ids=str)
def test_the_forms_of_next_links(open_object: Any, account: Account, name: str, habits: dict[str, Any]) -> None:
    account.configure(records=35, habits=habits)
    assert download(open_object(name)) == list(account.expected())


@pytest.mark.parametrize("name", ["records_next_url", "records_link", "records_odata", "records_odata2"])
@pytest.mark.parametrize("host", ["other_host", "http://vendor.internal:8080"])
def test_next_links_under_another_name_of_the_server_are_rewritten_where_declared(
    open_object: Any, account: Account, name: str, host: str
) -> None:
    account.configure(records=35, habits={"next_links": host})
    assert download(open_object(name, edited(name, link_host="rewrite"))) == list(account.expected())


@pytest.mark.parametrize("name", ["records_next_url", "records_link", "records_odata", "records_odata2"])
def test_a_next_link_to_another_host_gets_no_credentials(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, habits={"next_links": "other_host"})
    failed = last_failure(open_object(name))
    assert failed.verdict.action is Action.FAIL
    assert "localhost" in failed.verdict.message
    assert account.calls == 1


@pytest.mark.parametrize(
    "name", ["records", "records_cursor_header", "records_next_url", "records_link", "records_odata"]
)
@pytest.mark.parametrize("habits", [{"empty_pages": 3}, {"trailing_token": True}], ids=str)
def test_empty_pages_with_new_cursors_are_walked_through(
    open_object: Any, account: Account, name: str, habits: dict[str, Any]
) -> None:
    account.configure(records=35, habits=habits)
    assert download(open_object(name)) == list(account.expected())


@pytest.mark.parametrize(
    "name", ["records", "records_cursor_header", "records_next_url", "records_link", "records_odata"]
)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_loop_of_cursors_is_a_fault(open_object: Any, account: Account, name: str, length: int) -> None:
    account.configure(records=300, habits={"cursor_loop": 6, "cursor_loop_length": length})
    assert last_failure(open_object(name)).verdict.action is Action.RETRY


@pytest.mark.parametrize("name", PAGED)
def test_the_wrong_page_is_a_fault_and_the_next_try_goes_on(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, faults=[{"calls": "2", "do": "repeat_page"}])
    client = open_object(name)
    first = client.fetch(None, SIZE)
    assert isinstance(client.fetch(first.next.cursor, SIZE), Failed)
    again = client.fetch(first.next.cursor, SIZE)
    assert isinstance(again, GotPage)
    assert [bytes(record) for record in again.page.records] == list(account.expected())[SIZE : 2 * SIZE]


@pytest.mark.parametrize("name", COUNTED)
def test_an_empty_answer_with_total_0_is_a_fault_and_not_the_end(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=35, faults=[{"calls": "2", "do": "empty_ok"}])
    failed = last_failure(open_object(name))
    assert (failed.verdict.action, failed.verdict.otherwise) == (Action.REFRESH_AUTH, Action.RETRY)
    assert "fell from 35 to 0" in failed.verdict.message


@pytest.mark.parametrize(
    ("habit", "past_end"), [("repeat_last", "repeat"), ("400", "error"), ("404", "error"), ("empty", "empty")]
)
@pytest.mark.parametrize("count", [1, 30, 35])
@pytest.mark.parametrize("name", ["records_page", "records_page0", "records_offset", "records_keyset"])
def test_declared_habits_past_the_end(
    open_object: Any, account: Account, name: str, habit: str, past_end: str, count: int
) -> None:
    account.configure(records=count, habits={"past_end": habit})
    assert download(open_object(name, edited(name, past_end=past_end))) == list(account.expected())


@pytest.mark.parametrize("name", ["records_page", "records_page0", "records_offset", "records_keyset"])
@pytest.mark.parametrize("habit", ["repeat_last", "400", "404"])
def test_habits_past_the_end_that_nobody_declared_never_end_a_list_short_or_double_it(
    open_object: Any, account: Account, name: str, habit: str
) -> None:
    account.configure(records=30, habits={"past_end": habit})
    *pages, last = walk(open_object(name))
    assert sum(each.page.count for each in pages if isinstance(each, GotPage)) == 30
    assert isinstance(last, Failed)


def test_a_page_size_over_the_maximum_shrinks_where_declared(open_object: Any, account: Account) -> None:
    account.configure(records=35, page_max=8, habits={"over_max": "400"})
    document = json.loads(json.dumps(catalogue()["sandbox"]))
    document["errors"] = [
        {"when": {"status": 400, "pointer": "/error/code", "equals": "page_size_too_large"}, "do": "shrink_page"}
    ]
    client, cursor, size = open_object("records_page", load_connector(document)), None, SIZE
    failed = client.fetch(cursor, size)
    assert isinstance(failed, Failed)
    cursor, size = client.shrink(cursor, size, failed.verdict)
    assert size == 5
    lines = [
        line
        for each in walk(client, size, cursor)
        if isinstance(each, GotPage)
        for line in map(bytes, each.page.records)
    ]
    assert lines == list(account.expected())


@pytest.mark.parametrize(
    ("fault", "action"),
    [
        ({"do": "status", "status": 503, "body": "html"}, Action.WAIT),
        ({"do": "status", "status": 500, "body": "empty"}, Action.RETRY),
        ({"do": "status", "status": 429, "tell": "retry_after", "wait_s": 7}, Action.WAIT),
        ({"do": "html_200"}, Action.RETRY),
        ({"do": "redirect"}, Action.FAIL),
        ({"do": "cut"}, Action.RETRY),
        ({"do": "cut", "reset": True}, Action.RETRY),
        ({"do": "drop"}, Action.RETRY),
        ({"do": "drop", "reset": True}, Action.RETRY),
        ({"do": "garbage"}, Action.RETRY),
        ({"do": "truncated_gzip"}, Action.RETRY),
        ({"do": "truncated_json"}, Action.RETRY),
        ({"do": "invalid_utf8"}, Action.RETRY),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [1, 3])
def test_a_fault_is_a_verdict_and_the_same_call_again_goes_on(
    open_object: Any, account: Account, fault: dict[str, Any], action: Action, call: int
) -> None:
    account.configure(records=35, faults=[{"calls": str(call), **fault}])
    client, cursor, lines, failures = open_object("records"), None, list[bytes](), list[Failed]()
    while len(failures) < 2:
        result = client.fetch(cursor, SIZE)
        if isinstance(result, Failed):
            failures.append(result)
            continue
        lines += map(bytes, result.page.records)
        if result.next.is_exhausted:
            break
        cursor = result.next.cursor
    assert [each.verdict.action for each in failures] == [action]
    assert lines == list(account.expected())
    assert account.calls == 5  # four pages and the failed one: no call was made behind our back


def test_the_wait_that_the_vendor_asks_for_is_told(open_object: Any, account: Account) -> None:
    rate_limit = {"calls": "1", "do": "status", "status": 429, "tell": "retry_after", "wait_s": 7}
    account.configure(faults=[rate_limit])
    assert last_failure(open_object("records")).verdict.retry_after_s == 7


TELLS = ["retry_after", "retry_after_date", "reset_seconds", "reset_epoch", "reset_epoch_ms", "reset_iso"]


@pytest.mark.parametrize("skew_s", [0, -86_400, 86_400])
@pytest.mark.parametrize("tell", TELLS)
def test_a_wait_is_understood_in_every_form_whatever_the_vendors_clock_says(
    open_object: Any, account: Account, tell: str, skew_s: int
) -> None:
    rate_limit = {"calls": "1", "do": "status", "status": 429, "tell": tell, "wait_s": 600}
    account.configure(faults=[rate_limit], habits={"clock_skew_s": skew_s})
    connector = edited("records", wait={"reset": "X-RateLimit-Reset"})
    wait_s = last_failure(open_object("records", connector)).verdict.retry_after_s
    assert wait_s == pytest.approx(600, abs=10), "each form has its own rounding"


def test_a_limit_that_says_nothing_is_waited_for_by_our_own_measure(open_object: Any, account: Account) -> None:
    account.configure(faults=[{"calls": "1", "do": "status", "status": 429, "tell": "nothing"}])
    verdict = last_failure(open_object("records")).verdict
    assert (verdict.action, verdict.error_class, verdict.retry_after_s) == (Action.WAIT, ErrorClass.RATE_LIMIT, None)


def test_a_page_that_takes_too_long_is_asked_for_in_smaller_pieces(open_object: Any, account: Account) -> None:
    account.configure(records=35, faults=[{"calls": "2", "do": "hang"}])
    client = open_object("records", edited("records", read_timeout="1s"))
    first = client.fetch(None, SIZE)
    slow = client.fetch(first.next.cursor, SIZE)
    assert isinstance(slow, Failed)
    assert (slow.verdict.action, slow.verdict.otherwise) == (Action.SHRINK_PAGE, Action.RETRY)
    cursor, size = client.shrink(first.next.cursor, SIZE, slow.verdict)
    assert size < SIZE
    rest = [each for each in walk(client, size, cursor) if isinstance(each, GotPage)]
    assert [bytes(line) for got in (first, *rest) for line in got.page.records] == list(account.expected())


NOBODY = [
    {"when": {"status": 403}, "do": "refresh_auth", "class": "auth"},
    {"when": {"status": 200, "header": "X-User", "equals": "anonymous"}, "do": "refresh_auth", "class": "auth"},
    {"when": {"status": 200, "pointer": "/total", "equals": "0"}, "do": "refresh_auth", "class": "auth"},
]


@pytest.mark.parametrize(
    ("wrong", "errors"),
    [
        *(("401", []), ("401_html", []), ("401_empty", [])),
        *(("403", NOBODY), ("200_public", NOBODY), ("200_empty", NOBODY)),
    ],
)
def test_wrong_credentials_are_an_auth_failure_whatever_the_answer(
    sandbox: SandboxServer, http: HttpClient, wrong: str, errors: Any
) -> None:
    sandbox.account(f"wrong{wrong}").configure(habits={"wrong_auth": wrong})
    connector = load_connector({**catalogue()["sandbox"], "errors": errors})
    config = {"base_url": sandbox.url, "username": f"wrong{wrong}"}
    good = VendorClient(connector, "records_page", config, {"password": "right"}, http).fetch(None, SIZE)
    assert isinstance(good, GotPage)
    failed = VendorClient(connector, "records_page", config, {"password": "wrong"}, http).fetch(None, SIZE)
    assert isinstance(failed, Failed)
    assert (failed.verdict.action, failed.verdict.error_class) == (Action.REFRESH_AUTH, ErrorClass.AUTH)


@pytest.mark.parametrize("name", PAGED)
def test_shrinking_between_any_two_pages_loses_nothing(open_object: Any, account: Account, name: str) -> None:
    account.configure(records=61)
    client, cursor, size, lines = open_object(name), None, 12, list[bytes]()
    for call in range(200):
        smaller = client.shrink(cursor, size, SHRINK) if call in {0, 2, 5} else None
        cursor, size = smaller or (cursor, size)
        result = client.fetch(cursor, size)
        assert isinstance(result, GotPage), result
        lines += map(bytes, result.page.records)
        if result.next.is_exhausted:
            break
        cursor = json.loads(json.dumps(result.next.cursor))
    assert lines == list(account.expected())
