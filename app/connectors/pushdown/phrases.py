"""Conditions by the texts that a connector gives: search languages such as `status:open created>=2021-01-01`."""

from __future__ import annotations

import re

from app.connectors.model import WhereField, WhereSpec
from app.connectors.pushdown.asked import Asked
from app.connectors.pushdown.literals import literals

# Without quotes a blank, a colon or a bracket would begin something else, perhaps a narrower search.
_WORD = re.compile(r"[\w.@+-]+")


def phrase(spec: WhereSpec, field: WhereField, asked: Asked) -> str | None:
    """One test as the text declared for its operator; None where the value could be read as anything else."""
    target = field.target(asked.operator)
    found = literals(field, asked.operator, asked.values, spec.dates)
    if target is None or found is None:
        return None
    value = _written(spec, found[0]) if field.type == "text" else found[0]
    return None if value is None else target.replace("{value}", value)


def _written(spec: WhereSpec, text: str) -> str | None:
    if not spec.quote:
        return text if _WORD.fullmatch(text) else None
    if spec.escape == "backslash":
        text = text.replace("\\", "\\\\").replace(spec.quote, "\\" + spec.quote)
    elif spec.escape == "double":
        text = text.replace(spec.quote, spec.quote * 2)
    elif spec.quote in text or "\\" in text:
        return None
    return f"{spec.quote}{text}{spec.quote}"
