"""Choosing records and fields, held against a naive reading of the criteria."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain import learning
from app.domain.instants import parse_instant
from app.domain.selection import Selection, Window

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
FIELDS = ["a", "b", "c", "a.b", "a.b.c", "b.a", "c.d.a", "at", "stage", "é", "null", '"', "x y", "nowhere", "d.null"]

names = st.sampled_from(NAMES)
leaves = st.sampled_from(LEAVES)


class Obj(list[tuple[str, Any]]):
    """An object of the model: names may come twice."""


values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=4).map(Obj),
    max_leaves=12,
)
records = st.lists(st.tuples(names, values), max_size=7).map(Obj) | values


def written(value: Model, comma: str = ",", colon: str = ":") -> str:
    if isinstance(value, Obj):
        return "{" + comma.join(f'"{name}"{colon}{written(inner, comma, colon)}' for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + comma.join(written(inner, comma, colon) for inner in value) + "]"
    return str(value)


def named(name: str) -> str:
    return str(json.loads(f'"{name}"'))


def slow_fields(value: Model, paths: set[str]) -> Model:
    """What is chosen of an object or array; None for what has no fields."""
    if isinstance(value, Obj):
        return Obj((name, kept) for name, inner in value if (kept := slow_field(named(name), inner, paths)) is not None)
    if isinstance(value, list):
        return [kept for inner in value if (kept := slow_fields(inner, paths)) is not None]
    return None


def slow_field(name: str, value: Model, paths: set[str]) -> Model:
    if name in paths:
        return value
    inner = {path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")}
    return slow_fields(value, inner) if inner else None


def slow_nulls(value: Model) -> Model:
    if isinstance(value, Obj):
        return Obj((name, slow_nulls(inner)) for name, inner in value if inner != "null")
    return [slow_nulls(inner) for inner in value] if isinstance(value, list) else value


def slow_found(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return None
    for head in sorted(value, key=len, reverse=True):
        if path == head:
            return value[head]
        if path.startswith(f"{head}."):
            return slow_found(value[head], path[len(head) + 1 :])
    return None


def slow_verdict(text: str, window: Window | None, condition: Any) -> str:
    record = json.loads(text)
    if window:
        at = parse_instant(slow_found(record, window.field))
        if at is None:
            return "undated"
        if (window.start_ns is not None and at < window.start_ns) or (window.end_ns is not None and at > window.end_ns):
            return "filtered"
    return "kept" if condition is None or condition(record if isinstance(record, dict) else {}) else "filtered"


def slow_cut(record: Model, fields: Sequence[str], *, drop_nulls: bool) -> Model:
    if not isinstance(record, Obj):
        return record
    chosen = slow_fields(record, set(fields)) if fields else record
    return slow_nulls(chosen) if drop_nulls else chosen


def compact(text: bytes) -> bytes:
    return re.sub(rb'("(?:[^"\\]|\\.)*")|[ \t]+', rb"\1", text)


STYLES = [(",", ":"), (", ", ": "), (" ,\t", " : ")]
windows = st.none() | st.builds(
    Window,
    st.sampled_from(["at", "a.b", "b.a"]),
    st.sampled_from([None, parse_instant("2024-03-01")]),
    st.sampled_from([None, parse_instant("2024-03-01T00:00:00Z")]),
)


@pytest.fixture(params=["exactly", "patterns"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs as downloads begin, record by record, and as they go on, by patterns learned from those before."""
    if request.param == "patterns":
        monkeypatch.setattr(learning, "FIRST_BYTES", 1)


class TestAnyCombination:
    @given(
        pages=st.lists(st.lists(records, max_size=4), max_size=3),
        fields=st.lists(st.sampled_from(FIELDS), max_size=4, unique=True),
        drop_nulls=st.booleans(),
        window=windows,
        style=st.sampled_from(STYLES),
    )
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_it_equals_the_naive_reading_byte_for_byte(
        self,
        pages: list[list[Model]],
        fields: list[str],
        drop_nulls: bool,
        window: Window | None,
        style: tuple[str, str],
    ) -> None:
        selection = Selection(fields, drop_nulls=drop_nulls, window=window)
        for page in pages:
            texts = [written(record, *style) for record in page]
            verdicts = [slow_verdict(text, window, None) for text in texts]
            expected = [
                written(slow_cut(record, fields, drop_nulls=drop_nulls)).encode()
                for record, verdict in zip(page, verdicts, strict=True)
                if verdict == "kept"
            ]
            done = selection.apply([text.encode() for text in texts])
            assert [compact(bytes(record)) for record in done.records] == expected
            counts = (done.consumed, done.filtered, done.undated)
            assert counts == (len(page), verdicts.count("filtered"), verdicts.count("undated"))
