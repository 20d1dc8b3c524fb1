"""Placeholders in connector documents: `{config.x}`, `{secret.x|b64}`, `{object}`, `{id}`, `{identifier}` and such.

There is no expression language: nothing to escape from, and everything is checked when a connector is saved.
`{{` and `}}` stand for the braces themselves.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

Values = Mapping[str, Mapping[str, str]]

SCOPES = ("config", "secret")
OBJECT = "object"
ID = "id"
PARENT_ID = "parent.id"
IDENTIFIER = "identifier"
IN_CONTEXT = frozenset({OBJECT, ID, PARENT_ID, IDENTIFIER})
"""Known in some places only: see app.connectors.spec."""


def _percent_encode(text: str) -> str:
    return quote(text, safe="")


def _tilde_encode(text: str) -> str:
    """Datasette's own escapes: it undoes them behind those of the URL, so a plain `~` would name another record."""
    return _percent_encode(text).replace("~", "%7E").replace(".", "%2E").replace("%", "~")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FILTERS: Mapping[str, Callable[[str], str]] = {
    "urlencode": _percent_encode,
    "tilde": _tilde_encode,
    "b64": _base64,
    "lower": str.lower,
    "trim": str.strip,
}

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"(?:(?P<scope>[a-z]+)\.)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)")


class TemplateError(ValueError):
    """The text is no template; the message names the part and what is accepted."""


@dataclass(frozen=True)
class Placeholder:
    """One value to put in. `scope` is `config`, `secret`, `parent`, or empty for `{object}`, `{id}` and such."""

    scope: str
    name: str
    filters: tuple[str, ...] = ()

    def value(self, values: Values) -> str:
        """The filtered value; empty where an optional setting was not given."""
        text = values.get(self.scope, {}).get(self.name, "")
        for name in self.filters:
            text = FILTERS[name](text)
        return text

    @property
    def dotted(self) -> str:
        """Scope and name."""
        return f"{self.scope}.{self.name}" if self.scope else self.name

    def __str__(self) -> str:
        return "{" + "|".join((self.dotted, *self.filters)) + "}"


@dataclass(frozen=True)
class Template:
    """Literal text and placeholders, in order."""

    parts: tuple[str | Placeholder, ...] = ()

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """What it needs, in order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    def has_values(self, values: Values) -> bool:
        """Whether any placeholder has a value, or none is needed."""
        return not self.placeholders or any(each.value(values) for each in self.placeholders)

    def render(self, values: Values, *, encode: Callable[[str], str] | None = None) -> str:
        """The text with values put in; each value goes through `encode` unless it was percent-encoded already."""
        return "".join(part if isinstance(part, str) else _encoded(part, values, encode) for part in self.parts)


def _encoded(placeholder: Placeholder, values: Values, encode: Callable[[str], str] | None) -> str:
    value = placeholder.value(values)
    return value if encode is None or "urlencode" in placeholder.filters else encode(value)


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    """Compile `text`. Raises TemplateError."""
    parts: list[str | Placeholder] = []
    position = 0
    for match in _TOKEN.finditer(text):
        parts.append(text[position : match.start()])
        parts.append(_part(match))
        position = match.end()
    parts.append(text[position:])
    return Template(_joined(parts))


def _part(match: re.Match[str]) -> str | Placeholder:
    token = match.group()
    if token in {"{{", "}}"}:
        return token[0]
    if token in {"{", "}"}:
        raise TemplateError(f"a lone {token!r}; write {token * 2!r} for the brace itself")
    dotted, *filters = (piece.strip() for piece in match[1].split("|"))
    name = _NAME.fullmatch(dotted)
    if name is None or (name["scope"] not in SCOPES and dotted not in IN_CONTEXT):
        accepted = "{config.NAME}, {secret.NAME}, {object}, {id}, {parent.id}, {identifier}"
        raise TemplateError(f"unknown placeholder {token!r}; accepted: {accepted}")
    for each in filters:
        if each not in FILTERS:
            raise TemplateError(f"unknown filter {each!r} in {token!r}; accepted: {', '.join(FILTERS)}")
    return Placeholder(name["scope"] or "", name["name"], tuple(filters))


def _joined(parts: list[str | Placeholder]) -> tuple[str | Placeholder, ...]:
    """Neighbouring literals as one, empty ones gone, so that equal texts give equal templates."""
    joined: list[str | Placeholder] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)
