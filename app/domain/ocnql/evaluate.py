"""A condition as a function over decoded records.

* Three values, as in SQL: a comparison with null or a missing field is unknown, NOT of unknown is unknown, AND and OR
  as Kleene has them. A record is taken only where the whole is true. `IS NULL` is never unknown.
* `!=`, `NOT IN`, `NOT LIKE` and `NOT BETWEEN` are exactly NOT of the plain condition. So on an array, of which one
  element is enough, `tags != 'new'` means that no tag is `new`.
* How a name finds its values is in `paths`, what is compared as what in `comparing`.
* `LIKE` is by code point and case and over the whole value; only `%` is special: the documentation knows no other
  character, and a `_` in a value is common. A number or boolean is matched as JSON spells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.ocnql.comparing import Bound, Members
from app.domain.ocnql.paths import reader
from app.domain.ocnql.tree import (
    And,
    Between,
    Comparison,
    Condition,
    In,
    IsNull,
    Leaf,
    Like,
    Not,
    Operator,
    Or,
    Value,
)

Record = Mapping[str, Any]
_Verdict = bool | None
_Judge = Callable[[Record], _Verdict]
_Test = Callable[[Any], _Verdict]

_HOLDS: Mapping[Operator, Callable[[int], bool]] = {
    Operator.LESS: lambda order: order < 0,
    Operator.LESS_OR_EQUAL: lambda order: order <= 0,
    Operator.GREATER: lambda order: order > 0,
    Operator.GREATER_OR_EQUAL: lambda order: order >= 0,
}


def compile_condition(condition: Condition) -> Callable[[Record], bool]:
    """A function that tells whether a record fulfils the condition.

    Records are what a JSON decoder makes: dicts, lists, str, int, Decimal or float, bool, None. Never raises for one.
    """
    judge = _judge(condition)
    return lambda record: judge(record) is True


def _judge(condition: Condition) -> _Judge:
    if isinstance(condition, Not):
        inner = _judge(condition.condition)
        return lambda record: _opposite(inner(record))
    if isinstance(condition, And):
        return _kleene([_judge(each) for each in condition.conditions], decides=False)
    if isinstance(condition, Or):
        return _kleene([_judge(each) for each in condition.conditions], decides=True)
    read = reader(condition.field)
    if isinstance(condition, IsNull):
        return lambda record: not read(record)
    if isinstance(condition, Comparison) and condition.operator is Operator.UNEQUAL:
        is_equal = _any(_equality((condition.value,)))
        return lambda record: _opposite(is_equal(read(record)))
    of_values = _any(_test(condition))
    return lambda record: of_values(read(record))


def _kleene(judges: list[_Judge], *, decides: bool) -> _Judge:
    """AND is decided by the first false one, OR by the first true one; else one that is unknown makes it unknown."""

    def judge(record: Record) -> _Verdict:
        verdict: _Verdict = not decides
        for each in judges:
            found = each(record)
            if found is decides:
                return decides
            if found is None:
                verdict = None
        return verdict

    return judge


def _any(test: _Test) -> Callable[[list[Any]], _Verdict]:
    """Of an array one element is enough; without any value nothing is known."""

    def judge(values: list[Any]) -> _Verdict:
        if len(values) == 1:
            return test(values[0])
        verdict: _Verdict = False if values else None
        for each in values:
            found = test(each)
            if found:
                return True
            if found is None:
                verdict = None
        return verdict

    return judge


def _test(leaf: Leaf) -> _Test:
    if isinstance(leaf, Like):
        return _like(leaf.pattern)
    if isinstance(leaf, In):
        return _equality(leaf.values)
    if isinstance(leaf, Between):
        return _between(leaf.low, leaf.high)
    assert isinstance(leaf, Comparison)
    if leaf.operator is Operator.EQUAL:
        return _equality((leaf.value,))
    return _inequality(leaf.operator, leaf.value)


def _equality(values: tuple[Value, ...]) -> _Test:
    return Members(values).__contains__


def _inequality(operator: Operator, value: Value) -> _Test:
    bound, holds = Bound(value), _HOLDS[operator]

    def test(found: Any) -> _Verdict:
        order = bound.order(found)
        return None if order is None else holds(order)

    return test


def _between(low: Value, high: Value) -> _Test:
    above, below = _inequality(Operator.GREATER_OR_EQUAL, low), _inequality(Operator.LESS_OR_EQUAL, high)

    def test(found: Any) -> _Verdict:
        one, two = above(found), below(found)
        return False if one is False or two is False else _both(one, two)

    return test


def _both(one: _Verdict, two: _Verdict) -> _Verdict:
    return True if one and two else None


def _like(pattern: str) -> _Test:
    """By searching for the pieces between the `%` from left to right: no pattern can make that slow."""
    first, *rest = pattern.split("%")

    def test(found: Any) -> _Verdict:
        text = _spelled(found)
        if text is None or not text.startswith(first):
            return False
        if not rest:
            return text == first
        *middle, last = rest
        at = len(first)
        for piece in middle:
            at = text.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(text) - at >= len(last) and text.endswith(last)

    return test


def _spelled(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, Mapping) else str(value)


def _opposite(verdict: _Verdict) -> _Verdict:
    return None if verdict is None else not verdict
