"""One test of one field, by the operator's name in connector documents."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ocnql import And, Between, Comparison, Condition, In, IsNull, Like, Not, Operator, Text, Value

_OPPOSITES = {"in": "not in", "like": "not like", "is null": "is not null", "=": "!="}


@dataclass(frozen=True)
class Asked:
    """`values`: one of a comparison, the pattern of a LIKE, all of an IN, none of IS NULL."""

    field: str
    operator: str
    values: tuple[Value, ...] = ()


def asked_of(condition: Condition) -> Asked | None:
    """The one test that a condition is; None for one that is made of several."""
    if isinstance(condition, Comparison):
        return Asked(condition.field, condition.operator.value, (condition.value,))
    if isinstance(condition, In):
        return Asked(condition.field, "in" if len(condition.values) > 1 else "=", condition.values)
    if isinstance(condition, Like):
        return Asked(condition.field, "like", (Text(condition.pattern),))
    if isinstance(condition, IsNull):
        return Asked(condition.field, "is null")
    if isinstance(condition, Not):
        inner = asked_of(condition.condition)
        opposite = None if inner is None else _OPPOSITES.get(inner.operator)
        return None if inner is None or opposite is None else Asked(inner.field, opposite, inner.values)
    return None


def conjuncts_of(condition: Condition | None) -> list[Condition]:
    """Conditions that must all hold, as small as they can be told apart: BETWEEN is two.

    Of an array one element may fulfil the one and another one the other: that takes more, never less.
    """
    if condition is None:
        return []
    if isinstance(condition, And):
        return [each for part in condition.conditions for each in conjuncts_of(part)]
    return list(ends_of(condition)) if isinstance(condition, Between) else [condition]


def ends_of(between: Between) -> tuple[Comparison, Comparison]:
    """The two comparisons of a BETWEEN."""
    low = Comparison(between.field, Operator.GREATER_OR_EQUAL, between.low, between.position)
    return low, Comparison(between.field, Operator.LESS_OR_EQUAL, between.high, between.position)
