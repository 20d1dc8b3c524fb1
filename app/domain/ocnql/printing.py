"""A tree as text again."""

from __future__ import annotations

import re

from app.domain.ocnql.lexer import RESERVED
from app.domain.ocnql.tree import (
    And,
    Between,
    Boolean,
    Comparison,
    Condition,
    Date,
    In,
    IsNull,
    Leaf,
    Like,
    Not,
    Number,
    Or,
    Text,
    Value,
)

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def text_of(condition: Condition) -> str:
    """The condition as OCNQL, which parses back to an equal tree."""
    if isinstance(condition, And):
        return " AND ".join(map(_in_parentheses, condition.conditions))
    if isinstance(condition, Or):
        return " OR ".join(map(_in_parentheses, condition.conditions))
    if isinstance(condition, Not):
        inner = condition.condition
        if isinstance(inner, In | Like | Between | IsNull):
            return _leaf(inner, "NOT ")
        return f"NOT {_in_parentheses(inner)}"
    return _leaf(condition)


def _in_parentheses(condition: Condition) -> str:
    """Around what has parts of its own: nobody has to know which of AND and OR binds closer."""
    text = text_of(condition)
    return f"({text})" if isinstance(condition, And | Or) else text


def _leaf(leaf: Leaf, negation: str = "") -> str:
    name = name_text(leaf.field)
    if isinstance(leaf, Comparison):
        return f"{name} {leaf.operator} {value_text(leaf.value)}"
    if isinstance(leaf, Like):
        return f"{name} {negation}LIKE {_quoted(leaf.pattern)}"
    if isinstance(leaf, In):
        return f"{name} {negation}IN ({', '.join(map(value_text, leaf.values))})"
    if isinstance(leaf, Between):
        return f"{name} {negation}BETWEEN {value_text(leaf.low)} AND {value_text(leaf.high)}"
    return f"{name} IS {negation}NULL"


def name_text(name: str) -> str:
    """A field or object, in back-ticks where it needs them."""
    if _PLAIN_NAME.fullmatch(name) and name.upper() not in RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"


def value_text(value: Value) -> str:
    """A value as it stands in a condition."""
    if isinstance(value, Text):
        return _quoted(value.text)
    if isinstance(value, Number):
        return str(value.number)
    if isinstance(value, Date):
        return value.text
    assert isinstance(value, Boolean)
    return "true" if value.is_true else "false"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
