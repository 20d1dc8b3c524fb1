"""Answers that cannot be right are faults, and nothing that is right is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.faults import PageFault
from app.connectors.model import PageKind, PageSpec
from app.connectors.paginators import MAX_EMPTY_PAGES, MAX_TOKEN_CHARS, Cursor, Json, PageView, next_cursor
from app.http_client import Headers

TOKEN = PageSpec(PageKind.CURSOR, param="after", at="/next")
PAGE = PageSpec(PageKind.PAGE, param="page", size_param="size")
OFFSET = PageSpec(PageKind.OFFSET, param="offset", size_param="size")
KEYSET = PageSpec(PageKind.KEYSET, param="after", field="/id")
NEXT_URL = PageSpec(PageKind.NEXT_URL, at="/next")


def view(count: int = 10, mark: str = "", key: str | None = None, **values: Json) -> PageView:
    return PageView(count, mark, values, Headers(), "https://vendor.test/list", ("https://vendor.test",), last_key=key)


def walk(page: PageSpec, views: list[PageView]) -> Cursor | None:
    cursor = None
    for each in views:
        cursor = next_cursor(page, cursor, 10, each).cursor
    return cursor


def fault(page: PageSpec, views: list[PageView]) -> str:
    with pytest.raises(PageFault) as caught:
        walk(page, views)
    return caught.value.kind


@given(lead=st.integers(0, 40), length=st.integers(1, 60))
def test_a_loop_of_cursors_of_any_length_is_found(lead: int, length: int) -> None:
    tokens = [*range(lead), *(lead + number % length for number in range(8 * (lead + length) + 8))]
    assert fault(TOKEN, [view(token=token) for token in tokens]) == "loop"


@given(st.integers(1, 2000))
def test_cursors_that_never_come_back_are_no_loop(count: int) -> None:
    assert walk(TOKEN, [view(token=number) for number in range(count)]) is not None


def test_the_cursor_just_used_is_a_fault_at_once() -> None:
    assert fault(TOKEN, [view(token="a"), view(token="a")]) == "loop"


def test_a_thousand_empty_pages_are_allowed_and_no_more() -> None:
    empty = [view(0, token=number) for number in range(MAX_EMPTY_PAGES)]
    assert walk(TOKEN, empty) is not None
    assert fault(TOKEN, [*empty, view(0, token="one more")]) == "too_many_empty"


def test_a_record_between_empty_pages_begins_the_count_anew() -> None:
    empty = [view(0, token=number) for number in range(MAX_EMPTY_PAGES)]
    cursor = walk(TOKEN, [*empty, view(1, token="one record")])
    assert cursor is not None
    assert "empty" not in cursor


@pytest.mark.parametrize("page", [PAGE, OFFSET])
def test_the_same_page_twice_is_a_fault(page: PageSpec) -> None:
    assert fault(page, [view(mark="i1"), view(mark="i1")]) == "repeat"


def test_records_without_id_that_are_equal_may_fill_an_exact_total() -> None:
    page = replace(PAGE, is_total_exact=True)
    assert walk(page, [view(mark="r1", total=30), view(mark="r1", total=30)]) is not None
    assert fault(page, [view(mark="i1", total=30), view(mark="i1", total=30)]) == "repeat"


def test_a_key_that_does_not_move_is_a_fault() -> None:
    assert fault(KEYSET, [view(key="7"), view(key="7")]) == "loop"


def test_a_last_record_without_the_key_is_a_fault() -> None:
    assert fault(KEYSET, [view(key=None)]) == "bad_cursor"


def test_a_link_to_itself_is_a_fault() -> None:
    assert fault(NEXT_URL, [view(token="/list")]) == "loop"


@pytest.mark.parametrize("token", [True, {"a": 1}, [1]])
def test_a_token_of_a_strange_type_is_a_fault(token: Json) -> None:
    assert fault(TOKEN, [view(token=token)]) == "bad_cursor"


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "x" * (MAX_TOKEN_CHARS + 1)])
def test_a_token_or_key_that_no_row_or_url_can_hold_is_a_fault(text: str) -> None:
    assert fault(TOKEN, [view(token=text)]) == "bad_cursor"
    assert fault(KEYSET, [view(key=text)]) == "bad_cursor"


@pytest.mark.parametrize("token", [None, "", False])
def test_no_token_is_the_end(token: Json) -> None:
    assert next_cursor(TOKEN, None, 10, view(token=token)).is_exhausted


def test_token_zero_is_a_token() -> None:
    assert walk(TOKEN, [view(token=0)]) is not None


def test_more_without_a_way_to_it_is_a_fault() -> None:
    assert fault(TOKEN, [view(token=None, more=True)]) == "bad_cursor"


def test_no_more_ends_the_list_though_there_is_a_token() -> None:
    assert next_cursor(TOKEN, None, 10, view(token="a", more=False)).is_exhausted


def test_a_total_that_collapses_is_a_fault_whatever_the_vendor_calls_it() -> None:
    assert fault(PAGE, [view(mark="i1", total=30), view(0, mark="", total=0)]) == "collapse"
    assert fault(TOKEN, [view(token=1, total="30"), view(0, token=None, total="0")]) == "collapse"


def test_a_total_of_0_after_everything_was_read_is_the_end() -> None:
    cursor = walk(PAGE, [view(mark="i1", total=10)])
    assert next_cursor(PAGE, cursor, 10, view(0, mark="", total=0)).is_exhausted


def test_a_total_given_only_once_is_remembered() -> None:
    cursor = walk(TOKEN, [view(token=1, total=30), view(token=2, total=None), view(token=3)])
    assert cursor is not None
    assert cursor["total"] == 30


def test_an_empty_page_before_the_exact_total_is_a_fault() -> None:
    page = replace(PAGE, is_total_exact=True)
    assert fault(page, [view(mark="i1", total=30), view(0, mark="", total=30)]) == "short_end"


@pytest.mark.parametrize("page", [PAGE, OFFSET, TOKEN], ids=lambda page: page.kind)
def test_an_empty_page_far_before_an_estimated_total_is_a_fault(page: PageSpec) -> None:
    full = view(10, mark="i1", total=230, token="a")
    assert fault(page, [full, view(0, total=230)]) == "short_end"
    assert fault(page, [full, view(0)]) == "short_end"


@pytest.mark.parametrize("page", [PAGE, OFFSET, TOKEN], ids=lambda page: page.kind)
def test_a_total_that_is_off_by_what_changed_meanwhile_ends_the_list(page: PageSpec) -> None:
    assert walk(page, [view(10, mark="i1", total=20, token="a"), view(0, total=20)]) is None


@pytest.mark.parametrize("total", ["many", {}, [], float("inf"), 2**63])
def test_a_total_that_is_no_number_is_a_fault(total: Json) -> None:
    assert fault(PAGE, [view(total=total)]) == "bad_cursor"


@pytest.mark.parametrize("total", [-1, "-1", 0, 1, 9])
def test_an_exact_total_that_one_page_exceeds_ends_nothing(total: Json) -> None:
    """Vendors say -1, 0 or 1 where they do not count; the records behind the first page must not be lost by it."""
    page = replace(PAGE, is_total_exact=True)
    views = [view(10, mark="i1", total=total), view(10, mark="i2", total=total), view(3, mark="i3", total=total)]
    assert walk(page, views) is not None
    assert walk(page, [*views, view(0, total=total)]) is None


@pytest.mark.parametrize("pages", [-1, "-1", 0])
def test_no_pages_at_all_beside_records_end_nothing(pages: Json) -> None:
    cursor = walk(PAGE, [view(10, mark="i1", pages=pages)])
    assert cursor is not None
    assert next_cursor(PAGE, cursor, 10, view(0, pages=pages)).is_exhausted


def test_a_short_first_page_is_not_yet_the_end() -> None:
    page = replace(PAGE, stop="short")
    cursor = walk(page, [view(6, mark="i1")])
    assert cursor is not None
    assert cursor["learnt"] == 6
    assert next_cursor(page, cursor, 10, view(5, mark="i2")).is_exhausted


def test_short_pages_do_not_end_a_list_that_ends_with_an_empty_one() -> None:
    assert walk(PAGE, [view(10, mark="i1"), view(3, mark="i2"), view(1, mark="i3")]) is not None


def test_offsets_advance_by_what_came_back_or_by_the_size_asked() -> None:
    assert (walk(OFFSET, [view(7)]) or {})["offset"] == 7
    assert (walk(replace(OFFSET, step="size"), [view(7)]) or {})["offset"] == 10


def test_an_offset_that_cannot_advance_is_a_fault() -> None:
    assert fault(replace(OFFSET, more="/more"), [view(0, mark="", more=True)]) == "loop"


def test_the_same_records_under_a_new_cursor_are_a_fault() -> None:
    assert fault(TOKEN, [view(mark="i1", token=1), view(mark="i1", token=2)]) == "repeat"
    assert fault(NEXT_URL, [view(mark="i1", token="?p=2"), view(mark="i1", token="?p=3")]) == "repeat"


def test_pages_are_compared_across_empty_ones() -> None:
    assert fault(TOKEN, [view(mark="i1", token=1), view(0, token=2), view(mark="i1", token=3)]) == "repeat"


def test_a_keyset_vendor_may_repeat_its_last_page_where_declared() -> None:
    page = replace(KEYSET, past_end="repeat")
    following = next_cursor(page, walk(page, [view(key="7")]), 10, view(key="7"))
    assert following.is_exhausted
    assert following.is_discarded
