"""Text to tree: the grammar of the vendor (reference 6) and our extras (design 5).

    query      := SELECT ("*" | name {"," name}) FROM name [WHERE condition]
                  [ORDER BY name [ASC|DESC] {"," name [ASC|DESC]}] [LIMIT whole number]
    condition  := all {OR all}
    all        := one {AND one}
    one        := NOT one | "(" condition ")" | name test | `a whole condition` | 'a whole condition'
    test       := ("=" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value | [NOT] IN "(" value {"," value} ")"
                  | [NOT] LIKE pattern | [NOT] BETWEEN value AND value | IS [NOT] NULL
    name       := word | `anything`
    value      := 'text' | `text` | number | ISO 8601 date | TRUE | FALSE

Keywords in any case. AND binds closer than OR, as in SQL; the vendor's description is silent. A quote or back-tick
inside its own kind is doubled. Bounded: characters, nesting, values of a list, parts of a dotted name.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from app.domain.instants import parse_instant
from app.domain.ocnql.errors import OcnqlError
from app.domain.ocnql.lexer import RESERVED, Kind, Token, tokens
from app.domain.ocnql.tree import (
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
    Operator,
    Or,
    Query,
    Text,
    Value,
)

DEEPEST = 50
"""Parentheses and NOTs inside each other."""
MOST_VALUES = 1_000
"""Of one IN; what Oracle takes, and more than most URLs."""
MOST_PARTS = 32
"""Of one dotted name."""
LARGEST_LIMIT = 2**63 - 1
_LONGEST_NUMBER = 400
_LARGEST_EXPONENT = 9_999

_Item = TypeVar("_Item")

_OPERATORS = {each.value: each for each in Operator} | {"<>": Operator.UNEQUAL}
_TEST_WORDS = frozenset({"IN", "LIKE", "BETWEEN", "IS", "NOT"})
_TESTS = "=, !=, <>, <, <=, >, >=, IN, LIKE, BETWEEN, IS, NOT"
_VALUES = "text in single quotes, a number, an ISO 8601 date, true or false"
_NAMES = "a name, in back-ticks if it holds spaces or is a reserved word"


def parse_condition(text: str) -> Condition:
    """The condition of a `where`. Raises OcnqlError."""
    parser = _Parser(tokens(text))
    condition = parser.condition(0)
    parser.end("AND, OR or the end")
    return condition


def parse_query(text: str) -> Query:
    """A whole `SELECT ...`. Raises OcnqlError."""
    parser = _Parser(tokens(text))
    query = parser.query()
    parser.end("WHERE, AND, OR, ORDER BY, LIMIT or the end, in this order")
    return query


class _Parser:
    """Recursive descent over the tokens; each method takes what it is named for and leaves the rest.

    `is_quoted`: the tokens are the inside of a quoted condition, and a second one in it would be a riddle.
    """

    def __init__(self, found: list[Token], *, is_quoted: bool = False) -> None:
        self._tokens = found
        self._at = 0
        self._is_quoted = is_quoted

    def query(self) -> Query:
        self._expect("SELECT")
        fields = () if self._take_mark("*") else tuple(self._list(self._name))
        self._expect("FROM", "a comma or FROM" if fields else "FROM")
        object_name = self._name()
        condition = self.condition(0) if self._take("WHERE") else None
        order_by: tuple[tuple[str, bool], ...] = ()
        if self._take("ORDER"):
            self._expect("BY")
            order_by = tuple(self._list(self._order))
        return Query(fields, object_name, condition, order_by, self._limit() if self._take("LIMIT") else None)

    def condition(self, depth: int) -> Condition:
        found = [self._all(depth)]
        while self._take("OR"):
            found.append(self._all(depth))
        return found[0] if len(found) == 1 else Or(tuple(found))

    def end(self, accepted: str) -> None:
        if self._next.kind is not Kind.END:
            raise self._refused(accepted)

    def _all(self, depth: int) -> Condition:
        found = [self._one(depth)]
        while self._take("AND"):
            found.append(self._one(depth))
        return found[0] if len(found) == 1 else And(tuple(found))

    def _one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise OcnqlError(self._next.position, "found parentheses or NOT too deep", f"at most {DEEPEST} levels")
        if self._take("NOT"):
            return Not(self._one(depth + 1))
        if self._take_mark("("):
            inner = self.condition(depth + 1)
            self._expect_mark(")", "AND, OR or ')'")
            return inner
        if self._next.kind in {Kind.QUOTED, Kind.TICKED} and not self._is_test_behind() and not self._is_quoted:
            return self._whole_condition(depth)
        return self._test()

    def _is_test_behind(self) -> bool:
        behind = self._tokens[self._at + 1]
        return behind.kind is Kind.OPERATOR or behind.keyword in _TEST_WORDS

    def _whole_condition(self, depth: int) -> Condition:
        """A condition that is quoted as one token (reference 6)."""
        token = self._advance()
        moved = [each._replace(position=each.position + token.position) for each in tokens(token.text)]
        inner = _Parser(moved, is_quoted=True)
        condition = inner.condition(depth + 1)
        inner.end("AND, OR or the end of the quoted condition")
        return condition

    def _test(self) -> Condition:
        position, name = self._next.position, self._name()
        if self._next.kind is Kind.OPERATOR:
            operator = _OPERATORS[self._advance().text]
            return Comparison(name, operator, self._value(), position)
        if self._take("IS"):
            is_not = self._take("NOT")
            self._expect("NULL", "NULL" if is_not else "NULL or NOT NULL")
            return Not(IsNull(name, position)) if is_not else IsNull(name, position)
        is_not = self._take("NOT")
        test = self._listed(name, position, "IN, LIKE, BETWEEN" if is_not else _TESTS)
        return Not(test) if is_not else test

    def _listed(self, name: str, position: int, accepted: str) -> Condition:
        """The tests that may have a NOT before them."""
        if self._take("IN"):
            self._expect_mark("(")
            values = tuple(self._list(self._value, MOST_VALUES))
            self._expect_mark(")", "a comma or ')'")
            return In(name, values, position)
        if self._take("LIKE"):
            if self._next.kind not in {Kind.QUOTED, Kind.TICKED}:
                raise self._refused("a pattern in single quotes")
            return Like(name, self._advance().text, position)
        if self._take("BETWEEN"):
            low = self._value()
            self._expect("AND")
            return Between(name, low, self._value(), position)
        raise self._refused(accepted)

    def _name(self) -> str:
        token = self._next
        if token.kind not in {Kind.WORD, Kind.TICKED} or token.keyword in RESERVED or not token.text:
            raise self._refused(_NAMES)
        if token.text.count(".") >= MOST_PARTS:
            raise OcnqlError(token.position, f"{token}", f"at most {MOST_PARTS} parts of a dotted name")
        return self._advance().text

    def _value(self) -> Value:
        token = self._next
        if token.kind in {Kind.QUOTED, Kind.TICKED}:
            return Text(self._advance().text)
        if token.kind is Kind.NUMBER:
            return Number(self._number())
        if token.kind is Kind.DATE and parse_instant(token.text) is not None:
            return Date(self._advance().text)
        if token.keyword in {"TRUE", "FALSE"}:
            return Boolean(self._advance().keyword == "TRUE")
        if token.keyword == "NULL":
            raise self._refused(f"{_VALUES}; for null IS NULL or IS NOT NULL")
        raise self._refused(_VALUES)

    def _number(self) -> Decimal:
        token = self._advance()
        accepted = f"at most {_LONGEST_NUMBER} characters, a size from 1e-{_LARGEST_EXPONENT} to 1e{_LARGEST_EXPONENT}"
        if len(token.text) > _LONGEST_NUMBER or abs(Decimal(token.text).adjusted()) > _LARGEST_EXPONENT:
            raise OcnqlError(token.position, str(token), accepted)
        return Decimal(token.text)

    def _order(self) -> tuple[str, bool]:
        name = self._name()
        return name, self._take("DESC") or (self._take("ASC") and False)

    def _limit(self) -> int:
        token = self._next
        if token.kind is not Kind.NUMBER or not token.text.isdigit() or not 1 <= self._number() <= LARGEST_LIMIT:
            raise OcnqlError(token.position, str(token), f"a whole number from 1 to {LARGEST_LIMIT}")
        return int(token.text)

    def _list(self, item: Callable[[], _Item], most: int = MOST_VALUES) -> list[_Item]:
        found = [item()]
        while self._take_mark(","):
            if len(found) == most:
                raise OcnqlError(self._next.position, f"found more than {most} entries", f"at most {most}")
            found.append(item())
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, keyword: str) -> bool:
        """Whether that word stood here; then it is behind us."""
        is_here = self._next.keyword == keyword
        self._at += is_here
        return is_here

    def _take_mark(self, mark: str) -> bool:
        is_here = self._next.kind is Kind.MARK and self._next.text == mark
        self._at += is_here
        return is_here

    def _expect(self, keyword: str, accepted: str = "") -> None:
        if not self._take(keyword):
            raise self._refused(accepted or keyword)

    def _expect_mark(self, mark: str, accepted: str = "") -> None:
        if not self._take_mark(mark):
            raise self._refused(accepted or repr(mark))

    def _refused(self, accepted: str) -> OcnqlError:
        return OcnqlError(self._next.position, str(self._next), accepted)
