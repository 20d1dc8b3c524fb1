"""The CSV renderer against a slow one of the standard library's json and csv, which knows nothing of its tricks."""

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import learning
from app.errors import StorageError
from app.storage import csv_rows
from app.storage.columns import MAX_COLUMNS, MAX_DEPTH, ColumnScanner, header_name, path_of, spelled
from app.storage.csv_rows import CsvRows
from app.storage.json_text import mended
from app.storage.layout import Layout
from app.storage.learning import LearnedPattern
from app.storage.shape import Shape, Tree


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def written(value: Any, *, space: str = "", ascii_only: bool = True) -> str:
    """JSON text with numbers verbatim."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        inner = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}{space}:{space}{written(v, space=space, ascii_only=ascii_only)}"
            for k, v in value.items()
        )
        return "{" + space + f"{space},{space}".join(inner) + space + "}"
    if isinstance(value, list):
        return "[" + f"{space},{space}".join(written(v, space=space, ascii_only=ascii_only) for v in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def slow_leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from slow_leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def slow_cell(value: Any, space: str, ascii_only: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Number):
        return value
    return written(value, space=space, ascii_only=ascii_only)


def slow_table(records: list[Any], space: str, ascii_only: bool) -> list[list[str]]:
    rows = [dict(slow_leaves(record if isinstance(record, dict) else {"value": record})) for record in records]
    columns = list(dict.fromkeys(path for row in rows for path in row))
    header = [".".join(path) for path in columns]
    return [header, *[[slow_cell(row.get(path), space, ascii_only) for path in columns] for row in rows]]


@pytest.fixture(params=["decoding", "patterns"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs as files begin, by decoding, and as they go on, by patterns learned from the first block."""
    if request.param == "patterns":
        monkeypatch.setattr(learning, "FIRST_BYTES", 1)


def rendered(records: list[str], *, blocks: int = 1, guard: bool = False) -> tuple[bytes, CsvRows]:
    """The CSV of JSON texts, given to the renderer in so many blocks."""
    lines = [record.encode() + b"\n" for record in records]
    cut = -(-len(lines) // blocks)
    parts = [b"".join(lines[start : start + cut]) for start in range(0, len(lines), cut)]
    scanner = ColumnScanner()
    for part in parts:
        scanner.scan(part)
    rows = CsvRows(scanner.take_new(), guard=guard)
    return b"".join(rows.render(parts)), rows


def table(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))


nasty = st.sampled_from(
    [
        ",null,",
        "[null",
        "null",
        "annulled",
        '"',
        '""',
        "\\",
        '\\"',
        "a\r\nb",
        "\n[",
        "]\n[",
        "{",
        "}",
        "[",
        "]",
        "\n{",
        "é",
        "\u2028",
        "😀",
        "\x00",
        "=1",
        "\\u0041",
        "\\ud800",
        ",",
        "",
        " ",
        "1.10",
        "true",
    ]
)
texts = st.one_of(nasty, st.text(max_size=8), st.lists(nasty, max_size=4).map("".join))
numbers = st.sampled_from(["0", "-0", "1.10", "1e400", "1E+2", "-12.500", "123456789012345678901234567890", "7"]).map(
    Number
)
names = st.sampled_from(
    ["a", "b", "a.b", "c", "", "é", "\\", 'q"', "value", "x,y", "null", "[", "{", "new\nline", "a\\.b"]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
arrays = st.lists(st.one_of(scalars, st.dictionaries(names, scalars, max_size=2)), max_size=3)
objects = st.recursive(
    st.dictionaries(names, st.one_of(scalars, arrays), max_size=5),
    lambda inner: st.dictionaries(names, st.one_of(scalars, inner), max_size=4),
    max_leaves=8,
)
records_of_any_kind = st.lists(st.one_of(objects, objects, objects, scalars, arrays), max_size=12)


@given(
    records=records_of_any_kind,
    space=st.sampled_from(["", " ", " \t"]),
    ascii_only=st.booleans(),
    blocks=st.integers(1, 4),
)
@example(records=[{"a": None}, {"a": {"b": Number("1")}}, {"a": "x"}], space="", ascii_only=True, blocks=1)
@example(records=[{"a": Number("1"), "b": "x,null"}, {"a": None, "b": "y"}], space="", ascii_only=True, blocks=2)
@example(records=[{"a": "x]\n[y"}, {"a": "z"}], space="", ascii_only=True, blocks=1)
@example(records=[{"a": {}}, {"a": {"b": {}}}, {"a": []}], space=" ", ascii_only=True, blocks=1)
def test_csv_is_that_of_the_slow_renderer(records: list[Any], space: str, ascii_only: bool, blocks: int) -> None:
    expected = slow_table(records, space, ascii_only)
    lines = [written(record, space=space, ascii_only=ascii_only) for record in records]
    if expected[0]:
        text, _ = rendered(lines, blocks=blocks)
        assert table(text) == expected
        assert text.endswith(b"\r\n")
    else:
        scanner = ColumnScanner()
        scanner.scan("".join(line + "\n" for line in lines).encode())
        assert scanner.take_new() == ()


@st.composite
def lines_laid_out_alike(draw: st.DrawFn) -> list[str]:
    """Records of one layout: members in one order, some left out, values of any kind, here and there an oddity."""
    order = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    inner_order = draw(st.lists(names, max_size=3, unique=True))
    space = draw(st.sampled_from(["", "", " "]))
    oddities: list[str] = draw(st.sampled_from([[], ["twice"], ["swapped"], ["new"], ["twice", "swapped", "new"]]))

    def text(names_in_order: list[str], inner: list[str]) -> str:
        kept = [name for name in names_in_order if draw(st.integers(0, 3))]
        oddity: str = draw(st.sampled_from(["", *oddities]))
        kept = {"twice": kept + kept[:1], "swapped": kept[::-1], "new": [*kept, "new"]}.get(oddity, kept)
        members = []
        for name in kept:
            is_nested = bool(inner) and draw(st.booleans())
            value = text(inner, []) if is_nested else written(draw(st.one_of(scalars, arrays, st.just({}))))
            members.append(f"{json.dumps(name, ensure_ascii=False)}:{space}{value}")
        return "{" + f",{space}".join(members) + "}"

    return [text(order, inner_order) for _ in range(draw(st.integers(1, 16)))]


@given(lines=lines_laid_out_alike(), blocks=st.integers(1, 5))
@example(lines=['{"a":"x","b":1}', '{"a":"\\n","b":2}', '{"a":"\\"\\\\","b":["\\""]}'], blocks=3)
@example(lines=['{"a":"x","b":"y"}', *['{"a":"\\n","b":"\\\\"}', '{"a":"\\t","b":["\\n"]}'] * 2], blocks=2)
def test_records_laid_out_alike_give_the_same_csv_as_any(lines: list[str], blocks: int) -> None:
    expected = slow_table([json.loads(line, parse_int=Number, parse_float=Number) for line in lines], "", True)
    if expected[0]:
        assert table(rendered(lines, blocks=blocks)[0]) == expected


ALIKE = [
    f'{{"id":{n},"name":"N{n}","none":null,"to":{{"city":"X","zip":1.10}},"tags":["a","b"],"ok":true}}\n'
    for n in range(20)
]


def test_records_laid_out_alike_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "FIRST_BYTES", 1)
    scanner = ColumnScanner()
    scanner.scan(ALIKE[0].encode())
    columns = scanner.take_new()
    rows = CsvRows(columns)
    first = rows.rows(ALIKE[0].encode())
    monkeypatch.setattr(Shape, "rows", None)
    scanner.scan("".join(ALIKE).encode())
    assert scanner.take_new() == ()
    assert rows.rows("".join(ALIKE).encode()).startswith(first)


@pytest.mark.parametrize(
    "last",
    [
        '{"id":1,"new":2}',
        '{"id":1,"to":{"new":2}}',
        '{"id":{"new":1}}',
        '{"id":1,"to":null}',
        '{"id":1,"to":{"city":{"new":1}}}',
        '{"id":1,"na\\u006de":1,"new":1}',
        '{"id":1,"name":"}","new":"{"}',
        '{"id":1,"name":"\\"","new":"\\\\"}',
    ],
)
def test_column_that_the_last_of_many_records_brings_is_found(last: str) -> None:
    scanner = ColumnScanner()
    for start in range(0, len(ALIKE), 5):
        scanner.scan("".join(ALIKE[start : start + 5]).encode())
    known = scanner.take_new()
    scanner.scan(("".join(ALIKE) + last + "\n").encode())
    (new,) = scanner.take_new()
    text, _ = rendered([*(line.rstrip("\n") for line in ALIKE), last], blocks=3)
    assert new not in known
    assert table(text)[0] == [*known, new]


@pytest.mark.parametrize("columns", [None, Tree.of([("a",), ("b",)])])
def test_pattern_is_there_while_it_fits_most_lines(columns: Tree | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "FIRST_BYTES", 10)
    learned = LearnedPattern(columns)
    usual, other = b'{"a":1,"b":2}\n', b'{"b":1,"a":2}\n'
    learned.note(usual)
    assert learned.compiled
    learned.note(other * 3, len(usual) * 3)
    assert learned.compiled
    learned.note(other * 4)
    assert learned.compiled is None
    learned.note(usual * 8)
    assert learned.compiled


def test_pattern_is_looked_for_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "FIRST_BYTES", 100)
    learned = LearnedPattern()
    lines = [json.dumps({f"n{number}": number}).encode() + b"\n" for number in range(200)]
    patterns = []
    for line in lines:
        learned.note(line)
        patterns.append(learned.compiled)
    assert patterns[:5] == [None] * 5
    assert len(set(patterns)) <= 6


def test_layout_learns_members_that_come_late_and_leaves_out_what_is_too_much() -> None:
    layout = Layout()
    for line in (b"[1]", b'{"a":1,"c":{"x":"1"}}', b'{"a":1,"b":null,"c":{"y":[],"x":""}}', b'{"q\\"":1}'):
        layout.learn(line)
    pattern = re.compile(layout.pattern() or b"")
    fitting = [
        b'{"a":1,"c":{"x":""}}\n',
        b'{"a":2,"b":null,"c":{"y":["]"],"x":"b"}}\n',
        b'{"a":2,"c":{"y":[],"x":""}}\n',
    ]
    odd = [b'{"a":1,"b":1,"c":{"x":""}}\n', b'{"b":null,"a":1,"c":{"x":""}}\n', b'{"a":1,"c":{}}\n', b"{}\n"]
    assert pattern.findall(b"".join(fitting)) == [b"", b"", b""]
    assert pattern.findall(b"".join(odd)) == odd
    layout.learn(json.dumps(dict.fromkeys(str(number) for number in range(250)), separators=(",", ":")).encode())
    assert layout.pattern() == pattern.pattern
    for number in range(250):
        layout.learn(json.dumps({"a": 1, f"n{number}": 1}).encode())
    assert layout.pattern() is None


def test_only_columns_have_groups_in_a_pattern() -> None:
    layout = Layout()
    layout.learn(b'{"a":1,"b":{"x":["1"],"y":2},"c":3}')
    pattern = re.compile(layout.pattern(Tree.of([("c",), ("b", "x")])) or b"")
    assert pattern.findall(b'{"a":9,"b":{"x":["8"],"y":7},"c":6}\n{"c":5}\n') == [(b'["8"]', b"6"), (b"", b"")]
    assert pattern.groupindex == {"a1": 1, "c0": 2}


@pytest.mark.parametrize("name", ["", " a", ",", ":", "}x", "]", "\n", 'a"', "a\\", "\ud800"])
def test_names_that_could_be_taken_for_what_follows_a_string_get_no_pattern(name: str) -> None:
    layout = Layout()
    layout.learn(json.dumps({"a": 1, name: 2}).encode())
    assert layout.pattern() is None


ENDS = ["", "\\", '\\"', '"', '",', '","b":', '"}', "]", '"],', "x"]


@given(
    values=st.lists(
        st.one_of(
            st.lists(st.sampled_from(ENDS), max_size=3).map("".join),
            st.lists(st.lists(st.sampled_from(ENDS), max_size=2).map("".join), max_size=3),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_pattern_fits_whole_strings_only(values: list[str | list[str]]) -> None:
    lines = [json.dumps({"a": value, "b": other}, separators=(",", ":")) for value, other in pairwise(values)]
    layout = Layout()
    for line in lines[: len(lines) // 2 + 1]:
        layout.learn(line.encode())
    pattern = re.compile(layout.pattern(Tree.of([("a",), ("b",)])) or b"")
    found = pattern.findall("".join(f"{line}\n" for line in lines).encode())
    assert len(found) == len(lines)
    for cells, line in zip(found, lines, strict=True):
        assert cells == (b"", b"") or list(map(json.loads, cells)) == list(json.loads(line).values())


def test_sound_text_is_not_mended() -> None:
    text = b'{"a":"\\ud83d\\ude00"}\n{"a":"\\\\ud83d"}\n'
    assert mended(text) == (text, 0)
    assert mended(text + rb'"\udddd"') == (text + rb'"\ufffd"', 1)


half_strings = st.lists(st.sampled_from(["\ud83d", "\ude00", "a", "\\", "\\ud83d", "u", "\n"]), max_size=7).map("".join)


@given(values=st.lists(half_strings, min_size=1, max_size=5), name=half_strings)
def test_unpaired_surrogates_become_replacement_characters_and_are_counted(values: list[str], name: str) -> None:
    lines = [json.dumps({"id": 1, name: value}) for value in values]
    text, rows = rendered(lines)
    mended = [re.sub("[\ud800-\udfff]", "\ufffd", json.loads(json.dumps(part))) for part in (name, *values)]
    assert table(text) == [["id", mended[0]], *[["1", value] for value in mended[1:]]]
    count = sum(part.count("\ufffd") for part in mended) + (len(values) - 1) * mended[0].count("\ufffd")
    assert rows.replaced_count == count


def test_surrogates_inside_arrays_are_replaced_in_their_escaped_form() -> None:
    text, rows = rendered([r'{"a":["\ud800","\ud83d\ude00"]}'])
    assert table(text) == [["a"], [r'["\ufffd","\ud83d\ude00"]']]
    assert rows.replaced_count == 1


def test_rows_are_in_the_documented_form() -> None:
    text, _ = rendered(
        ['{"id":1.10,"name":"Ada \\"A\\"","none":null,"tags":["a",1.10],"to":{"city":"X"},"ok":true}', '{"id":2}']
    )
    assert text == (
        b"id,name,none,tags,to.city,ok\r\n"
        b'1.10,"Ada ""A""",,"[""a"",1.10]","X",true\r\n'
        b"2,,,,,\r\n"
    )  # fmt: skip


def test_row_with_one_empty_cell_is_not_an_empty_line() -> None:
    text, _ = rendered(['{"a":null}', "{}", '{"a":1}'])
    assert text == b'a\r\n""\r\n""\r\n1\r\n'


def test_the_last_of_two_values_with_one_name_counts() -> None:
    text, _ = rendered(['{"a":1,"a":{"b":2}}', '{"a":{"b":3},"a":4}'])
    assert table(text) == [["a.b", "a"], ["2", ""], ["", "4"]]


def test_names_with_dots_and_nested_names_stay_apart() -> None:
    text, _ = rendered(['{"a.b":1,"a":{"b":2}}'])
    assert table(text) == [["a.b", "a.b"], ["1", "2"]]


def test_columns_may_be_a_choice() -> None:
    rows = CsvRows(["c", "a.b"])
    assert rows.rows(b'{"a":{"b":1,"x":2},"b":3,"c":4}\n{"b":9}\n') == b"4,1\r\n,\r\n"


def test_object_in_a_column_of_scalars_is_given_as_json_text() -> None:
    assert CsvRows(["a", "b"]).rows(b'{"a":{"x":1},"b":2}\n') == b'"{""x"":1}",2\r\n'


def test_invalid_utf8_does_not_stop_the_rendering() -> None:
    assert CsvRows(["a", "b"]).rows(b'{"a":"\\t\xff","b":1}\n') == b'"\t\xef\xbf\xbd",1\r\n'
    assert CsvRows(["a", "b"]).rows(b'{"\xff":"x","b":1}\n') == b",1\r\n"


@pytest.mark.parametrize("record", [b'{"a":nonsense}\n', b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n"])
def test_record_that_is_no_json_is_reported(record: bytes) -> None:
    with pytest.raises(StorageError, match="no JSON"):
        CsvRows(["a"]).rows(record)
    with pytest.raises(StorageError, match="no JSON"):
        ColumnScanner().scan(record)


def test_hollow_objects_of_many_levels_are_empty() -> None:
    record = '{"a":' * 500 + "{}" + "}" * 500
    assert CsvRows(["a"]).rows(record.encode() + b"\n") == b'""\r\n'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_guard_disarms_strings_and_names_but_not_numbers(start: str) -> None:
    record = json.dumps({f"{start}name": f"{start}1+1", "n": -1, "plain": "a=b", "none": None})
    text, _ = rendered([record], guard=True)
    assert table(text) == [[f"'{start}name", "n", "plain", "none"], [f"'{start}1+1", "-1", "a=b", ""]]
    text, _ = rendered([record])
    assert table(text) == [[f"{start}name", "n", "plain", "none"], [f"{start}1+1", "-1", "a=b", ""]]


def test_wide_tables_are_rendered_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_MOST_CELLS", 30)
    lines = [json.dumps({f"c{number}": number}) for number in range(20)]
    text, _ = rendered(lines)
    assert table(text) == slow_table([json.loads(line, parse_int=Number) for line in lines], "", ascii_only=True)


@given(path=st.lists(st.text(), min_size=1, max_size=4).map(tuple))
def test_spelling_of_a_column_is_reversible(path: tuple[str, ...]) -> None:
    assert path_of(spelled(path)) == path
    assert header_name(spelled(path)) == ".".join(path)
    assert "\0" not in spelled(path)  # which no text of PostgreSQL holds


@given(records=st.lists(objects, max_size=12), known=st.integers(0, 3), cut=st.integers(0, 12))
@example(records=[{"a": {"b": Number("1")}}, {"a": None}], known=0, cut=1)
def test_scanner_reports_only_new_names_in_the_order_of_first_sight(records: list[Any], known: int, cut: int) -> None:
    paths = list(dict.fromkeys(path for record in records for path, _ in slow_leaves(record)))
    columns = [spelled(path) for path in paths]
    scanner = ColumnScanner(columns[:known])
    taken: list[str] = []
    for part in (records[:cut], records[cut:]):
        scanner.scan("".join(written(record) + "\n" for record in part).encode())
        taken += scanner.take_new()
    assert taken == columns[known:]
    assert scanner.take_new() == ()


def test_too_many_columns_are_refused() -> None:
    record = json.dumps({f"c{number}": 1 for number in range(MAX_COLUMNS + 1)})
    with pytest.raises(StorageError, match="choose fields"):
        ColumnScanner().scan(record.encode() + b"\n")


def test_very_deep_objects_become_json_text() -> None:
    record = '{"a":' * (MAX_DEPTH + 5) + "1" + "}" * (MAX_DEPTH + 5)
    text, _ = rendered([record, record])
    header, *rows = table(text)
    assert header == [".".join("a" * MAX_DEPTH)]
    assert rows == [['{"a":{"a":{"a":{"a":{"a":1}}}}}']] * 2
