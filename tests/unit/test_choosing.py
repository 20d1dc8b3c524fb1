"""Choosing fields: each way gives what the others give, and that is what a naive reading of the record gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from app.domain.selection import Selection, choosing, scanned_choice
from app.domain.selection.choosing import Choosing, chosen_by_member
from app.domain.selection.fields import Fields, label_of
from app.domain.selection.scanning import UnreadableError
from app.domain.selection.structures import structure_of
from tests.benchmarks.records import record

NAMES = ["a", "b", "c", "a.b", "b.c", "", "é", "x y", r"\u0061", r"\u00e9", r"\"", r"a\/b"]
FIELDS = ["a", "b", "c", "a.b", "a.b.c", "a.c", "b.a", "b.c.a", "c.a.b", "", "a.", "é", "x y", '"', "a/b", "a/b.c"]
LEAVES = ["null", "true", "1.10", "-0.0", "1e400", "9" * 30, '"x"', r'"\u00e9\""', '"}],"', "[]", "{}", "[ 1 , null]"]
SPACES = ["", "", " ", "\t "]


class Pairs(list[tuple[str, Any]]):
    """An object as it was written: equal names too."""


@st.composite
def texts(draw: st.DrawFn, levels: int = 3) -> str:
    """A JSON text, with spaces anywhere."""
    kind = draw(st.sampled_from(["object", "object", "array", "leaf"] if levels else ["leaf"]))
    if kind == "leaf":
        return draw(st.sampled_from(LEAVES))
    space, comma = draw(st.sampled_from(SPACES)), draw(st.sampled_from([",", ", ", " ,"]))
    inner = draw(st.lists(texts(levels - 1), max_size=4))
    if kind == "array":
        return f"[{space}{comma.join(inner)}{space}]"
    members = [f'"{draw(st.sampled_from(NAMES))}"{space}:{space}{each}' for each in inner]
    return f"{{{space}{comma.join(members)}{space}}}"


class Token(str):
    """A value as it is written."""

    __slots__ = ()


def read(text: str) -> Any:
    """Objects as Pairs, arrays as lists, each with its text; the rest as text. By the standard library's scanner."""
    text = text.strip(" \t")
    if text[0] not in "{[" or not text[1:-1].strip(" \t"):
        return Pairs() if text[0] == "{" else [] if text[0] == "[" else Token(text)
    decoder = json.JSONDecoder()
    found: Any = Pairs() if text[0] == "{" else []
    at = 1
    while True:
        name = None
        if text[0] == "{":
            name, at = decoder.raw_decode(text, _behind_space(text, at))
            at = _behind_space(text, at) + 1
        start = _behind_space(text, at)
        _, at = decoder.raw_decode(text, start)
        found.append(text[start:at] if name is None else (name, text[start:at]))
        at = _behind_space(text, at) + 1
        if at >= len(text):
            return found


def _behind_space(text: str, at: int) -> int:
    while text[at] in " \t":
        at += 1
    return at


def naive(text: str, names: Sequence[str]) -> str | None:
    """What is chosen of an object or array; None for anything else."""
    value = read(text)
    if isinstance(value, Pairs):
        last = dict(value)
        order = [name for path in names for name in sorted(last, key=len) if f"{path}.".startswith(f"{name}.")]
        kept = {name: _naive_member(name, last[name], names) for name in dict.fromkeys(order)}
        written = (f"{json.dumps(name, ensure_ascii=False)}:{each}" for name, each in kept.items() if each is not None)
        return "{" + ",".join(written) + "}"
    if isinstance(value, list):
        return "[" + ",".join(each for each in (naive(inner, names) for inner in value) if each is not None) + "]"
    return None


def _naive_member(name: str, text: str, names: Sequence[str]) -> str | None:
    inner = [path.removeprefix(f"{name}.") for path in names if path.startswith(f"{name}.")]
    return text if name in names else naive(text, inner)


field_lists = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=6, unique=True)


def by_structure(names: Sequence[str], *, is_loose: bool) -> Callable[[bytes], bytes | None]:
    """What decoding into the structure gives; None for what it refuses."""
    structure = structure_of(tuple(names), is_loose=is_loose)

    def cut(text: bytes) -> bytes | None:
        if structure is None:
            return None
        try:
            decoded = msgspec.json.decode(text, type=structure.type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if is_loose:
            structure.clear(decoded)
        return msgspec.json.encode(decoded)

    return cut


@given(text=texts(), names=field_lists)
@settings(max_examples=600, deadline=None)
def test_every_way_gives_what_a_naive_reading_gives(text: str, names: list[str]) -> None:
    is_object = text.startswith("{")
    expected = (naive(text, names) if is_object else text) or ""
    record = text.encode()
    assert scanned_choice.chosen(record, Fields(names)) == expected.encode()
    assert chosen_by_member(record, Fields(names)) == expected.encode()
    for is_loose in (False, True):
        assert by_structure(names, is_loose=is_loose)(record) in {expected.encode(), None}
    assert Choosing(names).cut([record, Raw(record)]) == [expected.encode()] * 2


def as_object(text: str) -> bytes:
    return (text if text.startswith("{") else f'{{"a":{text}}}').encode()


def mangled(text: bytes, cuts: list[tuple[int, bytes, int]]) -> bytes:
    for at, put, left_out in cuts:
        place = at % (len(text) + 1)
        text = text[:place] + put + text[place + left_out :]
    return text


AWKWARD = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"]",
    b",",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"0",
    b"-",
    b"e",
    b"u",
    b"\x01",
    b"\n",
]
cuts = st.tuples(st.integers(0, 200), st.sampled_from(AWKWARD), st.integers(0, 1))


@given(text=texts().map(as_object), cuts=st.lists(cuts, max_size=2), names=field_lists)
@settings(max_examples=600, deadline=None)
def test_what_is_hardly_json_is_cut_alike_by_all_ways_that_accept_it(
    text: bytes, cuts: list[tuple[int, bytes, int]], names: list[str]
) -> None:
    record = mangled(text, cuts)
    try:
        exact = scanned_choice.chosen(record, Fields(names))
    except UnreadableError:
        exact = record
    for is_loose in (False, True):
        assert by_structure(names, is_loose=is_loose)(record) in {exact, None}
    assert Choosing(names).cut([record]) == [exact]


@given(lines=st.lists(texts().map(str.encode), max_size=12), names=field_lists)
@settings(max_examples=100, deadline=None)
def test_a_record_comes_out_the_same_whatever_came_before(lines: list[bytes], names: list[str]) -> None:
    learned = Choosing(names)
    for _ in range(3):
        assert learned.cut(lines) == [Choosing(names).cut([line])[0] for line in lines]


SCALARS = [
    b'{"id":1,"o":""}',
    b'{"o":false,"id":2}',
    b'{"id":3,"o":{"a":"x","z":1}}',
    b'{"o":1.5}',
]


def test_where_many_have_scalars_on_the_way_the_loose_structure_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = Choosing(["o.a", "id"])
    expected = [b'{"id":1}', b'{"id":2}', b'{"o":{"a":"x"},"id":3}', b"{}"]
    assert learned.cut(SCALARS) == expected

    def refuse(*_: object) -> bytes:
        raise AssertionError("cut by member")

    monkeypatch.setattr(choosing, "chosen_by_member", refuse)
    assert learned.cut(SCALARS) == expected


@pytest.mark.parametrize("count", [1, 100, 101, 3000])
def test_thousands_of_fields_in_any_order(count: int) -> None:
    names = [f"c{number * 7919 % count}" for number in range(count)]
    text = b"{" + b",".join(b'"c%d": {"x":%d}' % (number, number) for number in range(count + 100)) + b"}"
    expected = b"{" + b",".join(b'"%b":{"x":%b}' % (name.encode(), name[1:].encode()) for name in names) + b"}"
    assert (structure_of(tuple(names)) is None) == (count > 100)
    assert Selection(names).apply([text] * 2).records == [expected] * 2
    within = [f"{name}.x" for name in names]
    assert Selection(within).apply([text]).records == [expected]


def test_a_name_of_a_hundred_levels_is_found_in_every_reading() -> None:
    name = ".".join("a" * 100)
    nested = b'{"a":' * 100 + b"1" + b"}" * 100
    joined = b'{"%b":{"%b":2}}' % (".".join("a" * 60).encode(), ".".join("a" * 40).encode())
    assert Selection([name]).apply([nested, joined]).records == [nested, joined]


def test_arrays_nested_ever_deeper_are_cut_in_one_pass() -> None:
    text = b'{"a":' + b"[" * 100_000 + b'{"b":1,"c":2}' + b"]" * 100_000 + b"}"
    assert Selection(["a.b"]).apply([text]).records == [text.replace(b',"c":2', b"")]


@pytest.mark.parametrize("name", ["a", "é", "😀", "", '"', "\\", "/", "\x7f", "\u2028", *map(chr, range(32))])
def test_a_name_is_written_alike_by_all_ways(name: str) -> None:
    text = json.dumps({"x": 1, name: 2}).encode()
    [kept] = Choosing([name]).cut([text])
    assert kept == scanned_choice.chosen(text, Fields([name])) == b"{" + label_of(name) + b"2}"
    assert json.loads(kept) == {name: 2}


def test_half_a_character_in_a_name_is_written_as_an_escape() -> None:
    assert Choosing(["\ud800", "a"]).cut([rb'{"a":1,"\ud800":2}']) == [rb'{"\ud800":2,"a":1}']


def test_a_usual_record_never_leaves_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("not by the structure")

    monkeypatch.setattr(Choosing, "_cut_one", refuse)
    whole = json.loads(record(1)) | {"items": [{"sku": 1, "n": 2}, {}], "none": None}
    text = json.dumps(whole).encode()
    [kept] = Choosing(["source", "address.city", "id", "items.sku", "none.x", "nowhere.x"]).cut([text])
    assert [*json.loads(kept).items()] == [
        ("source", whole["source"]),
        ("address", {"city": whole["address"]["city"]}),
        ("id", 1),
        ("items", [{"sku": 1}, {}]),
    ]
