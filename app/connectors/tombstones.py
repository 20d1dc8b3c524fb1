"""Records that say of themselves that they are deleted: lists of what changed have them among the others."""

from __future__ import annotations

from app.connectors.model import DeletedSpec
from app.connectors.pointers import Missing, find_small, find_value
from app.domain.selection import Record

MARK = "_deleted"
"""The field that a marked record gets."""

_MARKED = b',"%b":true}' % MARK.encode()


def is_deleted(spec: DeletedSpec, record: Record) -> bool:
    """Whether the record is one. What is no object is none."""
    try:
        raw = find_small(record, spec.at)
        value = None if raw is None else find_value(bytes(raw), "")
    except (Missing, RecursionError):
        return False
    if spec.equals is None:
        return bool(value)
    return value is not None and _text_of(value) == spec.equals


def marked(spec: DeletedSpec, record: Record) -> Record:
    """The record, with one more field behind all others if it is a deleted one."""
    if not is_deleted(spec, record):
        return record
    text = bytes(record).rstrip()
    return text[:-1] + _MARKED if text.endswith(b"}") else record


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
