"""The rows of JSON arrays and JSON Lines, against the standard library's reading of hostile text."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.rows import MOST_ROW_BYTES, Row
from app.domain.rows.json_values import MOST_LEVELS, RefusedJsonError, one_line
from app.domain.rows.value_ends import ValueEnd
from app.domain.selection.scanning import UnreadableError, value_end
from tests.fakes.row_files import JSON, read

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=3)
HOSTILE = st.text(st.sampled_from('ab",:\\{}[]\n\r\t \u00e9\U0001f600\0\x7f\u2028'), max_size=5)
SCALARS = st.one_of(
    HOSTILE, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(), st.just("\\ud8")
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(HOSTILE, VALUES, max_size=3)
PIECES = st.sampled_from(
    [
        "{", "}", "[", "]", ",", ":", '"', '"a"', '"b"', '"\\u0061"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\\\ud800"',
        "\\", "1", "-0", "01", "1.", ".5", "1e5", "1E+999", "9" * 400, "NaN", "-Infinity", "true", "nul", "null", " ",
        "\n", "\r", "\t", "\x0b", "\ufeff", "\x00", "\x7f", '{"a":1}', '{"a":', '"a":1', "\u00e9", "//",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=8).map("".join)


class _UnsureError(ValueError):
    """It is JSON, and readers disagree about it."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _UnsureError
    return dict(pairs)


def _refuse(_: str) -> Any:
    raise _UnsureError


def _judged(text: str) -> Any:
    """What the standard library reads. Raises _UnsureError, ValueError, UnicodeError."""
    value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=str, parse_float=str)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _is_taken(text: str) -> bool:
    try:
        one_line(text.encode())
    except RefusedJsonError:
        return False
    return True


def _is_good(text: str) -> bool:
    try:
        _judged(text)
    except ValueError:
        return False
    return True


@given(st.one_of(TEXTS, TEXTS.map(lambda text: '{"a":' + text + "}"), TEXTS.map(lambda text: '["' + text + '"]')))
@example('{"a":1,"\\u0061":2}')
@example('{"a":{"b":1,"b":1}}')
@example('["\\ud800\\u0041"]')
@example('["\\udc00"]')
@example('{"a":":","b":"\\":"}')
def test_the_same_texts_are_taken_as_by_the_standard_library_told_to_be_strict(text: str) -> None:
    assert _is_taken(text) == _is_good(text)


@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_large_texts_are_judged_like_small_ones(value: Any, indent: Any) -> None:
    """Above 256 KiB no values are made: the walk over the tokens decides alone."""
    text = json.dumps([value, "x" * 300_000], indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert json.loads(one_line(text.encode())) == [value, "x" * 300_000]
    for broken in (text[:-1], text + "]", text.replace("[", "[,", 1), f'{{"a":{text},"a":1}}'):
        assert not _is_taken(broken)


@given(st.lists(OBJECTS, max_size=6), st.sampled_from([None, 1, "\t"]), SIZES, st.booleans(), st.data())
def test_an_array_is_read_in_chunks_of_any_size(
    objects: list[Any], indent: Any, sizes: list[int], is_ascii: bool, data: st.DataObject
) -> None:
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"]))
    text = json.dumps(objects, indent=indent, ensure_ascii=is_ascii)
    options = (
        JSON
        if "be" not in encoding
        else JSON.from_echo({"objectName": "x", "metaData": {"format": "json", "encoding": encoding}})
    )
    found = read(text.encode(encoding), options, sizes=sizes)
    assert (found.error, found.bad) == ("", [])
    assert found.records == objects
    assert all(isinstance(row, Row) and b"\n" not in row.record for row in found.rows)


@given(st.lists(st.one_of(OBJECTS.map(json.dumps), TEXTS), max_size=6), SIZES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_lines_are_read_one_by_one_and_a_bad_one_stops_nothing(lines: list[str], sizes: list[int], end: str) -> None:
    lines = [line.replace("\n", "").replace("\r", "") for line in lines]
    found = read(("{}" + end + end.join(lines)).encode(), JSON, sizes=sizes)
    told = [line for line in lines if line.strip(" \t")]
    assert found.error == ""
    assert len(found.rows) == 1 + len(told)
    for line, row in zip(told, found.rows[1:], strict=True):
        is_record = _is_good(line) and line.strip().startswith("{")
        assert isinstance(row, Row) == is_record
        if isinstance(row, Row):
            assert row.record == line.strip(" \t").encode()


@given(st.lists(st.one_of(OBJECTS.map(json.dumps), TEXTS), max_size=4), SIZES)
@example(['{"a":1}', '{"a":NaN}', '{"a":1'], [3])
@example(['"', '"', "{}"], [1])
@example(["NaN\\"], [1])
@example(['{"a":NaN,b}', "{}"], [3])
@example(['{"a":1,"a":2,}', "{}"], [3])
def test_an_array_with_hostile_elements_gives_what_is_before_the_broken_one(
    elements: list[str], sizes: list[int]
) -> None:
    text = "[" + ",".join(elements) + "]"
    found = read(text.encode(), JSON, sizes=sizes)
    try:
        values = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        assert found.error
        assert found.place > (0, 0)
    except RecursionError:  # pragma: no cover - not from these
        raise
    else:
        assert found.error == ""
        assert len(found.rows) == len(values)
        for value, row in zip(values, found.rows, strict=True):
            if isinstance(row, Row):
                assert json.loads(row.record, parse_int=str, parse_float=str) == value


def test_a_record_stays_the_text_it_was() -> None:
    found = read(b'[ {"a" : 1.10, "b":[\r\n 1,\n2 ], "\\u00e9": 1E400} ,{"n":%s}]' % (b"9" * 5000), JSON)
    first, second = found.rows
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.record == b'{"a" : 1.10, "b":[ 1,2 ], "\\u00e9": 1E400}'
    assert second.record == b'{"n":%s}' % (b"9" * 5000)
    assert (first.line, second.line) == (1, 3)


@pytest.mark.parametrize(
    ("element", "told"),
    [
        (b"5", "a row is a JSON object"),
        (b'"x"', "a row is a JSON object"),
        (b"null", "a row is a JSON object"),
        (b"[{}]", "a row is a JSON object"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1,"b":{"c":1,"c":2}}', "the name 'c' is there twice"),
        (b'{"a":1,"\\u0061":1}', "the name 'a' is there twice"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udc00":1}', "half of a surrogate pair"),
        (b'{"a":"\xff"}', "not utf-8"),
        (b'{"a":"\xed\xa0\x80"}', "not utf-8"),
        (b'{"a":%s}' % (b"[" * MOST_LEVELS + b"]" * MOST_LEVELS), "deeper than 200 levels"),
        (b'{"a":%s}' % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "deeper than 200 levels"),
    ],
)
@pytest.mark.parametrize("is_array", [True, False])
def test_what_is_json_and_no_record_is_a_bad_row(element: bytes, told: str, is_array: bool) -> None:
    raw = b'[{"id":1},%s,{"id":3}]' % element if is_array else b'{"id":1}\n%s\n{"id":3}' % element
    found = read(raw, JSON)
    assert found.records == [{"id": 1}, {"id": 3}]
    [bad] = found.bad
    assert bad.number == 2
    assert told in bad.message
    assert bad.line == (1 if is_array else 2)


def test_the_deepest_record_that_is_taken() -> None:
    levels = MOST_LEVELS - 1
    found = read(b'[{"a":%s}]' % (b"[" * levels + b"]" * levels), JSON)
    assert len(found.records) == 1


@pytest.mark.parametrize(
    ("raw", "rows", "line", "column", "told"),
    [
        (b'[{"a":1},\n  {"b":x}]', 1, 2, 8, "a value is expected"),
        (b'[{"a":1}\r\n{"b":1}]', 1, 2, 1, "',' or ']' is missing"),
        (b'[{"a":1},]', 1, 1, 10, "a value is missing"),
        (b"[,]", 0, 1, 2, "a value is missing"),
        (b'[{"a":1}', 1, 1, 9, "not closed"),
        (b'[{"a":1},', 1, 1, 10, "not closed"),
        (b"[", 0, 1, 2, "not closed"),
        (b'\n[\r{"a":"\xc3\xa9"},{"a":"x}]', 1, 3, 11, "not closed"),
        (b'[{"a":1}]\n]', 1, 2, 1, "something follows"),
        (b'[{"a":1}][]', 1, 1, 10, "something follows"),
        (b'[{"a":1]]', 0, 1, 8, "',' or '}'"),
        (b'[{"a" 1}]', 0, 1, 7, "':'"),
        (b'[{"a":"\xc3\xa9", b:1}]', 0, 1, 12, "a name"),
        (b"hello", 0, 1, 1, "begins with 'h'; accepted: one array"),
        (b'\xef\xbb\xbf\n "x"', 0, 2, 2, "begins with"),
        (b"", 0, 0, 0, "the file is empty; accepted: one array"),
        (b" \n ", 0, 0, 0, "the file is empty"),
    ],
)
def test_a_broken_file_is_told_with_line_and_column(raw: bytes, rows: int, line: int, column: int, told: str) -> None:
    for sizes in ([1], [65536]):
        found = read(raw, JSON, sizes=sizes)
        assert (len(found.rows), found.place) == (rows, (line, column)), found.error
        assert told in found.error


def test_a_broken_line_says_where() -> None:
    [bad] = read(b'{}\n  {"\xc3\xa9":1 2}\n', JSON).bad
    assert (bad.number, bad.line) == (2, 2)
    assert "column 10" in bad.message


LARGE = {
    "brackets": b"[" * (MOST_ROW_BYTES + 2),
    "element": b'[{"a":"' + b"x" * MOST_ROW_BYTES,
    "line": b'{"a":"' + b"x" * MOST_ROW_BYTES,
    "closed": b'[{"a":"' + b"x" * MOST_ROW_BYTES + b'"}]',
}


@pytest.mark.parametrize("kind", LARGE)
def test_an_element_is_never_larger_than_memory_allows(kind: str) -> None:
    found = read(LARGE[kind], JSON, sizes=(1 << 18,))
    assert found.rows == []
    assert str(MOST_ROW_BYTES) in found.error
    assert found.place[0] == 1


def test_a_nearly_as_large_one_is_taken() -> None:
    raw = b'[{"a":"%s"},{}]' % (b"x" * (MOST_ROW_BYTES - 8))
    assert [len(row.record) for row in read(raw, JSON, sizes=(1 << 18,)).rows if isinstance(row, Row)] == [
        MOST_ROW_BYTES,
        2,
    ]


def test_gigabytes_of_blanks_are_not_kept() -> None:
    found = read(b"[" + b" \r\n" * 1_000_000 + b"{}" + b"\r" * 1_000_000 + b"]", JSON, sizes=(1000,))
    assert found.error == ""
    [row] = found.rows
    assert row.line == 1_000_001


@given(st.lists(PIECES, max_size=30).map("".join), st.booleans(), st.lists(st.integers(0, 80), max_size=4))
def test_the_end_of_a_value_is_found_in_pieces_of_any_size(text: str, is_object: bool, cuts: list[int]) -> None:
    data = ("{" if is_object else "[").encode() + text.encode() + b'"]}' * 5
    try:
        whole = value_end(data, 0)
    except UnreadableError:
        whole = 0
    found = ValueEnd()
    for cut in sorted(cuts):
        end = found.find(b"xy" + data[: cut + 1], 2, is_all=False)
        if end:
            assert end == whole + 2
            return
    found._piece_bytes = 3
    assert found.find(data, 0, is_all=True) == whole
