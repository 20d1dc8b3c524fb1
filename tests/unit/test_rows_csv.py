"""The rows of a CSV: cells to records, bad rows between good ones, hostile text as the standard library reads it."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.rows import MOST_ROW_BYTES, BadRow, Row
from app.domain.uploads import UploadOptions
from tests.fakes.row_files import read

CELL = st.text(st.sampled_from("ab\",;\t\n\r '0\u00e9\u20ac\U0001f600\ufeff\x0b\x0c\x1c\x85\u2028{}\\"), max_size=6)
TABLE = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6).map(lambda rows: (width, rows))
)


@given(
    TABLE,
    st.sampled_from([",", ";", "\t", "|", "\u20ac"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(['"', "'"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "gb18030", "utf-7"]),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_what_any_program_writes_is_read_back(
    table: tuple[int, list[list[str]]], delimiter: str, end: str, quote: str, encoding: str, sizes: list[int]
) -> None:
    width, rows = table
    header = [f"c{number}" for number in range(width)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quotechar=quote, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    options = UploadOptions("x", delimiter=delimiter, quote=quote, encoding=encoding)
    found = read(text.getvalue().encode(encoding), options, sizes=sizes)
    assert found.error == ""
    told = [row for row in rows if width == 1 or any(row)]
    expected = [{name: cell for name, cell in zip(header, row, strict=True) if cell} for row in rows]
    assert len(found.rows) == len(told) + sum(not any(row) for row in rows if width > 1)
    assert found.records == [record for record in expected if record]


def _strict(text: str) -> tuple[list[list[str]], bool]:
    """The rows that the standard library finds before the first wrong quote, and whether there is one."""
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return rows, True
    return rows, False


@given(st.text(st.sampled_from('ab",\n\r \u00e9'), max_size=40), st.lists(st.integers(1, 5), min_size=1, max_size=3))
@example('"a"b,"c\nd"\n1,2\n', [1])
@example('1,"a', [2])
@example("1\r\n\r2", [1])
def test_hostile_text_is_read_as_the_standard_library_does(text: str, sizes: list[int]) -> None:
    rows, is_wrong = _strict(text)
    found = read(f"c0,c1,c2\n{text}".encode(), sizes=sizes)
    lines = [row for row in rows if row and (len(row) > 1 or row[0].strip())]
    for row, given_row in zip(lines, found.rows, strict=False):
        if len(row) > 3 and any(row[3:]):
            assert isinstance(given_row, BadRow)
            assert "cells" in given_row.message
        elif not any(row):
            assert isinstance(given_row, BadRow)
        else:
            assert isinstance(given_row, Row)
            wanted = {name: cell for name, cell in zip(["c0", "c1", "c2"], row, strict=False) if cell}
            assert json.loads(given_row.record) == wanted
    assert (len(found.rows) == len(lines) and not found.error) or is_wrong
    assert len(found.rows) >= len(lines)


def test_dotted_names_make_nested_objects() -> None:
    found = read(
        b"id,adr.city,adr.geo.lat,adr.geo.lon\n1,Bern,46.9,7.4\n2,,,\n3,,1,\n", types={"adr.geo.lat": "number"}
    )
    assert found.records == [
        {"id": "1", "adr": {"city": "Bern", "geo": {"lat": 46.9, "lon": "7.4"}}},
        {"id": "2"},
        {"id": "3", "adr": {"geo": {"lat": 1}}},
    ]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("text", "007", '"007"'),
        ("date", "2024-02-30", '"2024-02-30"'),
        ("integer", " +007 ", "7"),
        ("integer", "-0", "-0"),
        ("integer", "000", "0"),
        ("integer", "9" * 5000, "9" * 5000),
        ("number", "1.10", "1.10"),
        ("number", "-.5", "-0.5"),
        ("number", "5.", "5"),
        ("number", "00.50e-7", "0.50e-7"),
        ("number", "0", "0"),
        ("boolean", " TRUE", "true"),
        ("boolean", "0", "false"),
        ("json", ' {"b" : [1.10,\r\n2]} ', '{"b" : [1.10,2]}'),
        ("json", '"x"', '"x"'),
    ],
)
def test_a_cell_becomes_a_value_of_its_declared_type(kind: str, cell: str, value: str) -> None:
    quoted = cell.replace('"', '""')
    [row] = read(f'a,b\n"{quoted}",x\n'.encode(), types={"a": kind}).rows
    assert isinstance(row, Row)
    assert row.record == f'{{"a":{value},"b":"x"}}'.encode()


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("integer", "1.0"),
        ("integer", "1e3"),
        ("integer", "\u0663"),
        ("integer", "-"),
        ("integer", "1 000"),
        ("number", "NaN"),
        ("number", "1,5"),
        ("number", "."),
        ("number", "e10"),
        ("number", "Infinity"),
        ("number", "0x10"),
        ("boolean", "yes"),
        ("boolean", "2"),
        ("json", "{"),
        ("json", '{"a":1,"a":2}'),
        ("json", "NaN"),
    ],
)
def test_a_cell_that_is_not_of_its_type_fails_its_row_only(kind: str, cell: str) -> None:
    quoted = cell.replace('"', '""')
    found = read(f'id;a.b\n1;"{quoted}"\n2;\n'.encode(), types={"a.b": kind})
    assert found.records == [{"id": "2"}]
    [bad] = found.bad
    assert (bad.number, bad.line) == (1, 2)
    assert "'a.b'" in bad.message
    assert repr(cell)[:40] in bad.message
    assert f"type {kind}" in bad.message
    assert "accepted" in bad.message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"1,2,3", "3 cells, and the header names 2"),
        (b",", "no cell of the row has a value"),
        (b'"1"x,2', "closing quote"),
        (b'"1"x,"2\n3"', "closing quote"),
        (b"\xe4,2", "bytes that are not utf-8"),
        (b"1,\xc3", "bytes that are not utf-8"),
        (b"1,\xed\xa0\x80", "bytes that are not utf-8"),
        (b"1,a\0b", "NUL"),
    ],
)
def test_a_bad_row_says_why_and_the_others_go_on(line: bytes, told: str) -> None:
    found = read(b"a,b\n0,0\n" + line + b"\n8,9\n")
    assert found.records == [{"a": "0", "b": "0"}, {"a": "8", "b": "9"}]
    [bad] = found.bad
    assert told in bad.message
    assert (bad.number, bad.line) == (2, 3)
    assert bad.excerpt[:1] == line[:1].decode(errors="replace")
    for text in (bad.message, bad.excerpt):
        assert "\0" not in text
        text.encode()


def test_a_huge_bad_row_is_quoted_in_part() -> None:
    [bad] = read(b"a,b\n1,2," + b"x" * 100_000).bad
    assert len(bad.excerpt) == 200


@pytest.mark.parametrize(
    ("raw", "records"),
    [
        (b"a,b,\n1,2,\n3,4\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b"a,b\n1,2,,\n3\n", [{"a": "1", "b": "2"}, {"a": "3"}]),
        (b"\r\n \n a , b \n\n1,2\n   \n\n3,4\n\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b'a,b\n1,"x\r\n\ny"\n', [{"a": "1", "b": "x\r\n\ny"}]),
        (b'a,b\n5" pipe, x y \n', [{"a": '5" pipe', "b": " x y "}]),
        (b"a\n1\n\n 2\n", [{"a": "1"}, {"a": " 2"}]),
        (b"a,b\n1,\xef\xbb\xbf2\n", [{"a": "1", "b": "\ufeff2"}]),
        (b"a,b\r1,2\r3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b"a,b\n", []),
        (b"a,b", []),
    ],
)
def test_what_other_programs_leave_in_a_csv_is_borne(raw: bytes, records: list[Any]) -> None:
    found = read(raw)
    assert (found.records, found.bad, found.error) == (records, [], "")


def test_a_row_knows_its_line_and_number() -> None:
    found = read(b'a,b\r\n\r\n1,"x\r\ny"\r\n\r\n2,3\r\n4,5')
    assert [(row.number, row.line, row.behind.line) for row in found.rows] == [(1, 3, 5), (2, 6, 7), (3, 7, 8)]
    assert found.rows[-1].behind.offset == 27


def test_a_quote_that_is_never_closed_is_told_with_its_line() -> None:
    found = read(b'a,b\n1,2\n\n3,"x\n4,5\n')
    assert found.records == [{"a": "1", "b": "2"}]
    assert found.place[0] == 4
    assert "never closed" in found.error


@pytest.mark.parametrize(
    "content", [b'"' + b"x\n" * (MOST_ROW_BYTES // 2), b"x" * (MOST_ROW_BYTES + 1)], ids=["quote", "line"]
)
def test_a_row_is_never_larger_than_memory_allows(content: bytes) -> None:
    found = read(b"a\n1\n" + content, sizes=(1 << 18,))
    assert len(found.rows) == 1
    assert found.place[0] == 3
    assert str(MOST_ROW_BYTES) in found.error


def test_a_cell_may_be_nearly_as_large() -> None:
    [row] = read(b"a\n" + b"x" * (MOST_ROW_BYTES - 1) + b"\n", sizes=(1 << 18,)).rows
    assert isinstance(row, Row)
    assert len(row.record) == MOST_ROW_BYTES - 1 + len('{"a":""}')


def test_hostile_numbers_take_no_longer_than_others() -> None:
    """Digits in two groups that both match zeros would be tried in every split: an hour for this file."""
    zeros = b"0" * 1_000_000
    found = read(b"a,b\n%bx,%bx\n" % (zeros, zeros), types={"a": "integer", "b": "number"})
    assert len(found.bad) == 1
