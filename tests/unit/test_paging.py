"""Every page kind, from the document to the records, against a vendor in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connectors.classify import Verdict
from app.connectors.client import Failed, GotPage, VendorClient
from app.connectors.model import Action, ErrorClass, Resume
from app.connectors.paginators import Json
from app.connectors.spec import load_connector
from tests.fakes.list_vendor import PAGES, ListVendor, document

SHRINK = Verdict(Action.SHRINK_PAGE, ErrorClass.VENDOR, "")
MAX_CALLS = 400

kinds = st.sampled_from(sorted(PAGES))
paged_kinds = st.sampled_from(sorted(PAGES.keys() - {"none"}))


def client_for(name: str, vendor: ListVendor, **overrides: Any) -> VendorClient:
    return VendorClient(load_connector(document(name, **overrides)), "records", {}, {}, vendor)


def ids_of(got: GotPage) -> list[int]:
    return [json.loads(bytes(record))["id"] for record in got.page.records]


def got(client: VendorClient, cursor: Json, size: int) -> GotPage:
    result = client.fetch(cursor, size)
    assert isinstance(result, GotPage), result
    return result


def read_all(client: VendorClient, size: int, cursor: Json = None) -> list[int]:
    ids: list[int] = []
    for _ in range(MAX_CALLS):
        page = got(client, cursor, size)
        ids += ids_of(page)
        if page.next.is_exhausted:
            return ids
        cursor = json.loads(json.dumps(page.next.cursor))
    raise AssertionError(f"no end after {MAX_CALLS} calls")


@pytest.mark.parametrize("name", sorted(PAGES))
@pytest.mark.parametrize("count", [0, 1, 10, 11, 95])
def test_all_records_arrive_once_in_order(name: str, count: int) -> None:
    assert read_all(client_for(name, ListVendor(count)), 10) == list(range(1, count + 1))


@given(name=kinds, count=st.integers(0, 60), size=st.integers(1, 12), page_max=st.integers(1, 12))
def test_a_silently_cut_page_size_loses_nothing(name: str, count: int, size: int, page_max: int) -> None:
    vendor = ListVendor(count, page_max=1000 if name == "none" else page_max)
    assert read_all(client_for(name, vendor), size) == list(range(1, count + 1))


@given(name=kinds, count=st.integers(0, 40), size=st.integers(1, 7), stop_after=st.integers(0, 40))
def test_a_stop_at_any_page_goes_on_from_the_stored_cursor(name: str, count: int, size: int, stop_after: int) -> None:
    vendor, ids, cursor = ListVendor(count), list[int](), None
    for _ in range(stop_after):
        page = got(client_for(name, vendor), cursor, size)
        ids += ids_of(page)
        if page.next.is_exhausted:
            break
        cursor = json.loads(json.dumps(page.next.cursor))
    else:
        ids += read_all(client_for(name, vendor), size, cursor)
    assert ids == list(range(1, count + 1))


@given(
    name=paged_kinds,
    count=st.integers(0, 60),
    size=st.integers(1, 24),
    page_max=st.sampled_from([5, 12, 1000]),
    shrinks=st.sets(st.integers(0, 12)),
)
@settings(max_examples=400)
def test_shrinking_the_page_at_any_moment_loses_nothing(
    name: str, count: int, size: int, page_max: int, shrinks: set[int]
) -> None:
    client, ids, cursor = client_for(name, ListVendor(count, page_max=page_max)), list[int](), None
    for call in range(MAX_CALLS):
        smaller = client.shrink(cursor, size, SHRINK) if call in shrinks else None
        if smaller is not None:
            cursor, size = json.loads(json.dumps(smaller[0])), smaller[1]
        page = got(client, cursor, size)
        ids += ids_of(page)
        if page.next.is_exhausted:
            break
        cursor = page.next.cursor
    assert ids == list(range(1, count + 1))


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_cursor_does_not_grow_with_the_list(name: str) -> None:
    client, cursor, lengths = client_for(name, ListVendor(3000)), None, list[int]()
    for _ in range(300):
        page = got(client, cursor, 10)
        if page.next.is_exhausted:
            break
        cursor = page.next.cursor
        lengths.append(len(json.dumps(cursor)))
    assert max(lengths, default=0) < 300


@pytest.mark.parametrize("name", ["page", "page_from_0", "page_short", "offset", "offset_short"])
@pytest.mark.parametrize("count", [1, 10, 11, 30])
@pytest.mark.parametrize("past_end", ["repeat", "error"])
def test_a_declared_habit_past_the_end_ends_the_list(name: str, count: int, past_end: str) -> None:
    client = client_for(name, ListVendor(count, past_end=past_end), page={"past_end": past_end})
    assert read_all(client, 10) == list(range(1, count + 1))


def test_an_undeclared_repeat_of_the_last_page_is_a_fault() -> None:
    client = client_for("page", ListVendor(10, past_end="repeat"))
    second = client.fetch(got(client, None, 10).next.cursor, 10)
    assert isinstance(second, Failed)
    assert "came twice" in second.verdict.message


def test_an_undeclared_error_past_the_end_is_a_failure() -> None:
    client = client_for("page", ListVendor(10, past_end="error"))
    second = client.fetch(got(client, None, 10).next.cursor, 10)
    assert isinstance(second, Failed)
    assert second.verdict.action is Action.FAIL


def test_an_exact_total_spares_the_empty_call_at_the_end() -> None:
    vendor = ListVendor(20)
    assert len(read_all(client_for("page", vendor, total="/total", total_is="exact"), 10)) == 20
    assert len(vendor.calls) == 2


@pytest.mark.parametrize("lie", [1, 15, 30])
def test_a_total_that_lies_is_evidence_and_does_not_stop_the_walk(lie: int) -> None:
    client = client_for("page", ListVendor(20, total=lie), total="/total")
    assert got(client, None, 10).total == lie
    assert len(read_all(client, 10)) == 20


@pytest.mark.parametrize("name", ["page", "cursor", "offset", "next_url"])
def test_an_end_before_the_exact_total_is_a_fault(name: str) -> None:
    client, cursor = client_for(name, ListVendor(20, total=25), total="/total", total_is="exact"), None
    for _ in range(4):
        result = client.fetch(cursor, 10)
        if isinstance(result, Failed):
            break
        cursor = result.next.cursor
    assert isinstance(result, Failed)
    assert "exact total is 25" in result.verdict.message


def test_a_total_that_falls_to_nothing_is_a_fault_and_not_the_end() -> None:
    vendor = ListVendor(100)
    client = client_for("cursor", vendor, total="/total")
    cursor = got(client, None, 10).next.cursor
    vendor.count = 0
    result = client.fetch(cursor, 10)
    assert isinstance(result, Failed)
    assert "fell from 100 to 0" in result.verdict.message


def test_each_kind_states_what_resuming_promises() -> None:
    promises = {name: client_for(name, ListVendor(0)).resume for name in PAGES}
    assert promises["none"] is Resume.RESTART
    assert promises["page"] is Resume.REPLAY
    assert promises["offset"] is Resume.REPLAY_UNSAFE
    assert {promises[name] for name in ("cursor", "next_url", "link", "odata", "keyset")} == {Resume.EXACT}


def test_a_read_timeout_shrinks_only_so_far() -> None:
    client, cursor, size = client_for("cursor", ListVendor(100)), None, 80
    verdict = Verdict(Action.SHRINK_PAGE, ErrorClass.TRANSIENT, "", floor_fraction=8)
    while (smaller := client.shrink(cursor, size, verdict)) is not None:
        cursor, size = smaller
    assert size == 10


def test_a_shrunk_page_stays_small_after_the_next_pages() -> None:
    client = client_for("next_url", ListVendor(100))
    smaller = client.shrink(None, 20, SHRINK)
    assert smaller is not None
    page = got(client, smaller[0], 20)
    assert page.page.count == 10
    assert got(client, page.next.cursor, 20).page.count == 10


def test_params_of_the_first_page_and_of_following_ones() -> None:
    vendor = ListVendor(20)
    page = {"repeat_params": False, "following_params": {"count": "no"}}
    read_all(client_for("cursor", vendor, params={"state": "all"}, page=page), 10)
    assert [("state=all" in url, "count=no" in url) for url in vendor.calls] == [(True, False), (False, True)]


def test_an_error_on_the_first_page_is_never_taken_for_the_end() -> None:
    client = client_for("page", ListVendor(0, past_end="always"), page={"past_end": "error"})
    for cursor in (None, {"size": 5, "wanted": 10}):
        assert isinstance(client.fetch(cursor, 10), Failed)
