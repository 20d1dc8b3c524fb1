"""Cutting a query into tokens, in one pass."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from app.domain.ocnql.errors import OcnqlError, shown

LONGEST_QUERY = 65_536
"""Characters. A list of a thousand ids fits; what a URL can carry is far below."""

RESERVED = frozenset(
    {
        "SELECT", "FROM", "WHERE", "ORDER", "BY", "LIMIT", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "BETWEEN",
        "TRUE", "FALSE",
    }
)  # fmt: skip
"""Words that name a field or an object only in back-ticks."""

# Every branch stands for one kind of token and none can match a text in two ways, so that a scan is linear. A run that
# is no operator and no quote is one word: a date, a number and a dotted name are told apart by `classify`.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<word>[^\s=!<>(),;*'"`]+)
    | (?P<operator><=|>=|<>|!=|[=<>])
    | (?P<mark>[(),*])
    | (?P<quoted>'[^']*(?:''[^']*)*')
    | (?P<ticked>`[^`]*(?:``[^`]*)*`)
    """,
    re.VERBOSE,
)
# PostgreSQL, HTTP and UTF-8 know neither of these.
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    NUMBER = "number"
    DATE = "date"
    QUOTED = "quoted"
    TICKED = "ticked"
    OPERATOR = "operator"
    MARK = "mark"
    END = "end"


class Token(NamedTuple):
    """`text` without its quotes; `keyword` in capitals for a reserved or structural word, else empty."""

    kind: Kind
    text: str
    position: int
    keyword: str = ""

    def __str__(self) -> str:
        return "found the end" if self.kind is Kind.END else f"found {shown(self.text)}"


def tokens(text: str) -> list[Token]:
    """The tokens of `text`, closed by one of kind END. Raises OcnqlError."""
    if len(text) > LONGEST_QUERY:
        raise OcnqlError(LONGEST_QUERY + 1, f"found {len(text)} characters", f"at most {LONGEST_QUERY}")
    strange = _NO_TEXT.search(text)
    if strange:
        raise OcnqlError(strange.start() + 1, f"found {strange.group()!r}", "characters of Unicode, without U+0000")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        if match.lastgroup != "space":
            found.append(_token(match))
        at = match.end()
    return [*found, Token(Kind.END, "", len(text) + 1)]


def _token(match: re.Match[str]) -> Token:
    kind, text, position = match.lastgroup, match.group(), match.start() + 1
    if kind == "word":
        return Token(classify(text), text, position, text.upper() if text.isascii() and text.isalpha() else "")
    if kind in {"quoted", "ticked"}:
        return Token(Kind(kind), text[1:-1].replace(text[0] * 2, text[0]), position)
    assert kind is not None
    return Token(Kind(kind), text, position)


def classify(word: str) -> Kind:
    """What an unquoted run of characters is."""
    if NUMBER.fullmatch(word):
        return Kind.NUMBER
    return Kind.DATE if DATE.fullmatch(word) else Kind.WORD


def _unreadable(text: str, at: int) -> OcnqlError:
    mark = text[at]
    if mark in "'`":
        name = "quote" if mark == "'" else "back-tick"
        return OcnqlError(at + 1, f"found a {name} that is never closed", f"a closing {mark}, doubled inside the text")
    if mark == '"':
        return OcnqlError(at + 1, f"found {mark!r}", "text in single quotes, names in back-ticks")
    return OcnqlError(at + 1, f"found {mark!r}", "a name, a value, an operator or a parenthesis")
