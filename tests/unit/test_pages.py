"""Cutting pages: the vendor's bytes stay the vendor's bytes, and what is no page is a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.faults import PageFault
from app.connectors.model import DeletedSpec, ListSpec, PageKind, PageSpec
from app.connectors.pages import Page, PageReader
from app.connectors.templates import parse_template


def reader(
    records: str = "/data", *, at: str | None = "/paging/next", total: str | None = "/total", **extra: Any
) -> PageReader:
    page = PageSpec(PageKind.CURSOR, param="after", at=at)
    return PageReader(ListSpec(parse_template("/x"), records, page, total=total, **extra))


def read(body: bytes, **extra: Any) -> Page:
    return reader(**extra).read(body)


def lines(body: bytes, **extra: Any) -> list[bytes]:
    return [bytes(record) for record in read(body, **extra).records]


def test_records_and_values_are_found() -> None:
    page = read(b'{"data":[{"id":1},{"id":2}],"paging":{"next":"x"},"total":7}')
    assert [bytes(record) for record in page.records] == [b'{"id":1}', b'{"id":2}']
    assert dict(page.values) == {"token": "x", "total": 7}


@pytest.mark.parametrize("number", [b"1.10", b"1e5", b"-0", b"0.1000", b"1" * 5000, b"1E+2"])
def test_numbers_stay_as_the_vendor_wrote_them(number: bytes) -> None:
    assert lines(b'{"data":[{"n":' + number + b"}]}") == [b'{"n":' + number + b"}"]
    assert lines(b'{"data":[{"n":' + number + b',"s":"\\ud800"}]}') == [b'{"n":' + number + b',"s":"\\ud800"}']


@pytest.mark.parametrize(
    "record", [b'{"b":1,"a":2}', b'{"a":1,"a":2}', b'{"a" : 1 }', b'"text"', b"1", b"null", b"[1,2]"]
)
def test_any_json_value_is_a_record_and_stays_as_it_is(record: bytes) -> None:
    assert lines(b'{"data":[' + record + b"]}") == [record]


def test_a_bare_array_is_a_page() -> None:
    assert lines(b'[{"id":1}]', records="", at=None, total=None) == [b'{"id":1}']
    assert lines(b' [\n{"id":1},\n{"id":2}\n]\n', records="", at=None, total=None) == [b'{"id":1}', b'{"id":2}']


@pytest.mark.parametrize("indent", ["\n", "\r\n", "\n\t", "\r"])
def test_pretty_printed_records_come_out_on_one_line(indent: str) -> None:
    record = '{"a": "x  y\\n",' + indent + '"b": [1.10,' + indent + "2]}"
    (line,) = lines(f'{{"data": [{indent}{record}{indent}]}}'.encode())
    assert b"\n" not in line
    assert b"\r" not in line
    assert b"1.10" in line
    assert json.loads(line) == {"a": "x  y\n", "b": [1.1, 2]}


def test_a_pretty_printed_record_with_a_lone_surrogate_comes_out_on_one_line() -> None:
    assert lines(b'{"data":[{"a":\n "x  \\ud800"}]}') == [b'{"a":"x  \\ud800"}']


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udc00", b"\\ud800x", b"\\ud83d\\ude00", b"\\u0000"])
def test_escapes_keep_their_bytes_even_when_they_are_half_a_pair(escape: bytes) -> None:
    page = read(b'{"data":[{"a":"' + escape + b'"},{"b":1}],"paging":{"next":"t"},"total":2}')
    assert [bytes(record) for record in page.records] == [b'{"a":"' + escape + b'"}', b'{"b":1}']
    assert dict(page.values) == {"token": "t", "total": 2}


@pytest.mark.parametrize("paging", [b"null", b"[]", b'""', b"{}"])
def test_nothing_where_an_object_was_declared_is_no_value(paging: bytes) -> None:
    page = read(b'{"data":[1],"paging":' + paging + b',"total":1}')
    assert page.values["token"] is None
    assert page.count == 1


def test_array_indexes_in_pointers() -> None:
    assert lines(b'[{"rows":[1,2]},{"next":"t"}]', records="/0/rows", at="/1/next", total=None) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "not_json"),
        (b"<html><body>Sign in</body></html>", "not_json"),
        (b"Internal error", "not_json"),
        (b'{"data":[1,]}', "not_json"),
        (b'{"data":[1]', "not_json"),
        (b'{"data":[1]}}', "not_json"),
        (b'{"data":[NaN]}', "not_json"),
        (b'{"data":[{"a":"\xff"}]}', "not_json"),
        (b'{"data":[{"a":"\xed\xa0\x80"}]}', "not_json"),
        (b'{"data":' + b"[" * 100_000, "not_json"),
        (b'{"data":[' + b'{"a":' * 100_000, "not_json"),
        (b'{"data":null}', "missing_records"),
        (b"{}", "missing_records"),
        (b'{"data":{}}', "missing_records"),
        (b'{"data":{"error":"no"}}', "missing_records"),
        (b'{"data":"no"}', "missing_records"),
        (b"[1]", "missing_records"),
    ],
)
def test_what_is_no_page_is_a_fault(body: bytes, kind: str) -> None:
    with pytest.raises(PageFault) as caught:
        read(body)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("body", [b'{"data":null}', b"{}", b'{"data":{}}', b'{"data":""}'])
def test_a_missing_list_is_empty_where_declared(body: bytes) -> None:
    assert read(body, missing="empty").count == 0


@pytest.mark.parametrize("body", [b'{"data":{"error":"no"}}', b'{"data":"no"}', b"<html>", b""])
def test_a_wrong_answer_is_never_an_empty_list(body: bytes) -> None:
    with pytest.raises(PageFault):
        read(body, missing="empty")


def test_a_byte_order_mark_is_taken_off() -> None:
    assert lines(b'\xef\xbb\xbf{"data":["\xc3\xa9"]}') == ['"é"'.encode()]


def test_part_of_a_page() -> None:
    page = read(b'{"data":[1,2,3,4]}')
    assert b" ".join(page.chosen(1, 2)) == b"2 3"
    assert b" ".join(page.chosen(3, 9)) == b"4"
    assert page.chosen(0, 0) == page.chosen(4, 1) == []
    assert b" ".join(page.chosen(0, 9)) == b"1 2 3 4"


def test_fingerprints_use_ids_where_there_are_some() -> None:
    one = read(b'{"data":[{"id":1,"at":1},{"id":2,"at":1}]}')
    later = read(b'{"data":[{"id":1,"at":9},{"id":2,"at":9}]}')
    assert one.fingerprint("/id") == later.fingerprint("/id")
    assert one.fingerprint(None) != later.fingerprint(None)
    assert one.fingerprint("/id").startswith("i")
    assert one.fingerprint("/no").startswith("r")
    assert read(b'{"data":[]}').fingerprint("/id") == ""


@pytest.mark.parametrize(
    ("value", "key"), [(b"7", "7"), (b"1.10", "1.10"), (b'"a\\u00e9"', "aé"), (b"null", None), (b"{}", None)]
)
def test_the_key_of_the_last_record_is_the_vendors_text(value: bytes, key: str | None) -> None:
    assert read(b'{"data":[{"id":1},{"id":' + value + b"}]}").last_key("/id") == key


def test_a_wrapped_record_is_taken_out_as_it_is() -> None:
    body = b'{"data":[{"kind":"x","item":{"id":1.10}},{"item": {"id": 2} }],"total":2}'
    assert lines(body, record="/item") == [b'{"id":1.10}', b'{"id": 2}']
    assert read(body, record="/item").fingerprint("/id").startswith("i")
    assert lines(b'{"data":[{"item":{\n"id":1}}]}', record="/item") == [b'{"id":1}']
    assert lines(b'{"data":[]}', record="/item") == []


@pytest.mark.parametrize("element", [b'{"other":{}}', b'{"item":null}', b"1", b"[]", b"null"])
def test_an_element_without_the_record_is_a_fault_and_no_record_is_lost(element: bytes) -> None:
    with pytest.raises(PageFault, match="nothing at '/item'") as caught:
        read(b'{"data":[{"item":{"id":1}},' + element + b"]}", record="/item")
    assert caught.value.kind == "missing_records"


def test_deleted_records_get_a_mark_and_the_others_stay() -> None:
    marks = DeletedSpec("/gone", "mark")
    body = b'{"data":[{"id":1},{"id":2,"gone":true },{"gone":false},[{"gone":true}],7]}'
    gone = b'{"id":2,"gone":true ,"_deleted":true}'
    assert lines(body, deleted=marks) == [b'{"id":1}', gone, b'{"gone":false}', b'[{"gone":true}]', b"7"]
    inside = DeletedSpec("/0/gone", "mark")
    assert lines(b'{"data":[[{"gone":true}]]}', deleted=inside) == [b'[{"gone":true}]'], "it has no fields"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6), st.sampled_from([None, 0, 2]), st.booleans())
def test_any_list_comes_out_as_it_went_in(records: list[Any], indent: int | None, is_ascii: bool) -> None:
    body = json.dumps({"data": records}, indent=indent, ensure_ascii=is_ascii)
    if "\ud800" <= max(body, default="") <= "\udfff":
        return
    page = read(body.encode("utf-8", "replace"))
    assert [json.loads(bytes(record)) for record in page.records] == records
