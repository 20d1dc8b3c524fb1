"""OData `$filter` (OData 4.01 Part 2, 5.1.1; versions 2 and 3 write dates and `contains` in another way)."""

from __future__ import annotations

from app.connectors.model import WhereField, WhereSpec
from app.connectors.pushdown.asked import Asked
from app.connectors.pushdown.literals import literals

_WORDS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "in": "eq", "not in": "ne"}
_FIRST_WITH_CONTAINS = 4


def odata_test(spec: WhereSpec, field: WhereField, asked: Asked) -> str | None:
    """One test as text; None where the vendor could mean less."""
    if asked.operator in {"is null", "is not null"}:
        return f"{field.name} {'eq' if asked.operator == 'is null' else 'ne'} null"
    found = literals(field, asked.operator, asked.values, spec.dates)
    if found is None:
        return None
    if asked.operator in {"like", "not like"}:
        return _like(field.name, found[0], asked.operator, spec.version)
    texts = [_quoted(each) for each in found] if field.type == "text" else found
    # Services before 4.01 know no `in`.
    parts = [f"{field.name} {_WORDS[asked.operator]} {each}" for each in texts]
    joined = (" and " if asked.operator == "not in" else " or ").join(parts)
    return joined if len(parts) == 1 else f"({joined})"


def _like(name: str, pattern: str, operator: str, version: int) -> str | None:
    """By the pieces between the `%`. Their order is lost, which takes more: so no NOT LIKE with several."""
    first, *rest = pattern.split("%")
    if not rest:
        return f"{name} {'ne' if operator == 'not like' else 'eq'} {_quoted(pattern)}"
    parts = [f"startswith({name},{_quoted(first)})"] if first else []
    parts += [_contains(name, each, version) for each in rest[:-1] if each]
    parts += [f"endswith({name},{_quoted(rest[-1])})"] if rest[-1] else []
    if operator == "not like":
        return f"not {parts[0]}" if len(parts) == 1 else None
    return " and ".join(parts) if len(parts) == 1 else f"({' and '.join(parts)})" if parts else None


def _contains(name: str, piece: str, version: int) -> str:
    if version < _FIRST_WITH_CONTAINS:
        return f"substringof({_quoted(piece)},{name})"
    return f"contains({name},{_quoted(piece)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
