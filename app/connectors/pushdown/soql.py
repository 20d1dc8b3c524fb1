"""SOQL conditions (Salesforce, SOQL and SOSL Reference: quoted string escape sequences, LIKE, date formats)."""

from __future__ import annotations

from app.connectors.model import WhereField
from app.connectors.pushdown.asked import Asked
from app.connectors.pushdown.literals import literals

_WORDS = {"in": "IN", "not in": "NOT IN"}


def soql_test(field: WhereField, asked: Asked) -> str | None:
    """One test as text; None where the vendor could mean less."""
    if asked.operator in {"is null", "is not null"}:
        return f"{field.name} {'=' if asked.operator == 'is null' else '!='} null"
    found = literals(field, asked.operator, asked.values, "iso")
    if found is None:
        return None
    if asked.operator in {"like", "not like"}:
        # A `_` would stand for any one character there.
        test = f"{field.name} LIKE {_quoted(found[0]).replace('_', chr(92) + '_')}"
        return f"(NOT {test})" if asked.operator == "not like" else test
    texts = [_quoted(each) for each in found] if field.type == "text" else found
    if asked.operator in _WORDS:
        return f"{field.name} {_WORDS[asked.operator]} ({', '.join(texts)})"
    return f"{field.name} {asked.operator} {texts[0]}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
