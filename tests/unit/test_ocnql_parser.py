"""Text to tree and back: what is accepted, what is refused and where, and that nothing else can happen."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ocnql import (
    And,
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
    OcnqlError,
    Operator,
    Or,
    Query,
    Text,
    fields_of,
    parse_condition,
    parse_query,
    text_of,
)
from app.domain.ocnql.lexer import LONGEST_QUERY
from app.domain.ocnql.parser import DEEPEST, MOST_PARTS, MOST_VALUES
from tests.fakes.ocnql import LEAVES, conditions


def number(text: str) -> Number:
    return Number(Decimal(text))


def equal(name: str, value: Any) -> Comparison:
    return Comparison(name, Operator.EQUAL, value)


A, B, C = (equal(name, number("1")) for name in "abc")

GOLDEN: list[tuple[str, Condition]] = [
    ("status='active'", equal("status", Text("active"))),
    ("email='z''x@example.com'", equal("email", Text("z'x@example.com"))),
    ("a = ''", equal("a", Text(""))),
    ("a=1", A),
    ("a = 1.50", equal("a", number("1.5"))),
    ("a=-5", equal("a", number("-5"))),
    ("a=+.5e3", equal("a", number("500"))),
    ("a = 123456789012345678901234567890", equal("a", number("123456789012345678901234567890"))),
    ("a = true", equal("a", Boolean(True))),
    ("a = FALSE", equal("a", Boolean(False))),
    ("a!=1", Comparison("a", Operator.UNEQUAL, number("1"))),
    ("a<>1", Comparison("a", Operator.UNEQUAL, number("1"))),
    ("a<1", Comparison("a", Operator.LESS, number("1"))),
    ("a<=1", Comparison("a", Operator.LESS_OR_EQUAL, number("1"))),
    ("a>1", Comparison("a", Operator.GREATER, number("1"))),
    ("a>=1", Comparison("a", Operator.GREATER_OR_EQUAL, number("1"))),
    # Dates: bare, in back-ticks, quoted (reference 6).
    (
        "`metaData.lastUpdateTime` > 2015-01-06T09:31:38-07:00",
        Comparison("metaData.lastUpdateTime", Operator.GREATER, Date("2015-01-06T09:31:38-07:00")),
    ),
    ("a > `2015-01-06T09:31:38-07:00`", Comparison("a", Operator.GREATER, Text("2015-01-06T09:31:38-07:00"))),
    (
        "LastModifiedDate>'2018-01-15T00:00:00.000Z'",
        Comparison("LastModifiedDate", Operator.GREATER, Text("2018-01-15T00:00:00.000Z")),
    ),
    ("a >= 2015-01-06", Comparison("a", Operator.GREATER_OR_EQUAL, Date("2015-01-06"))),
    # Back-ticks around field and value, doubled inside.
    ("field = `value`", equal("field", Text("value"))),
    ("`first name` = `Ada ``L`", equal("first name", Text("Ada `L"))),
    ("`order` = 1", equal("order", number("1"))),
    ("Parent.Name = 'x'", equal("Parent.Name", Text("x"))),
    ("custom-field_1@x/y$ = 1", equal("custom-field_1@x/y$", number("1"))),
    ("größe = 1", equal("größe", number("1"))),
    # A whole condition as one token.
    ("`a = 1`", A),
    ("'email = ''x'''", equal("email", Text("x"))),
    ("`a = 1 and b = 1` or c = 1", Or((And((A, B)), C))),
    # Tests with words, in any case.
    ("a LIKE '%x%'", Like("a", "%x%")),
    ("a not like `x`", Not(Like("a", "x"))),
    ("a IN (1,12)", In("a", (number("1"), number("12")))),
    ("a in ('a','b', `c`)", In("a", (Text("a"), Text("b"), Text("c")))),
    ("a Not In (1)", Not(In("a", (number("1"),)))),
    ("a BETWEEN 1 and 5", Between("a", number("1"), number("5"))),
    ("a not between 1 AND 5", Not(Between("a", number("1"), number("5")))),
    ("a is null", IsNull("a")),
    ("a IS NOT NULL", Not(IsNull("a"))),
    # Structure: AND before OR, NOT before AND.
    ("a=1 AND b=1 and c=1", And((A, B, C))),
    ("a=1 or b=1 AND c=1", Or((A, And((B, C))))),
    ("(a=1 or b=1) and c=1", And((Or((A, B)), C))),
    ("not a=1 and b=1", And((Not(A), B))),
    ("NOT (a=1 and b=1)", Not(And((A, B)))),
    ("not not a=1", Not(Not(A))),
    ("a between 1 and 5 and b=1", And((Between("a", number("1"), number("5")), B))),
    ("a='x'and b=1", And((equal("a", Text("x")), B))),
    ("\n a\t=\r\n1 ", A),
    ("((((a=1))))", A),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=[text for text, _ in GOLDEN])
def test_the_grammar(text: str, expected: Condition) -> None:
    assert parse_condition(text) == expected
    assert parse_condition(text_of(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from contacts", Query((), "contacts")),
        ("SELECT id FROM `my things`", Query(("id",), "my things")),
        (
            "select Name, Parent.Name from Account where a=1 and b=1 order by x desc, `y z` ASC, w limit 5",
            Query(("Name", "Parent.Name"), "Account", And((A, B)), (("x", True), ("y z", False), ("w", False)), 5),
        ),
        ("Select * From contacts Limit 100", Query((), "contacts", limit=100)),
        ("select * from contacts order by id", Query((), "contacts", order_by=(("id", False),))),
    ],
)
def test_whole_queries(text: str, expected: Query) -> None:
    assert parse_query(text) == expected


REFUSED = [
    ("", 1, "a name"),
    ("a", 2, "="),
    ("a =", 4, "text in single quotes"),
    ("a = b", 5, "text in single quotes"),
    ("a = null", 5, "IS NULL"),
    ("order = 5", 1, "back-ticks"),
    ("a = 'x", 5, "a closing '"),
    ("a = `x", 5, "a closing `"),
    ('a = "x"', 5, "single quotes"),
    ("'a' = 1", 1, "back-ticks"),
    ("a == 1", 4, "text in single quotes"),
    ("a = 1 b = 2", 7, "AND, OR or the end"),
    ("a = 1 and", 10, "a name"),
    ("a = 1; drop", 6, "a name, a value"),
    ("(a=1", 5, "AND, OR or ')'"),
    ("a=1)", 4, "AND, OR or the end"),
    ("a in 1", 6, "'('"),
    ("a in ()", 7, "text in single quotes"),
    ("a in (1", 8, "a comma or ')'"),
    ("a is 5", 6, "NULL or NOT NULL"),
    ("a is not 5", 10, "NULL"),
    ("a not = 5", 7, "IN, LIKE, BETWEEN"),
    ("a like 5", 8, "a pattern"),
    ("a between 1 or 2", 13, "AND"),
    ("a = 2015-13-01", 5, "ISO 8601"),
    ("a = 1e99999", 5, "size"),
    ("a = " + "9" * 401, 5, "at most 400 characters"),
    ("`` = 1", 1, "a name"),
    ("a=1 and `b =`", 13, "text in single quotes"),
    ("'''a = 1'''", 2, "a name"),
    ("a = '\x00'", 6, "Unicode"),
    ("a = '\ud83d'", 6, "Unicode"),
    ("(" * (DEEPEST + 1), DEEPEST + 2, "at most"),
    ("not " * 10_000, 4 * DEEPEST + 5, f"at most {DEEPEST}"),
    ("a in (" + "1," * MOST_VALUES + "1)", 7 + 2 * MOST_VALUES, f"at most {MOST_VALUES}"),
    ("a" * (LONGEST_QUERY + 1), LONGEST_QUERY + 1, f"at most {LONGEST_QUERY}"),
    ("a." * MOST_PARTS + "a = 1", 1, f"at most {MOST_PARTS}"),
]


@pytest.mark.parametrize(("text", "position", "accepted"), REFUSED, ids=[text[:30] for text, _, _ in REFUSED])
def test_what_is_refused_is_placed_and_told(text: str, position: int, accepted: str) -> None:
    with pytest.raises(OcnqlError) as caught:
        parse_condition(text)
    assert caught.value.message.startswith("Error parsing query at character ")
    assert caught.value.position == position
    assert accepted in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("select", 7),
        ("select *", 9),
        ("select * contacts", 10),
        ("select a b from c", 10),
        ("select * from", 14),
        ("select * from contacts where", 29),
        ("select * from contacts limit 5 where a=1", 32),
        ("select * from contacts limit 0", 30),
        ("select * from contacts limit 1.5", 30),
        ("select * from contacts limit 9223372036854775808", 30),
        ("select * from contacts order x", 30),
        ("select * from contacts order by", 32),
        ("a = 1", 1),
    ],
)
def test_queries_that_are_refused(text: str, position: int) -> None:
    with pytest.raises(OcnqlError) as caught:
        parse_query(text)
    assert caught.value.position == position


def test_the_limits_themselves_are_accepted() -> None:
    parse_condition("(" * DEEPEST + "a=1" + ")" * DEEPEST)
    parse_condition("a in (" + "1," * (MOST_VALUES - 1) + "1)")
    parse_condition("a." * (MOST_PARTS - 1) + "a = 1")
    assert isinstance(parse_condition(" or ".join(["a=1"] * 8_000)), Or)


def test_a_leaf_knows_where_it_stands() -> None:
    condition = parse_condition("a = 1 and (`b c` is null or 'd in (1)')")
    assert isinstance(condition, And)
    first, second = condition.conditions
    assert isinstance(first, Comparison)
    assert isinstance(second, Or)
    assert [first.position, *(each.position for each in second.conditions if not isinstance(each, And | Or | Not))] == [
        1,
        12,
        30,
    ]


def test_the_fields_of_a_condition() -> None:
    condition = parse_condition("a = 1 and not (b.c is null or a in (1)) and `d e` like 'x' and f between 1 and 2")
    assert fields_of(condition) == {"a", "b.c", "d e", "f"}


ANY_NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0."), min_size=1, max_size=8)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
AWKWARD = st.one_of(
    st.builds(Comparison, ANY_NAME, st.sampled_from(list(Operator)), NUMBERS.map(Number) | ANY_TEXT.map(Text)),
    st.builds(Like, ANY_NAME, ANY_TEXT),
    st.builds(In, ANY_NAME, st.lists(ANY_TEXT.map(Text), min_size=1, max_size=3).map(tuple)),
)


@given(conditions(LEAVES | AWKWARD))
def test_every_tree_comes_back_from_its_text(condition: Condition) -> None:
    assert parse_condition(text_of(condition)) == condition


WORDS = """a b.c ` ' '' `` ( ) , = != < >= % * ; " 1 -1.5e3 2021-01-01 2021-99-99T and OR not in is null like between
    select from where order by limit asc true é"""
PIECES = st.sampled_from([*WORDS.split(), "\0", "\ud800", "\n"])
NOISE = st.one_of(st.text(max_size=2000), st.lists(PIECES, max_size=400).map(" ".join), st.lists(PIECES).map("".join))


@given(NOISE)
def test_any_text_is_a_tree_or_an_error_with_its_place(text: str) -> None:
    for parse in (parse_condition, parse_query):
        found = _parsed(parse, text)
        if isinstance(found, OcnqlError):
            assert 1 <= found.position <= len(text) + 1
            assert found.message.startswith("Error parsing query")
        else:
            assert isinstance(found, Query) or parse_condition(text_of(found)) == found


def _parsed(parse: Callable[[str], Condition | Query], text: str) -> Condition | Query | OcnqlError:
    try:
        return parse(text)
    except OcnqlError as error:
        return error
