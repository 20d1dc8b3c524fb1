"""A part of OData's ``$filter``, for connectors that push conditions to this vendor.

``eq ne lt le gt ge``, ``and``, ``or``, ``not``, parentheses, ``startswith``, ``endswith``, ``contains``,
``substringof``; text in quotes, numbers, booleans and dates of versions 2 to 4.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

Facts = Mapping[str, Any]
_Take = Callable[[Facts], bool]

_LONGEST: Final = 8_000
_DEEPEST: Final = 50
_TOKEN: Final = re.compile(r"\s*(?:([(),])|((?:datetime|datetimeoffset)?'[^']*(?:''[^']*)*')|([^\s(),']+))")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda one, two: bool(one == two),
    "ne": lambda one, two: bool(one != two),
    "lt": lambda one, two: bool(one < two),
    "le": lambda one, two: bool(one <= two),
    "gt": lambda one, two: bool(one > two),
    "ge": lambda one, two: bool(one >= two),
}
_FUNCTIONS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text, piece: piece in text,
    "substringof": lambda piece, text: piece in text,
}
_NAMES: Final = frozenset({"id", "name", "email", "group", "active", "archived", "createdAt", "updatedAt"})


class BadFilterError(ValueError):
    """The filter cannot be read; the message names the place."""


def compile_filter(text: str) -> _Take:
    """A function that tells whether a record's facts fit. Raises BadFilterError."""
    parser = _Parser(text)
    take = parser.any_of(0)
    parser.end()
    return take


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise BadFilterError(f"$filter has {len(text)} characters; accepted: at most {_LONGEST}")
        found = list(_TOKEN.finditer(text))
        if sum(len(match.group()) for match in found) != len(text.rstrip()):
            raise BadFilterError(f"$filter {text[:200]!r} holds a quote that is never closed")
        self._tokens = [match.group().strip() for match in found] + [""]
        self._at = 0

    def any_of(self, depth: int) -> _Take:
        takes = [self._all_of(depth)]
        while self._take("or"):
            takes.append(self._all_of(depth))
        return takes[0] if len(takes) == 1 else lambda facts: any(take(facts) for take in takes)

    def end(self) -> None:
        if self._tokens[self._at]:
            raise self._bad("and, or or the end")

    def _all_of(self, depth: int) -> _Take:
        takes = [self._one(depth)]
        while self._take("and"):
            takes.append(self._one(depth))
        return takes[0] if len(takes) == 1 else lambda facts: all(take(facts) for take in takes)

    def _one(self, depth: int) -> _Take:
        if depth > _DEEPEST:
            raise self._bad(f"at most {_DEEPEST} levels")
        if self._take("not"):
            inner = self._one(depth + 1)
            return lambda facts: not inner(facts)
        if self._take("("):
            inner = self.any_of(depth + 1)
            self._expect(")")
            return inner
        return self._call() if self._tokens[self._at] in _FUNCTIONS else self._comparison()

    def _comparison(self) -> _Take:
        one = self._operand()
        compare = _COMPARE.get(self._next())
        if compare is None:
            self._at -= 1
            raise self._bad(", ".join(_COMPARE))
        two = self._operand()

        def take(facts: Facts) -> bool:
            try:
                return compare(one(facts), two(facts))
            except TypeError:
                return False

        return take

    def _call(self) -> _Take:
        function = _FUNCTIONS[self._next()]
        self._expect("(")
        one = self._operand()
        self._expect(",")
        two = self._operand()
        self._expect(")")
        return lambda facts: function(str(one(facts)), str(two(facts)))

    def _operand(self) -> Callable[[Facts], Any]:
        word = self._next()
        if word in _NAMES:
            return lambda facts: facts[word]
        value = _literal(word)
        if value is None and word != "null":
            self._at -= 1
            raise self._bad(f"a literal or one of {', '.join(sorted(_NAMES))}")
        return lambda _: value

    def _next(self) -> str:
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return self._tokens[self._at - 1]

    def _take(self, word: str) -> bool:
        is_here = self._tokens[self._at] == word
        self._at += is_here
        return is_here

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._bad(repr(word))

    def _bad(self, accepted: str) -> BadFilterError:
        found = self._tokens[self._at] or "the end"
        return BadFilterError(f"$filter: found {found[:40]!r} as word {self._at + 1}; accepted: {accepted}")


def _literal(word: str) -> Any:
    if word.endswith("'"):
        kind, _, text = word[:-1].partition("'")
        return _moment(text) if kind else text.replace("''", "'")
    if word in {"true", "false"}:
        return word == "true"
    if re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", word):
        return Decimal(word)
    return _moment(word)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
