"""A condition on jobs as SQL: names and operators from this module, values only as parameters.

The conditions mean what `app.domain.ocnql.evaluate` says of the items that a listing shows. An equality stands bare, so
that the indexes on instance and status serve it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import sql

from app.domain.instants import parse_instant
from app.domain.jobs import JobStatus
from app.domain.ocnql import (
    And,
    Between,
    Comparison,
    Condition,
    In,
    IsNull,
    Like,
    Not,
    Number,
    OcnqlError,
    Operator,
    Or,
    Text,
    Value,
)
from app.domain.ocnql.comparing import decimal_of
from app.domain.ocnql.printing import value_text
from app.domain.ocnql.tree import Leaf

_NS_A_MS = 1_000_000
_BIGINT = 2**63
_LARGEST_EXPONENT = 9_999  # PostgreSQL's numeric ends not far beyond
_STATUSES = frozenset(each.value for each in JobStatus)
_EQUALITIES = frozenset({Operator.EQUAL, Operator.UNEQUAL})


@dataclass(frozen=True)
class JobFilter:
    """What a listing is narrowed by: a boolean expression over table jobs, and its values."""

    clause: sql.Composable
    values: Mapping[str, Any]


class _Column(NamedTuple):
    """`read`: a value of a query as the parameter that the expression is compared with, or None if it does not fit."""

    expression: sql.SQL
    read: Callable[[Value], Any]
    accepted: str
    is_text: bool = False


def job_filter(condition: Condition) -> JobFilter:
    """Translate. Raises OcnqlError for a name that jobs do not have and a value that the name does not take."""
    translation = _Translation()
    return JobFilter(translation.clause(condition), translation.values)


@dataclass
class _Translation:
    values: dict[str, Any] = field(default_factory=dict)

    def clause(self, condition: Condition) -> sql.Composable:
        if isinstance(condition, Not):
            return sql.SQL("not {}").format(self.clause(condition.condition))
        if isinstance(condition, And | Or):
            word = sql.SQL(" and " if isinstance(condition, And) else " or ")
            return sql.SQL("({})").format(word.join(map(self.clause, condition.conditions)))
        return self._leaf(condition, _column(condition))

    def _leaf(self, leaf: Leaf, column: _Column) -> sql.Composable:
        parts: dict[str, sql.Composable] = {"column": column.expression}
        if isinstance(leaf, IsNull):
            return sql.SQL("({column} is null)").format(**parts)
        if isinstance(leaf, Like):
            return sql.SQL("({column} like {pattern})").format(pattern=self._parameter(_pattern(leaf, column)), **parts)
        if isinstance(leaf, In):
            values = self._parameter(_alike([_value(leaf, column, each) for each in leaf.values]))
            return sql.SQL("({column} = any({values}))").format(values=values, **parts)
        if isinstance(leaf, Between):
            low, high = (self._parameter(_value(leaf, column, each)) for each in (leaf.low, leaf.high))
            # By code point, as everywhere, and not by the rules of the database's language.
            form = '({column} collate "C" between {low} and {high})' if column.is_text else _BETWEEN
            return sql.SQL(form).format(low=low, high=high, **parts)
        return self._comparison(leaf, column)

    def _comparison(self, leaf: Comparison, column: _Column) -> sql.Composable:
        value = self._parameter(_value(leaf, column, leaf.value))
        is_ordered = column.is_text and leaf.operator not in _EQUALITIES
        form = '({column} collate "C" {operator} {value})' if is_ordered else "({column} {operator} {value})"
        return sql.SQL(form).format(column=column.expression, operator=_OPERATORS[leaf.operator], value=value)

    def _parameter(self, value: Any) -> sql.Placeholder:
        name = f"where_{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


_BETWEEN = "({column} between {low} and {high})"
_OPERATORS: Mapping[Operator, sql.SQL] = {
    Operator.EQUAL: sql.SQL("="),
    Operator.UNEQUAL: sql.SQL("<>"),
    Operator.LESS: sql.SQL("<"),
    Operator.LESS_OR_EQUAL: sql.SQL("<="),
    Operator.GREATER: sql.SQL(">"),
    Operator.GREATER_OR_EQUAL: sql.SQL(">="),
}


def _text(value: Value) -> str | None:
    return value.text if isinstance(value, Text) else None


def _status(value: Value) -> str | None:
    """Both spellings of the one state that has two (reference 2)."""
    text = "CANCELLED" if value == Text("CANCELED") else _text(value)
    return text if text in _STATUSES else None


def _number(value: Value) -> int | Decimal | None:
    number = decimal_of(value)
    if number is None or abs(number.adjusted()) > _LARGEST_EXPONENT:
        return None
    return int(number) if abs(number) < _BIGINT and number == int(number) else number


def _milliseconds(value: Value) -> Decimal | None:
    """Since 1970, exact: a timestamp would round what is finer than a microsecond."""
    given = value.number if isinstance(value, Number) else getattr(value, "text", None)
    instant = parse_instant(given)
    return None if instant is None else Decimal(instant) / _NS_A_MS


def _alike(values: list[Any]) -> list[Any]:
    """An array has one type."""
    return [Decimal(each) for each in values] if any(isinstance(each, Decimal) for each in values) else values


def _text_column(name: str) -> _Column:
    return _Column(sql.SQL(name), _text, "text in single quotes", is_text=True)


def _number_column(expression: str) -> _Column:
    return _Column(sql.SQL(expression), _number, "a number")


def _time_column(name: str) -> _Column:
    # To the millisecond, as it is shown: what a client copies from an item finds that item.
    return _Column(sql.SQL(f"floor(extract(epoch from {name}) * 1000)"), _milliseconds, "an ISO 8601 date")


_STATUS = _Column(sql.SQL("status"), _status, f"one of {', '.join(JobStatus)}", is_text=True)
_COLUMNS: Mapping[str, _Column] = {
    "object_name": _text_column("object_name"),
    "job_status": _STATUS,
    "status": _STATUS,
    "job_state": _STATUS,
    "job_direction": _text_column("direction"),
    "id": _number_column("id"),
    "job_id": _number_column("id"),
    "record_count": _number_column("record_count"),
    "createdDate": _time_column("created_at"),
    "completion_time": _time_column("finished_at"),
    "element_id": _number_column("connector_id"),
    "user_id": _number_column("user_id"),
    "job_reset_attempt": _number_column("(run_number - 1)"),
    "notification_url": _text_column("notification_url"),
}
FILTER_NAMES = tuple(_COLUMNS)
"""What jobs can be narrowed by, by the names of their items; in a query in any case."""
_BY_LOWER_NAME = {name.lower(): column for name, column in _COLUMNS.items()}


def _column(leaf: Leaf) -> _Column:
    column = _BY_LOWER_NAME.get(leaf.field.lower())
    if column is None:
        raise OcnqlError(leaf.position, f"found {leaf.field[:40]!r}", ", ".join(FILTER_NAMES))
    return column


def _value(leaf: Leaf, column: _Column, value: Value) -> Any:
    is_range = isinstance(leaf, Between) or (isinstance(leaf, Comparison) and leaf.operator not in _EQUALITIES)
    found = _text(value) if column is _STATUS and is_range else column.read(value)
    if found is None:
        raise OcnqlError(leaf.position, f"found {leaf.field} with {value_text(value)[:40]}", column.accepted)
    return found


def _pattern(leaf: Like, column: _Column) -> str:
    if not column.is_text:
        raise OcnqlError(leaf.position, f"found {leaf.field} with LIKE", "=, !=, <, <=, >, >=, IN, BETWEEN, IS NULL")
    return leaf.pattern.replace("\\", r"\\").replace("_", r"\_")
