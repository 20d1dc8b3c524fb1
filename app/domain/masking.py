"""How the rows that users sent are shown to them again: whole, or without their values. Never with secrets.

Pure; records are JSON texts, as they were sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

MASK = "********"

# By their names, since a value does not tell what it is.
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|credential|api[_-]?key|private[_-]?key|(?:access|refresh|auth|bearer)[_-]?token"
    r"|authorization",
    re.IGNORECASE,
)
_SECRET_BYTES = re.compile(_SECRET_NAME.pattern.encode(), re.IGNORECASE)
_ESCAPED_ASCII = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)|\\\Z""", re.DOTALL)
"""As `repr` quotes, perhaps cut off before the end."""
_LEAST_CHARS = 3
"""Shorter values stand in any text by chance, and are looked for as words."""


def names_secret(text: bytes) -> bool:
    """Whether a secret's name may stand in it, perhaps with some of its letters escaped as JSON allows."""
    return bool(_SECRET_BYTES.search(_ESCAPED_ASCII.sub(lambda found: bytes([int(found[1], 16)]), text)))


def shown_record(record: bytes, *, is_masked: bool) -> msgspec.Raw:
    """The record as JSON: its own text, unless a value has to be hidden."""
    if not is_masked and not names_secret(record):
        return msgspec.Raw(record)
    return msgspec.Raw(msgspec.json.encode(_covered(_decoded(record), is_shown=not is_masked), enc_hook=_digits))


class _Number:
    """Numbers keep their digits, however many they are."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __str__(self) -> str:
        return self.digits


def _decoded(record: bytes) -> Any:
    return json.loads(record, parse_int=_Number, parse_float=_Number)


def _digits(value: Any) -> msgspec.Raw:
    return msgspec.Raw(str(value).encode())


def _covered(value: Any, *, is_shown: bool) -> Any:
    if isinstance(value, dict):
        return {name: _covered(inner, is_shown=is_shown and _is_open(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_covered(inner, is_shown=is_shown) for inner in value]
    return value if is_shown or value is None else MASK


def is_secret_name(name: str) -> bool:
    """Whether a member of this name is hidden always; dotted names are those of all that they pass."""
    return bool(_SECRET_NAME.search(name))


def _is_open(name: str) -> bool:
    return not is_secret_name(name)


def shown_text(text: str, record: bytes | None, *, is_masked: bool) -> str:
    """What was said of a row, without the values of `record` that are hidden.

    `record` None: of a row that could not be parsed; what of it is quoted is hidden where values are masked.
    """
    if record is None:
        return _QUOTED.sub(f"'{MASK}'", text) if is_masked else text
    values = {spelt for value in _hidden_values(record, is_masked=is_masked) for spelt in _spellings(value)}
    for value in sorted(values, key=len, reverse=True):
        text = _without(text, value)
    return text


def _spellings(value: str) -> Iterator[str]:
    """How vendors echo a value: as it is, or in JSON; blanks in a row are one in what is kept of their words."""
    for text in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield text
        yield " ".join(text.split()) or text


def _hidden_values(record: bytes, *, is_masked: bool) -> Iterator[str]:
    if not is_masked and not names_secret(record):
        return
    yield from _texts(_decoded(record), is_shown=not is_masked)


def _texts(value: Any, *, is_shown: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, is_shown=is_shown and _is_open(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, is_shown=is_shown)
    elif not is_shown and not isinstance(value, bool | None) and str(value):
        yield str(value)


def _without(text: str, value: str) -> str:
    """Vendors echo what they refuse, and what they said was cut: perhaps in the middle of the value."""
    if len(value) < _LEAST_CHARS:
        return re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, text)
    text = text.replace(value, MASK)
    for size in range(min(len(value), len(text)), _LEAST_CHARS - 1, -1):
        if text.endswith(value[:size]):
            return text[:-size] + MASK
    return text
