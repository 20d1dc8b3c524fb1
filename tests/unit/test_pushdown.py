"""Conditions for vendors: what each form says, what is never said, and that a vendor that applies it alters nothing."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.connectors.model import WhereSpec
from app.connectors.pushdown import Pushed, pushed
from app.connectors.pushdown.pushed import LONGEST_FILTER
from app.connectors.where_schema import KIND_OPERATORS, WhereSchema
from app.domain.instants import parse_instant
from app.domain.ocnql import (
    Between,
    Boolean,
    Comparison,
    Condition,
    Date,
    In,
    IsNull,
    Like,
    Not,
    Number,
    Operator,
    Text,
    compile_condition,
    parse_condition,
)
from app.sandbox.odata_filter import compile_filter
from tests.fakes.ocnql import conditions

Record = dict[str, Any]

TYPES = {"name": "text", "group": "text", "id": "number", "active": "boolean", "createdAt": "date"}
NOT_BOOLEAN = {"<", "<=", ">", ">=", "in", "not in"}


def spec(**document: Any) -> WhereSpec:
    loaded: WhereSpec = WhereSchema().load(document)
    return loaded


def operators_of(kind: str, type_: str) -> list[str]:
    accepted = KIND_OPERATORS[next(each for each in KIND_OPERATORS if each == kind)]
    return [
        each
        for each in accepted
        if not (type_ != "text" and "like" in each) and not (type_ == "boolean" and each in NOT_BOOLEAN)
    ]


def everything(kind: str, **more: Any) -> WhereSpec:
    """A spec of the kind that declares all it can."""
    fields: dict[str, Any] = {}
    for name, type_ in TYPES.items():
        operators: Any = operators_of(kind, type_)
        if kind == "params":
            operators = {each: f"{name} {each}" for each in operators}
        if kind == "template":
            operators = {each: f"{name}{each}{{value}}" for each in operators}
        fields[name] = {"type": type_, "operators": operators}
    return spec(kind=kind, fields=fields, **more)


PARAMS = everything("params")
ODATA = everything("odata")
ODATA3 = everything("odata", version=3)
SOQL = everything("soql", param="q", text="SELECT FIELDS(ALL) FROM {object} WHERE {where}")
TEMPLATE = everything("template", param="query", text="type:ticket {where}", quote='"', escape="backslash")

GOLDEN: list[tuple[WhereSpec, str, dict[str, str], str]] = [
    # parameter -> value, and what stays with us
    (PARAMS, "group = 'a'", {"group =": "a"}, ""),
    (PARAMS, "group = 'a' and name = 'it''s'", {"group =": "a", "name =": "it's"}, ""),
    (PARAMS, "id in (1, 2.50)", {"id in": "1,2.50"}, ""),
    (PARAMS, "group in ('a', 'b,c')", {}, "group IN ('a', 'b,c')"),
    (PARAMS, "group = 'a' and group = 'b'", {"group =": "a"}, "group = 'b'"),
    (PARAMS, "active = true and id > 1e3", {"active =": "true", "id >": "1000"}, ""),
    (
        PARAMS,
        "createdAt >= 2021-03-16T01:00:00+01:00 and createdAt < '2021-03-17'",
        {"createdAt >=": "2021-03-16T00:00:00Z", "createdAt <": "2021-03-17T00:00:00Z"},
        "",
    ),
    (
        PARAMS,
        "createdAt between 2021-03-16 and 2021-03-17T00:00:00.5Z",
        {"createdAt >=": "2021-03-16T00:00:00Z", "createdAt <=": "2021-03-17T00:00:00.5Z"},
        "",
    ),
    (PARAMS, "not group = 'a' and not (id = 1)", {"group !=": "a", "id !=": "1"}, ""),
    (PARAMS, "group = 'a' or group = 'b'", {}, "group = 'a' OR group = 'b'"),
    (PARAMS, "name like 'x%' and group = 'a'", {"group =": "a"}, "name LIKE 'x%'"),
    (PARAMS, "(group = 'a' and id = 1) and other = 2", {"group =": "a", "id =": "1"}, "other = 2"),
    (
        everything("params", dates="epoch"),
        "createdAt > 1970-01-02 and createdAt < 1970-01-03T00:00:00.5Z",
        {"createdAt >": "86400"},
        "createdAt < 1970-01-03T00:00:00.5Z",
    ),
    (everything("params", dates="epoch_ms"), "createdAt = 1970-01-01T00:00:00.5Z", {"createdAt =": "500"}, ""),
    (ODATA, "name = 'O''Neil'", {"$filter": "name eq 'O''Neil'"}, ""),
    (ODATA, "id > 1 and active = true", {"$filter": "id gt 1 and active eq true"}, ""),
    (ODATA, "group in ('a', 'b')", {"$filter": "(group eq 'a' or group eq 'b')"}, ""),
    (ODATA, "group not in ('a', 'b')", {"$filter": "(group ne 'a' and group ne 'b')"}, ""),
    (ODATA, "name like 'x%'", {"$filter": "startswith(name,'x')"}, ""),
    (ODATA, "name like '%x%'", {"$filter": "contains(name,'x')"}, ""),
    (ODATA, "name like 'x%y'", {"$filter": "(startswith(name,'x') and endswith(name,'y'))"}, ""),
    (ODATA, "name like 'x'", {"$filter": "name eq 'x'"}, ""),
    (ODATA, "name not like '%x'", {"$filter": "not endswith(name,'x')"}, ""),
    (ODATA, "name not like 'x%y'", {}, "name NOT LIKE 'x%y'"),
    (ODATA, "name like '%'", {}, "name LIKE '%'"),
    (ODATA, "createdAt > 2021-03-16", {"$filter": "createdAt gt 2021-03-16T00:00:00Z"}, ""),
    (ODATA, "name is null and id is not null", {"$filter": "name eq null and id ne null"}, ""),
    (
        ODATA,
        "(group = 'a' or id between 1 and 2) and x = 1",
        {"$filter": "(group eq 'a' or (id ge 1 and id le 2))"},
        "x = 1",
    ),
    (ODATA, "group = 'a' or x = 1", {}, "group = 'a' OR x = 1"),
    (ODATA, "not (group = 'a' and id = 1)", {}, "NOT (group = 'a' AND id = 1)"),
    (ODATA3, "createdAt > 2021-03-16", {"$filter": "createdAt gt datetime'2021-03-16T00:00:00'"}, ""),
    (
        everything("odata", version=2, dates="datetimeoffset"),
        "createdAt > 2021-03-16",
        {"$filter": "createdAt gt datetimeoffset'2021-03-16T00:00:00Z'"},
        "",
    ),
    (ODATA3, "name like '%x%'", {"$filter": "substringof('x',name)"}, ""),
    (
        everything("odata", param="filter", text="(Open eq true) and ({where})"),
        "id = 1",
        {"filter": "(Open eq true) and (id eq 1)"},
        "",
    ),
    (SOQL, "name = 'O''Neil\\'", {"q": r"SELECT FIELDS(ALL) FROM Contact WHERE name = 'O\'Neil\\'"}, ""),
    (SOQL, "name like 'a_b%'", {"q": r"SELECT FIELDS(ALL) FROM Contact WHERE name LIKE 'a\_b%'"}, ""),
    (SOQL, "name not like 'a'", {"q": "SELECT FIELDS(ALL) FROM Contact WHERE (NOT name LIKE 'a')"}, ""),
    (
        SOQL,
        "(group in ('a', 'b') or id not in (1, 2)) and createdAt >= '2021-03-16' and active != true",
        {
            "q": "SELECT FIELDS(ALL) FROM Contact WHERE (group IN ('a', 'b') OR id NOT IN (1, 2))"
            " AND createdAt >= 2021-03-16T00:00:00Z AND active != true"
        },
        "",
    ),
    (SOQL, "name is null", {"q": "SELECT FIELDS(ALL) FROM Contact WHERE name = null"}, ""),
    (
        TEMPLATE,
        "group = 'a \"b\"' and id >= 5",
        {"query": 'type:ticket group="a \\"b\\"" AND id>=5'},
        "",
    ),
    (everything("template", param="q", join=" "), "group = 'a' and id = 5", {"q": "group=a id=5"}, ""),
    (everything("template", param="q"), "group = 'a b'", {}, "group = 'a b'"),
    (
        everything("template", param="q", quote='"'),
        "group = 'a\"b' and name = 'c'",
        {"q": 'name="c"'},
        "group = 'a\"b'",
    ),
    (everything("template", param="q", quote="'", escape="double"), "group = 'a''b'", {"q": "group='a''b'"}, ""),
    # What no vendor can be trusted with: other meanings than a typed field has.
    (ODATA, "group = 5", {}, "group = 5"),
    (ODATA, "group = '2021-03-16'", {}, "group = '2021-03-16'"),
    (ODATA, "group = ''", {}, "group = ''"),
    (ODATA, "group = 'a\nb'", {}, "group = 'a\nb'"),
    (ODATA, "id > '5'", {}, "id > '5'"),
    (ODATA, "id = 'five'", {}, "id = 'five'"),
    (ODATA, "id = 1e300", {}, f"id = {Decimal('1e300')}"),
    (ODATA, "createdAt > 1615852800", {}, "createdAt > 1615852800"),
    (ODATA, "active != 'true'", {}, "active != 'true'"),
]


@pytest.mark.parametrize(
    ("where", "text", "params", "rest"), GOLDEN, ids=[f"{each[0].kind} {each[1]}" for each in GOLDEN]
)
def test_what_is_pushed(where: WhereSpec, text: str, params: dict[str, str], rest: str) -> None:
    found = pushed(where, parse_condition(text), object_name="Contact")
    assert found.params == params
    assert found.rest_text == rest
    assert bool(found.pushed_text) is bool(params)


def test_the_texts_tell_what_was_pushed_and_what_was_not() -> None:
    condition = parse_condition("id between 1 and 2 and x = 1 and (y = 1 or z = 1)")
    assert pushed(PARAMS, condition) == Pushed(
        {"id >=": "1", "id <=": "2"}, "id >= 1 AND id <= 2", "x = 1 AND (y = 1 OR z = 1)"
    )
    assert pushed(None, condition) == Pushed({}, "", "id >= 1 AND id <= 2 AND x = 1 AND (y = 1 OR z = 1)")
    assert pushed(PARAMS, None) == Pushed({}, "", "")


def test_an_operator_that_is_not_declared_stays_here() -> None:
    where = spec(kind="odata", fields={"a.b": {"type": "number", "operators": ["="]}})
    assert pushed(where, parse_condition("a.b = 1 and a.b > 1")) == Pushed(
        {"$filter": "a/b eq 1"}, "a.b = 1", "a.b > 1"
    )


def test_a_vendor_has_its_own_name_of_a_field() -> None:
    where = spec(kind="soql", param="q", fields={"owner": {"type": "text", "name": "Owner.Name", "operators": ["="]}})
    assert pushed(where, parse_condition("owner = 'x'")).params == {"q": "Owner.Name = 'x'"}


@pytest.mark.parametrize("where", [PARAMS, ODATA, TEMPLATE])
def test_what_no_url_can_carry_stays_here(where: WhereSpec) -> None:
    long = "x" * LONGEST_FILTER
    found = pushed(where, parse_condition(f"name = '{long}' and group = '{long}' and id = 1"))
    assert sum(map(len, found.params.values())) < LONGEST_FILTER + 100
    assert long in found.rest_text


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "sql"}, "accepted: params, odata, soql, template"),
    ({"kind": "params", "param": "q"}, "is not used by kind params; accepted: dates, separator"),
    ({"kind": "soql"}, "is required"),
    ({"kind": "odata", "text": "x"}, "{where}"),
    ({"kind": "odata", "dates": "epoch"}, "accepted: iso, datetime, datetimeoffset"),
    ({"kind": "odata", "fields": {}}, "needs a field"),
    ({"kind": "odata", "colour": 1}, "is not a key here"),
    ({"kind": "odata", "fields": {"a": {"type": "text", "operators": {"=": "a"}}}}, "accepted: a list of operators"),
    ({"kind": "params", "fields": {"a": {"type": "text", "operators": ["="]}}}, "accepted: a mapping from operator"),
    ({"kind": "params", "fields": {"a": {"type": "text", "operators": {"like": "a"}}}}, "'like' is not accepted"),
    (
        {"kind": "odata", "fields": {"a": {"type": "number", "operators": ["like"]}}},
        "'like' is not accepted for a number",
    ),
    ({"kind": "odata", "fields": {"a": {"type": "text", "operators": []}}}, "accepted: a list"),
    ({"kind": "odata", "fields": {"a": {"type": "text", "operators": [1]}}}, "accepted: a list"),
    ({"kind": "odata", "fields": {"a b": {"type": "text", "operators": ["="]}}}, "is no name of a field"),
    ({"kind": "template", "param": "q", "fields": {"a": {"type": "text", "operators": {"=": "a"}}}}, "{value}"),
    ({"kind": "params", "fields": {"a": {"type": "number", "operators": {"<": "a", ">": "a"}}}}, "twice"),
]


@pytest.mark.parametrize(("document", "text"), BAD, ids=[str(each) for each, _ in BAD])
def test_a_declaration_that_cannot_be_meant_is_refused(document: dict[str, Any], text: str) -> None:
    fields = {"a": {"type": "text", "operators": {"=": "a"} if document["kind"] == "params" else ["="]}}
    with pytest.raises(ValidationError) as caught:
        WhereSchema().load({"fields": fields, **document})
    assert text in str(caught.value.messages)


# A vendor that applies what it is told -------------------------------------------------------------------------------

_DATES = ("2021-03-16", "2021-03-16T01:00:00+01:00", "2021-03-16T00:00:00.5Z", "2021-03-17T00:00:00Z")
_TEXTS = ("a", "A", "a_b", "axb", "it's\\", '"')
_NUMBERS = ("1", "2", "2.5", "10")
RECORDS = st.fixed_dictionaries(
    {"name": st.sampled_from([None, *_TEXTS]), "group": st.sampled_from([None, *_TEXTS])},
    optional={
        "id": st.sampled_from([None, *map(Decimal, _NUMBERS)]),
        "active": st.sampled_from([None, True, False]),
        "createdAt": st.sampled_from([None, *_DATES]),
    },
)
_TEXT, _NUMBER = st.sampled_from(_TEXTS).map(Text), st.sampled_from(_NUMBERS).map(lambda text: Number(Decimal(text)))
_DATE, _FLAG = st.sampled_from(_DATES).map(Date) | st.sampled_from(_DATES).map(Text), st.booleans().map(Boolean)
_ANY = st.one_of(_TEXT, _NUMBER, _DATE, _FLAG)
_OF_FIELD = {"name": _TEXT, "group": _TEXT, "id": _NUMBER, "active": _FLAG, "createdAt": _DATE}
PATTERNS = st.lists(st.sampled_from(("%", "a", "_", "b", "x")), max_size=4).map("".join)


def _leaves(name: str) -> st.SearchStrategy[Condition]:
    fits, at = _OF_FIELD[name], st.just(name)  # mostly values of the field's own kind: others are not pushed
    several = st.lists(fits, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Comparison, at, st.sampled_from(list(Operator)), fits),
        st.builds(Comparison, at, st.sampled_from(list(Operator)), _ANY),
        st.builds(In, at, several),
        st.builds(In, at, several).map(Not),
        st.builds(In, at, st.lists(_ANY, min_size=1, max_size=3).map(tuple)),
        st.builds(Between, at, fits, fits),
        st.just(IsNull(name)) | st.just(Not(IsNull(name))),
        st.builds(Like, at, PATTERNS),
        st.builds(Like, at, PATTERNS).map(Not),
    )


ANY_LEAF = st.one_of(*map(_leaves, TYPES))
CONDITIONS = conditions(ANY_LEAF)
Vendor = Callable[[list[Record], Mapping[str, str]], list[Record]]


def typed(record: Record) -> dict[str, Any]:
    """As the vendor keeps it: dates as instants."""
    return {name: parse_instant(record.get(name)) if name == "createdAt" else record.get(name) for name in TYPES}


def typed_value(name: str, text: str) -> Any:
    if TYPES[name] == "number":
        return Decimal(text)
    return {"boolean": text == "true", "date": parse_instant(text), "text": text}[TYPES[name]]


COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


def compares(one: Any, operator: str, two: Any) -> bool:
    if one is None:
        return False
    return bool(COMPARE[operator](one, two))


def takes_param(record: Record, param: str, value: str) -> bool:
    name, _, operator = param.partition(" ")
    mine, values = typed(record)[name], [typed_value(name, each) for each in value.split(",")]
    if operator == "in":
        return mine in values
    return mine is not None and mine not in values if operator == "not in" else compares(mine, operator, values[0])


def params_vendor(records: list[Record], params: Mapping[str, str]) -> list[Record]:
    return [each for each in records if all(takes_param(each, *param) for param in params.items())]


def odata_vendor(records: list[Record], params: Mapping[str, str]) -> list[Record]:
    if not params:
        return records
    take = compile_filter(params["$filter"])

    def facts(record: Record) -> Record:
        at = re.sub(r"^(....-..-..)$", r"\1T00:00:00Z", record.get("createdAt") or "")
        return {**typed(record), "createdAt": compile_date(at)}

    return [each for each in records if take(facts(each))]


def compile_date(text: str) -> Any:
    return datetime.fromisoformat(text) if text else None


_SOQL_TOKEN = re.compile(r"('(?:[^'\\]|\\.)*')|(\d{4}-\d\d-\d\dT[\d:.]+Z)|(!= null|= null)|(LIKE)")


def soql_vendor(records: list[Record], params: Mapping[str, str]) -> list[Record]:
    """SQLite, with the literals of SOQL rewritten."""
    if not params:
        return records
    where = _SOQL_TOKEN.sub(_as_sqlite, params["q"].partition(" WHERE ")[2])
    # SQLite names the escape behind the pattern.
    where = re.sub(r"(LIKE '(?:[^']|'')*')", r"\1 ESCAPE '~'", where).replace("group", '"group"')
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("pragma case_sensitive_like = on")
        db.execute('create table records (at, name, "group", id, active, createdAt)')
        rows = [(at, *map(_as_sqlite_value, typed(each).values())) for at, each in enumerate(records)]
        db.executemany("insert into records values (?, ?, ?, ?, ?, ?)", rows)
        found = [at for (at,) in db.execute(f"select at from records where {where} order by at")]
    return [records[at] for at in found]


def _as_sqlite_value(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _as_sqlite(match: re.Match[str]) -> str:
    quoted, moment, null, _ = match.groups()
    if quoted:
        text = re.sub(r"\\(.)", lambda each: "~_" if each[1] == "_" else each[1], quoted[1:-1])
        return "'" + text.replace("'", "''") + "'"
    if moment:
        return str(parse_instant(moment))
    return {"= null": "is null", "!= null": "is not null"}.get(null or "", match.group())


_PHRASE = re.compile(r'(\w+)(=|!=|<=|<|>=|>)("(?:[^"\\]|\\.)*"|[^ ]+)( AND |$)')


def template_vendor(records: list[Record], params: Mapping[str, str]) -> list[Record]:
    phrases = _PHRASE.findall(params.get("query", "").removeprefix("type:ticket "))
    assert bool(phrases) is bool(params)

    def takes(record: Record) -> bool:
        mine = typed(record)
        return all(compares(mine[name], sign, typed_value(name, _unquoted(value))) for name, sign, value, _ in phrases)

    return [each for each in records if takes(each)]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


DECLARED = st.just(set(TYPES)) | st.sets(st.sampled_from(list(TYPES)), min_size=2)
VENDORS: dict[str, tuple[WhereSpec, Vendor]] = {
    "params": (PARAMS, params_vendor),
    "odata": (ODATA, odata_vendor),
    "odata 3": (ODATA3, odata_vendor),
    "soql": (SOQL, soql_vendor),
    "template": (TEMPLATE, template_vendor),
}


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=120, deadline=None)
@given(
    condition=st.one_of(ANY_LEAF, ANY_LEAF, CONDITIONS),
    records=st.lists(RECORDS, min_size=2, max_size=6),
    declared=DECLARED,
)
def test_a_vendor_that_applies_what_it_is_told_changes_nothing(
    vendor: str, condition: Condition, records: list[Record], declared: set[str]
) -> None:
    whole, apply = VENDORS[vendor]
    where = WhereSpec(**{**vars(whole), "fields": tuple(each for each in whole.fields if each[0] in declared)})
    take, found = compile_condition(condition), pushed(where, condition, object_name="Contact")
    sent = apply(records, found.params)
    assert [each for each in sent if take(each)] == [each for each in records if take(each)], found
    assert set(re.findall("createdAt|name|group|id|active", found.pushed_text)) <= declared


@settings(deadline=None)
@given(condition=CONDITIONS, record=RECORDS, kind=st.sampled_from([PARAMS, ODATA, SOQL, TEMPLATE]))
def test_what_is_pushed_and_the_rest_are_the_whole(condition: Condition, record: Record, kind: WhereSpec) -> None:
    found = pushed(kind, condition)
    parts = [parse_condition(text) for text in (found.pushed_text, found.rest_text) if text]
    assert all(compile_condition(each)(record) for each in parts) is compile_condition(condition)(record)
