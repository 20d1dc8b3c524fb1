"""From a condition to query parameters, by the form that the connector declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.connectors.model import WhereField, WhereKind, WhereSpec
from app.connectors.pushdown.asked import Asked, asked_of, conjuncts_of
from app.connectors.pushdown.boolean_text import boolean_text
from app.connectors.pushdown.literals import literals
from app.connectors.pushdown.odata import odata_test
from app.connectors.pushdown.phrases import phrase
from app.connectors.pushdown.soql import soql_test
from app.domain.ocnql import And, Condition, text_of

LONGEST_FILTER = 2_000
"""Characters of all that is pushed: three times as many when percent-encoded, and servers refuse URLs above 8 KiB."""


@dataclass(frozen=True)
class Pushed:
    """`params`: query parameters of the first page's call, over the connector's own. The texts are OCNQL."""

    params: dict[str, str] = field(default_factory=dict)
    pushed_text: str = ""
    """What the vendor was told; empty for nothing."""
    rest_text: str = ""
    """What only we apply."""


_Say = Callable[[WhereSpec, Condition], str | None]


def pushed(spec: WhereSpec | None, condition: Condition | None, *, object_name: str = "") -> Pushed:
    """Push what the connector declares; `spec` None: nothing. `object_name` is put in for `{object}` in its text.

    Only parts that must hold as a whole are pushed, first come, first served; a disjunction where the form has one and
    every field and operator in it is declared.
    """
    parts = conjuncts_of(condition)
    if spec is None:
        return Pushed(rest_text=_joined(parts))
    if spec.kind is WhereKind.PARAMS:
        return _pushed_params(spec, parts)
    say, join = _SAYS[spec.kind]
    told: list[Condition] = []
    texts: list[str] = []
    for each in parts:
        text = say(spec, each)
        if text is not None and sum(map(len, texts)) + len(text) <= LONGEST_FILTER:
            told.append(each)
            texts.append(text)
    if not told:
        return Pushed(rest_text=_joined(parts))
    where = (join or spec.join).join(texts)
    whole = spec.text.replace("{object}", object_name).replace("{where}", where)
    return Pushed({spec.param: whole}, _joined(told), _joined(_without(parts, told)))


def _pushed_params(spec: WhereSpec, parts: list[Condition]) -> Pushed:
    """A parameter has one value: of two conditions that want the same one, the second stays here."""
    params: dict[str, str] = {}
    told: list[Condition] = []
    for each in parts:
        param, value = _param(spec, each)
        if value is not None and param not in params and sum(map(len, params.values())) + len(value) <= LONGEST_FILTER:
            params[param] = value
            told.append(each)
    return Pushed(params, _joined(told), _joined(_without(parts, told)))


def _param(spec: WhereSpec, condition: Condition) -> tuple[str, str | None]:
    asked, declared, target = _declared(spec, condition)
    if asked is None or declared is None or target is None:
        return "", None
    found = literals(declared, asked.operator, asked.values, spec.dates)
    if found is None or (len(found) > 1 and any(spec.separator in each for each in found)):
        return target, None
    return target, spec.separator.join(found)


def _declared(spec: WhereSpec, condition: Condition) -> tuple[Asked | None, WhereField | None, str | None]:
    asked = asked_of(condition)
    declared = None if asked is None else spec.field(asked.field)
    return asked, declared, None if asked is None or declared is None else declared.target(asked.operator)


def _say_odata(spec: WhereSpec, condition: Condition) -> str | None:
    return boolean_text(condition, _tester(spec, lambda field, asked: odata_test(spec, field, asked)), words=_LOWER)


def _say_soql(spec: WhereSpec, condition: Condition) -> str | None:
    return boolean_text(condition, _tester(spec, soql_test), words=_UPPER)


def _say_phrase(spec: WhereSpec, condition: Condition) -> str | None:
    asked, declared, _ = _declared(spec, condition)
    return None if asked is None or declared is None else phrase(spec, declared, asked)


def _tester(spec: WhereSpec, test: Callable[[WhereField, Asked], str | None]) -> Callable[[Asked], str | None]:
    """Only fields and operators that are declared."""

    def checked(asked: Asked) -> str | None:
        declared = spec.field(asked.field)
        return None if declared is None or declared.target(asked.operator) is None else test(declared, asked)

    return checked


_LOWER, _UPPER = ("and", "or"), ("AND", "OR")
_SAYS: Mapping[WhereKind, tuple[_Say, str]] = {
    WhereKind.ODATA: (_say_odata, " and "),
    WhereKind.SOQL: (_say_soql, " AND "),
    WhereKind.TEMPLATE: (_say_phrase, ""),
}


def _joined(parts: list[Condition]) -> str:
    return text_of(parts[0] if len(parts) == 1 else And(tuple(parts))) if parts else ""


def _without(parts: list[Condition], told: list[Condition]) -> list[Condition]:
    return [each for each in parts if not any(each is one for one in told)]
