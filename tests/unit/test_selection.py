"""Choosing records and fields, held against a naive reading of the criteria."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import chain, product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from app.domain import learning
from app.domain.instants import parse_instant
from app.domain.ocnql import Condition, compile_condition, parse_condition
from app.domain.selection import InvalidWindowError, Selection, Window, choosing, nulls, window_of
from tests.benchmarks.records import record

# Records as the tests know them: an object is a list of (name as written, value), an array a list, the rest JSON text.
Model = Any

LEAVES = [
    *("null", "true", "false", "0", "-0.0", "1.10", "1E5", "12345678901234567890123", "9" * 400, '""', '"x"', '"null"'),
    *(
        r'"\"a\":null,"',
        '":null,"',
        r'"\\"',
        r'"a\\\",\"b\":1"',
        r'"\ud800"',
        r'"\u0000"',
        r'"\u00e9"',
        '"é😀"',
        '"}{]["',
    ),
    *(
        '"2024-03-01T00:00:00Z"',
        '"2024-03-01T01:00:00+01:00"',
        "1709251200",
        '"2024-02-29"',
        '"soon"',
        '"new"',
        '"old"',
    ),
]
NAMES = ["a", "b", "c", "d", "a.b", "a.b.c", "at", "stage", "é", "", "null", r"\u0061", r"\"", "x y", r"\ud800"]
FIELDS = [
    *("a", "b", "c", "a.b", "a.b.c", "b.a", "c.d.a", "at", "stage", "é", "null", '"', "x y", "nowhere", "d.null"),
    *("", "a.", "\ud800"),
]

names = st.sampled_from(NAMES)
leaves = st.sampled_from(LEAVES)


class Obj(list[tuple[str, Any]]):
    """An object of the model: names may come twice."""


class Chosen(Obj):
    """An object of which fields were chosen: written without spaces, whatever the style."""


class ChosenArray(list[Any]):
    """An array of such."""


values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=4).map(Obj),
    max_leaves=12,
)
records = st.lists(st.tuples(names, values), max_size=7).map(Obj) | values


def written(value: Model, comma: str = ",", colon: str = ":") -> str:
    if isinstance(value, Chosen):
        return "{" + ",".join(f'"{name}":{written(inner, comma, colon)}' for name, inner in value) + "}"
    if isinstance(value, ChosenArray):
        return "[" + ",".join(written(inner, comma, colon) for inner in value) + "]"
    if isinstance(value, Obj):
        return "{" + comma.join(f'"{name}"{colon}{written(inner, comma, colon)}' for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + comma.join(written(inner, comma, colon) for inner in value) + "]"
    return str(value)


def named(name: str) -> str:
    return str(json.loads(f'"{name}"'))


def canonical(name: str) -> str:
    """How a chosen field's name is written: nothing escaped that need not be."""
    return json.dumps(name, ensure_ascii="\ud800" in name)[1:-1]


def slow_fields(value: Model, paths: Sequence[str]) -> Model:
    """What is chosen of an object or array; None for what has no fields."""
    if isinstance(value, Obj):
        found = {named(name): inner for name, inner in value}
        order = [name for path in paths for name in sorted(found, key=len) if f"{path}.".startswith(f"{name}.")]
        kept = ((name, slow_field(name, found[name], paths)) for name in dict.fromkeys(order))
        return Chosen((canonical(name), inner) for name, inner in kept if inner is not None)
    if isinstance(value, list):
        return ChosenArray(kept for inner in value if (kept := slow_fields(inner, paths)) is not None)
    return None


def slow_field(name: str, value: Model, paths: Sequence[str]) -> Model:
    if name in paths:
        return value
    return slow_fields(value, [path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")])


def slow_nulls(value: Model) -> Model:
    if isinstance(value, Obj):
        return type(value)((name, slow_nulls(inner)) for name, inner in value if inner != "null")
    return type(value)(slow_nulls(inner) for inner in value) if isinstance(value, list) else value


def slow_found(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return None
    for head in sorted(value, key=len, reverse=True):
        if path == head:
            return value[head]
        if path.startswith(f"{head}."):
            return slow_found(value[head], path[len(head) + 1 :])
    return None


def slow_verdict(text: str, window: Window | None, condition: Condition | None) -> str:
    record = json.loads(text, parse_float=Decimal)
    if window:
        at = parse_instant(slow_found(record, window.field))
        if at is None:
            return "undated"
        if (window.start_ns is not None and at < window.start_ns) or (window.end_ns is not None and at > window.end_ns):
            return "filtered"
    is_kept = condition is None or compile_condition(condition)(record if isinstance(record, dict) else {})
    return "kept" if is_kept else "filtered"


def slow_cut(record: Model, fields: Sequence[str], *, drop_nulls: bool) -> Model:
    if not isinstance(record, Obj):
        return record
    chosen = slow_fields(record, fields) if fields else record
    return slow_nulls(chosen) if drop_nulls else chosen


STYLES = [(",", ":"), (", ", ": "), (" ,\t", " : ")]
windows = st.none() | st.builds(
    Window,
    st.sampled_from(["at", "a.b", "b.a"]),
    st.sampled_from([None, parse_instant("2024-03-01")]),
    st.sampled_from([None, parse_instant("2024-03-01T00:00:00Z")]),
)
conditions = st.none() | st.sampled_from(
    [
        "stage = 'new'",
        "a IS NULL",
        "`a.b` IS NOT NULL AND NOT c = 1.1",
        "b > 0 OR at >= '2024-03-01'",
        "a.b.c = 'x' OR b.a LIKE '%null%'",
    ]
).map(parse_condition)
field_lists = st.lists(st.sampled_from(FIELDS), max_size=5, unique=True)

# Records that are laid out alike, so that patterns fit. Of each member: name, what it holds, whether it may be missing.
SAME_KIND = [
    ('"x"', '"null"', '":null,"', r'"\u0000"', r'"\\"'),
    (r'"\"a\":null,"', '"x"', r'"a\\\",\"b\":1"', r'"\\"'),
    ("1.10", "true", "12345678901234567890123", "-0.0"),
    ("[]", '["null",1]', r'["\"}",[2]]', '[{"a":1},"x"]', "[null]", '[{"c":null,"a":[null]}]'),
    ('"new"', "null", '"old"'),
    ("null", "1"),
    ("{}", "null", '{"a":null}'),
    ('"2024-03-01T00:00:00Z"', '"2024-03-01T01:00:00+01:00"', "null", '"2024-02-29"'),
]
PLAIN_NAMES = ["a", "b", "c", "d", "a.b", "at", "stage", "é", "null", "x y"]


def members(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    member = st.tuples(st.sampled_from(PLAIN_NAMES), inner, st.sampled_from([False, False, True]))
    return st.lists(member, min_size=1, max_size=6, unique_by=lambda each: each[0])


shapes = members(st.recursive(st.sampled_from(SAME_KIND), members, max_leaves=8))


def of_shape(shape: Any) -> st.SearchStrategy[Model]:
    if isinstance(shape, tuple):
        return st.sampled_from(shape).map(parsed)
    return st.tuples(*map(member_of_shape, shape)).map(lambda found: Obj(member for part in found for member in part))


def member_of_shape(member: tuple[str, Any, bool]) -> st.SearchStrategy[list[Any]]:
    """The member, or none where it may be missing."""
    name, inner, is_optional = member
    there = of_shape(inner).map(lambda value: [(name, value)])
    return st.just([]) | there if is_optional else there


def parsed(text: str) -> Model:
    """The model of a JSON text without awkward names."""
    if text[0] == "{":
        return Obj((name, parsed(json.dumps(value))) for name, value in json.loads(text).items())
    return [parsed(item) for item in items(text)] if text[0] == "[" else text


def items(text: str) -> list[str]:
    decoder, at, found = json.JSONDecoder(), 1, []
    while text[at] != "]":
        end = decoder.raw_decode(text, at)[1]
        found.append(text[at:end])
        at = end + (text[end] == ",")
    return found


pages_alike = shapes.flatmap(lambda shape: st.lists(st.lists(of_shape(shape), min_size=1, max_size=6), max_size=5))
pages_unlike = st.lists(st.lists(records, max_size=4), max_size=3)


@pytest.fixture(params=["exactly", "patterns"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs as downloads begin, record by record, and as they go on, by patterns learned from those before."""
    if request.param == "patterns":
        monkeypatch.setattr(learning, "FIRST_BYTES", 1)


def encoded(page: list[Model], style: tuple[str, str] = STYLES[0]) -> list[bytes]:
    return [written(record, *style).encode() for record in page]


class TestAnyCombination:
    @given(
        pages=pages_unlike | pages_alike,
        fields=field_lists,
        drop_nulls=st.booleans(),
        window=windows,
        condition=conditions,
        style=st.sampled_from(STYLES),
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_it_equals_the_naive_reading_byte_for_byte(
        self,
        pages: list[list[Model]],
        fields: list[str],
        drop_nulls: bool,
        window: Window | None,
        condition: Condition | None,
        style: tuple[str, str],
    ) -> None:
        selection = Selection(fields, drop_nulls=drop_nulls, window=window, condition=condition)
        for page in pages:
            verdicts = [slow_verdict(written(record), window, condition) for record in page]
            expected = [
                slow_cut(record, fields, drop_nulls=drop_nulls)
                for record, verdict in zip(page, verdicts, strict=True)
                if verdict == "kept"
            ]
            done = selection.apply(encoded(page, style))
            assert [bytes(record) for record in done.records] == encoded(expected, style)
            counts = (done.consumed, done.filtered, done.undated)
            assert counts == (len(page), verdicts.count("filtered"), verdicts.count("undated"))

    @given(
        pages=pages_alike | pages_unlike,
        fields=field_lists,
        drop_nulls=st.booleans(),
        window=windows,
        room=st.integers(0, 4),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_room_and_the_way_records_are_paged_change_nothing(
        self, pages: list[list[Model]], fields: list[str], drop_nulls: bool, window: Window | None, room: int
    ) -> None:
        everything = encoded([record for page in pages for record in page])
        whole = Selection(fields, drop_nulls=drop_nulls, window=window).apply(everything)
        selection = Selection(fields, drop_nulls=drop_nulls, window=window)
        paged = [selection.apply(encoded(page)) for page in pages]
        assert [record for part in paged for record in part.records] == [*whole.records]
        for count in ("consumed", "filtered", "undated"):
            assert sum(getattr(part, count) for part in paged) == getattr(whole, count)

        some = selection.apply(everything, room)
        assert [*some.records] == [*whole.records[:room]]
        until_then = Selection(fields, drop_nulls=drop_nulls, window=window).apply(everything[: some.consumed])
        assert (some.filtered, some.undated) == (until_then.filtered, until_then.undated)
        assert len(until_then.records) == len(some.records)
        assert some.consumed == len(everything) or len(some.records) == room
        rest = selection.apply(everything[some.consumed :])
        assert [*some.records, *rest.records] == [*whole.records]


@given(page=pages_alike.map(lambda pages: [*chain.from_iterable(pages)]), fields=field_lists, nulls=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_pattern_cuts_is_what_the_exact_way_cuts(page: list[Model], fields: list[str], nulls: bool) -> None:
    learned = Selection(fields, drop_nulls=nulls)
    expected = encoded([slow_cut(each, fields, drop_nulls=nulls) for each in page])
    for _ in range(3):
        assert [*learned.apply(encoded(page)).records] == expected


@pytest.mark.parametrize("fields", [(), ("a", "c"), ("a", "b", "c"), ("b", "o"), ("o.a", "o.c"), ("o.b", "c")])
@pytest.mark.parametrize("is_identified", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_commas_where_any_field_may_be_null_or_missing(
    fields: tuple[str, ...], is_identified: bool, style: tuple[str, str]
) -> None:
    states = [[], ["null"], ["1"]]
    inner = [
        Obj((name, value) for name, found in zip("abc", each, strict=True) for value in found)
        for each in product(states, repeat=3)
    ]
    identity = [("id", "7")] if is_identified else []
    flat = [Obj([*each, *identity]) for each in inner]
    nested = [Obj([*identity, ("o", each)]) for each in inner]
    for page in (flat, nested, [*flat, *nested]):
        for drop_nulls in (False, True):
            selection = Selection(fields, drop_nulls=drop_nulls)
            expected = encoded([slow_cut(each, fields, drop_nulls=drop_nulls) for each in page], style)
            for _ in range(2):
                assert [*map(bytes, selection.apply(encoded(page, style)).records)] == expected


BENCHMARK_FIELDS = ("id", "email", "company", "createdAt", "address.city", "source")


@pytest.mark.parametrize(
    "selection",
    [
        lambda: Selection(BENCHMARK_FIELDS),
        lambda: Selection((*BENCHMARK_FIELDS, "owner"), drop_nulls=True),
        lambda: Selection(drop_nulls=True),
        lambda: Selection(("owner", "stage"), drop_nulls=True),
        lambda: Selection(("owner", "score.x", "address.zip"), drop_nulls=True),
    ],
)
def test_records_laid_out_alike_are_cut_the_fast_ways(
    selection: Callable[[], Selection], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [record(number) for number in range(1, 101)]
    expected = [*selection().apply(lines).records]
    monkeypatch.setattr(learning, "FIRST_BYTES", 1)
    learned = selection()
    learned.apply(lines)

    def refuse(*_: object, **__: object) -> bytes:
        raise AssertionError("cut one by one")

    monkeypatch.setattr(nulls, "cut_by_member", refuse)
    monkeypatch.setattr(choosing, "chosen_by_member", refuse)
    assert [*map(bytes, learned.apply([Raw(line) for line in lines]).records)] == [*map(bytes, expected)]


GOLDEN = [
    # fields, drops nulls, record, what is kept of it
    ("address.city", False, '{"id":1,"address":{"street":"x","city":"Basel"}}', '{"address":{"city":"Basel"}}'),
    ("address", False, '{"id":1,"address":{"street":"x","city":null}}', '{"address":{"street":"x","city":null}}'),
    ("address,address.city", False, '{"address":{"street":"x","city":1}}', '{"address":{"street":"x","city":1}}'),
    ("b,a", False, '{"a":1.10,"c":2,"b":12345678901234567890123}', '{"b":12345678901234567890123,"a":1.10}'),
    ("o.b,id,o.a", False, '{"id":7,"o":{"a":1,"c":2,"b":3}}', '{"o":{"b":3,"a":1},"id":7}'),
    ("o.b,id,o", False, '{"id":7,"o":{"a":1,"b":3}}', '{"o":{"a":1,"b":3},"id":7}'),
    ("a.b", False, '{"a.b":1,"a":{"b":2,"c":3},"b":4}', '{"a":{"b":2},"a.b":1}'),
    ("a.b.c", False, '{"a.b":{"c":1,"d":2},"a":{"b.c":3,"b":{"c":4}}}', '{"a":{"b":{"c":4},"b.c":3},"a.b":{"c":1}}'),
    ("a.b,c,a.d", False, '{"c":1,"a.d":2,"a.b":3,"a":{"d":4,"b":5}}', '{"a":{"b":5,"d":4},"a.b":3,"c":1,"a.d":2}'),
    ("id", False, '{"name":"x"}', "{}"),
    ("address.city", False, '{"address":null,"b":1}', "{}"),
    ("address.city", False, '{"address":"Basel"}', "{}"),
    ("address.city", False, '{"address":{"zip":1}}', '{"address":{}}'),
    (
        "items.sku",
        False,
        '{"items":[{"sku":1,"n":2},{"n":3},7,null,[{"sku":4,"n":5}]]}',
        '{"items":[{"sku":1},{},[{"sku":4}]]}',
    ),
    ("tags.x", False, '{"tags":["a","b"]}', '{"tags":[]}'),
    ("a", False, r'{"\u0061":1,"b":2}', '{"a":1}'),
    ("é", False, r'{"\u00e9":"\u00e9"}', r'{"é":"\u00e9"}'),
    ('",a/b', False, r'{"a\/b":1,"\"":2,"c":3}', r'{"\"":2,"a/b":1}'),
    ("a", False, r'{"a":"\ud800","b":"\udfff"}', r'{"a":"\ud800"}'),
    ("a", False, r'{"a":"\u0000","b\u0000":1}', r'{"a":"\u0000"}'),
    ("a", False, r'{"a":"1\",\"a\":2","b":1}', r'{"a":"1\",\"a\":2"}'),
    ("a", False, r'{"a":"x\\","b":"y"}', r'{"a":"x\\"}'),
    ("a", False, '{"a":1,"b":2,"a":3}', '{"a":3}'),
    ("a", False, r'{"a":1,"b":2,"\u0061":3}', '{"a":3}'),
    ("a.b", False, '{"a":{"b":1},"a":null}', "{}"),
    ("a.b", False, '{"a":{"b":1},"a":"x"}', "{}"),
    ("a.b", False, '{"a":"x","a":{"c":1}}', '{"a":{}}'),
    ("a.b", False, '{"a":{"b":1},"a":[{"b":2},{"b":3}]}', '{"a":[{"b":2},{"b":3}]}'),
    ("b,c", False, '{ "a" : 1 , "b" : 2 ,\t"c" : [ 1 , 2 ] }', '{"b":2,"c":[ 1 , 2 ]}'),
    ("o.b", False, ' { "o" : { "b" : { "c" : 1 } , "a" : 2 } } ', '{"o":{"b":{ "c" : 1 }}}'),
    (
        "",
        True,
        '{"a":null,"b":{"c":null},"d":[null,{"e":null,"f":1}],"g":"null"}',
        '{"b":{},"d":[null,{"f":1}],"g":"null"}',
    ),
    ("", True, '{ "a" : null , "b" : 1 }', '{ "b" : 1 }'),
    ("", True, '{"a":{"b":null},"a":null,"a":1}', '{"a":{},"a":1}'),
    ("", True, r'{"a":"\"b\":null,","null":":null,","c":null}', r'{"a":"\"b\":null,","null":":null,"}'),
    ("a,b.c", True, '{"a":null,"b":{"c":null,"d":1},"e":1}', '{"b":{}}'),
    # What is no object or no JSON stays as it is.
    ("a", True, "[1,null]", "[1,null]"),
    ("a", True, "null", "null"),
    ("a", True, '"a"', '"a"'),
    ("a", True, '{"a":null', '{"a":null'),
    ("a", True, '{"a":null}}', '{"a":null}}'),
    ("a", True, '{"a" 1,"b":null}', '{"a" 1,"b":null}'),
    ("a", True, '{"a":1 "b":null}', '{"a":1 "b":null}'),
    ("a", True, '{"b":null,}', '{"b":null,}'),
    ("a", True, '{"b":[1}', '{"b":[1}'),
    ("a", True, '{"a":"x', '{"a":"x'),
    ("a", True, '{"a":,"b":null}', '{"a":,"b":null}'),
    ("a", True, "{b:null}", "{b:null}"),
    ("a", True, "", ""),
    ("a", True, r'{"\x":null}', r'{"\x":null}'),
]


@pytest.mark.parametrize(("fields", "drop_nulls", "text", "kept"), GOLDEN)
def test_awkward_records(fields: str, drop_nulls: bool, text: str, kept: str) -> None:
    selection = Selection(fields.split(",") if fields else (), drop_nulls=drop_nulls)
    for _ in range(3):
        assert selection.apply([text.encode()] * 2).records == [kept.encode()] * 2


def deep(levels: int, inner: str) -> str:
    return '{"a":' * levels + inner + "}" * levels


@pytest.mark.parametrize("levels", [900, 100_000])
def test_no_nesting_is_too_deep(levels: int) -> None:
    text = f'{{"id":1,"deep":{deep(levels, "null")},"b":null,"at":"2024-03-01"}}'.encode()
    assert Selection(["b", "id"]).apply([text]).records == [b'{"b":null,"id":1}']
    without = f'{{"id":1,"deep":{deep(levels - 1, "{}")},"at":"2024-03-01"}}'.encode()
    assert Selection(drop_nulls=True).apply([text]).records == [without]
    assert Selection(window=window_of("at", "2024-03-01", None)).apply([text]).records == [text]
    assert Selection(condition=parse_condition("id = 1")).apply([text]).records == [text]
    assert Selection(["deep." + ".".join("a" * 50)]).apply([text]).records == [
        f'{{"deep":{deep(levels, "null")}}}'.encode()
    ]


def test_a_field_that_is_too_deep_to_be_decoded_counts_as_absent() -> None:
    text = f'{{"id":1,"deep":{deep(100_000, "1")}}}'.encode()
    assert Selection(condition=parse_condition("deep IS NULL AND id = 1")).apply([text]).records == [text]


def test_a_record_of_ten_megabytes_and_five_thousand_columns() -> None:
    columns = ",".join(f'"c{number}":{"null" if number % 2 else number}' for number in range(5000))
    text = f'{{"id":1,"big":"{"ab,:" * 2_500_000}","null":"\\"",{columns}}}'.encode()
    selection = Selection(["id", "c4998", "c4999"])
    for _ in range(2):
        assert selection.apply([text]).records == [b'{"id":1,"c4998":4998,"c4999":null}']
    [kept] = Selection(drop_nulls=True).apply([text]).records
    assert (
        bytes(kept) == text[: text.index(b'"c0"')] + b",".join(b'"c%d":%d' % (n, n) for n in range(0, 5000, 2)) + b"}"
    )


def test_numbers_beyond_all_bounds_are_judged_and_kept() -> None:
    texts = [b'{"n":1e999999999999999999999,"at":"2024-03-01"}', b'{"n":%s,"at":1709251200}' % (b"1" * 5000)]
    selection = Selection(["n"], window=window_of("at", "2024-03-01", "2024-03-01"), condition=parse_condition("n > 1"))
    assert selection.apply(texts).records == [b'{"n":1e999999999999999999999}', b'{"n":%s}' % (b"1" * 5000)]


def test_what_has_no_fields_is_undated_and_an_empty_record_to_a_condition() -> None:
    texts = [b"[1]", b"7", b'{"at":', b"null", b'{"a":1}']
    done = Selection(window=window_of("at", "2024-03-01", None)).apply(texts)
    assert (done.records, done.filtered, done.undated) == ([], 0, 5)
    done = Selection(condition=parse_condition("a IS NULL")).apply(texts)
    assert (done.records, done.filtered, done.undated) == (texts[:4], 1, 0)


def test_bytes_that_are_no_utf_8_are_kept() -> None:
    text = b'{"a":"\xff","b\xff":1,"c":null,"d":2}'
    assert Selection(["a", "d"]).apply([text]).records == [b'{"a":"\xff","d":2}']
    assert Selection(drop_nulls=True).apply([text]).records == [b'{"a":"\xff","b\xff":1,"d":2}']
    assert Selection(condition=parse_condition("d = 2")).apply([text]).records == [text]


def test_without_criteria_the_same_records_come_back() -> None:
    lines = [record(1), b"not JSON"]
    selection = Selection()
    assert selection.changes_nothing
    assert selection.apply(lines).records is lines
    assert selection.apply(lines, room=1).consumed == 1


class TestTheWindow:
    def test_both_ends_belong_to_it_and_a_date_is_a_whole_day(self) -> None:
        window = window_of("at", "2024-03-01", "2024-03-02")
        inside = [
            *("2024-03-01", "2024-03-01T00:00:00Z", "2024-02-29T23:00:00-01:00", "2024-03-02T23:59:59.999999999Z"),
            *("Sat, 02 Mar 2024 23:59:59 GMT", "/Date(1709251200000)/", 1709251200, 1709251200000, "1709251200"),
        ]
        outside = ["2024-02-29T23:59:59.999999999Z", "2024-03-03", "2024-03-01T00:00:00+00:01", 0]
        undated = [None, "", "soon", True, [], ["2024-03-01"], {"at": "2024-03-01"}]
        lines = [json.dumps({"at": value}).encode() for value in [*inside, *outside, *undated]] + [b'{"x":1}']
        done = Selection(window=window).apply(lines)
        assert [json.loads(bytes(line))["at"] for line in done.records] == inside
        assert (done.filtered, done.undated) == (len(outside), len(undated) + 1)

    @pytest.mark.parametrize(
        ("room", "consumed", "filtered", "undated"),
        [(0, 0, 0, 0), (1, 2, 1, 0), (2, 4, 1, 1), (3, 6, 2, 1), (None, 6, 2, 1)],
    )
    def test_no_record_behind_the_last_that_has_room_is_consumed(
        self, room: int | None, consumed: int, filtered: int, undated: int
    ) -> None:
        dates = ["2023-01-01", "2024-03-01", "soon", "2024-03-02", "2023-01-02", "2024-03-03"]
        lines = [json.dumps({"at": each}).encode() for each in dates]
        done = Selection(window=window_of("at", "2024-03-01", None)).apply(lines, room)
        assert (done.consumed, done.filtered, done.undated) == (consumed, filtered, undated)
        assert len(done.records) == consumed - filtered - undated

    def test_the_field_may_be_dotted_and_the_last_of_two_counts(self) -> None:
        selection = Selection(window=window_of("meta.at", "2024-03-01", None))
        kept = [b'{"meta":{"at":"2024-03-01"}}', b'{"meta.at":"2024-03-01"}', b'{"meta":{"at":1,"at":"2024-03-01"}}']
        assert selection.apply([*kept, b'{"meta":{"at":"2024-03-01","at":1}}']).records == kept

    def test_it_judges_the_record_as_the_vendor_sent_it(self) -> None:
        selection = Selection(["id"], drop_nulls=True, window=window_of("at", None, "2024-03-01"))
        assert selection.apply([b'{"id":1,"at":"2024-02-01"}', b'{"id":2,"at":null}']).records == [b'{"id":1}']

    def test_without_ends_there_is_none(self) -> None:
        assert window_of(None, None, None) is None
        assert window_of("at", None, "2024-03-01T00:00:00Z") == Window("at", None, parse_instant("2024-03-01"))

    @pytest.mark.parametrize(
        ("field", "start", "end", "named"),
        [
            ("at", "soon", None, "from"),
            ("at", None, "2024-02-30", "to"),
            ("at", "2024-03-02", "2024-03-01", "from"),
            ("at", "2024-03-01T01:00:00Z", "2024-03-01T01:30:00+01:00", "from"),
            (None, "2024-03-01", None, "filterDateField"),
            (" ", None, "2024-03-01", "filterDateField"),
            ("at", "x" * 5000, None, "from"),
        ],
    )
    def test_what_is_wrong_is_named(self, field: str | None, start: str | None, end: str | None, named: str) -> None:
        with pytest.raises(InvalidWindowError) as caught:
            window_of(field, start, end)
        assert caught.value.field == named
        assert caught.value.message.startswith(named)
        assert len(caught.value.message) < 400
