"""The schema of `where`: which conditions a vendor takes, in which form, and only what that kind uses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Dict, Field, Integer, Nested
from marshmallow.validate import Length

from app.connectors.fields import StrictSchema, Text, one_of
from app.connectors.model import WhereField, WhereKind, WhereSpec

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_LISTS = ("in", "not in")
_TESTS = ("like", "not like", "is null", "is not null")

KIND_KEYS: Mapping[WhereKind, tuple[frozenset[str], frozenset[str]]] = {
    WhereKind.PARAMS: (frozenset(), frozenset({"dates", "separator"})),
    WhereKind.ODATA: (frozenset(), frozenset({"param", "text", "version", "dates"})),
    WhereKind.SOQL: (frozenset({"param"}), frozenset({"param", "text"})),
    WhereKind.TEMPLATE: (frozenset({"param"}), frozenset({"param", "text", "join", "quote", "escape", "dates"})),
}
"""kind -> (required keys, accepted keys), beside `kind` and `fields`."""

KIND_OPERATORS: Mapping[WhereKind, tuple[str, ...]] = {
    WhereKind.PARAMS: (*COMPARISONS, *_LISTS),
    WhereKind.ODATA: (*COMPARISONS, *_LISTS, *_TESTS),
    WhereKind.SOQL: (*COMPARISONS, *_LISTS, *_TESTS),
    WhereKind.TEMPLATE: COMPARISONS,
}
"""What a field may declare; anything else is applied by us alone."""

_BY_TYPE: Mapping[str, frozenset[str]] = {
    "text": frozenset({*COMPARISONS, *_LISTS, *_TESTS}),
    "number": frozenset({*COMPARISONS, *_LISTS, "is null", "is not null"}),
    "date": frozenset({*COMPARISONS, *_LISTS, "is null", "is not null"}),
    "boolean": frozenset({"=", "!=", "is null", "is not null"}),
}
_DATES = {WhereKind.ODATA: ("iso", "datetime", "datetimeoffset")}
_NUMERIC_DATES = ("iso", "epoch", "epoch_ms")
_MAPPED = frozenset({WhereKind.PARAMS, WhereKind.TEMPLATE})
_VENDOR_NAME = re.compile(r"[A-Za-z_@$][A-Za-z0-9_.@$/-]*")
MERGE = "leave it out there, or give `text` with what must always hold beside {where}"


class Operators(Field[dict[str, str]]):
    """A list of operators, or a mapping from operator to parameter or text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> dict[str, str]:  # noqa: ARG002 - marshmallow's signature
        given = dict.fromkeys(value, "") if isinstance(value, list) and all(map(_is_text, value)) else value
        if not isinstance(given, dict) or not given or not all(map(_is_text, [*given, *given.values()])):
            raise ValidationError("accepted: a list of operators, or a mapping from operator to parameter or text")
        return given


class WhereFieldSchema(StrictSchema):
    """One field that the vendor can filter by."""

    name = Text(validate=Length(min=1))
    type = Text(required=True, validate=one_of(*_BY_TYPE))
    operators = Operators(required=True)


class WhereSchema(StrictSchema):
    """`where`: what of a condition the vendor is told. The rest, and all of it again, is applied by us."""

    kind = Text(required=True, validate=one_of(*WhereKind))
    fields_ = Dict(
        keys=Text(required=True),
        values=Nested(WhereFieldSchema),
        data_key="fields",
        required=True,
        validate=Length(min=1, error="needs a field"),
    )
    param = Text(validate=Length(min=1))
    text = Text()
    version = Integer(strict=True, validate=one_of(2, 3, 4))
    dates = Text()
    separator = Text(validate=Length(min=1))
    join = Text(validate=Length(min=1))
    quote = Text(validate=Length(equal=1))
    escape = Text(validate=one_of("none", "double", "backslash"))

    @validates_schema(pass_original=True)
    def _check(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> None:
        kind = WhereKind(data["kind"])
        required, accepted = KIND_KEYS[kind]
        known = {each.data_key or name for name, each in self.fields.items()}
        text = ", ".join(sorted(accepted)) or "nothing more"
        unused = (original.keys() & known) - accepted - {"kind", "fields"}
        errors: dict[str, Any] = {key: [f"is not used by kind {kind}; accepted: {text}"] for key in unused}
        errors |= {key: ["is required"] for key in required - original.keys()}
        if data.get("text", "{where}").count("{where}") != 1:
            errors["text"] = ["accepted: a text with {where} in it, once"]
        dates = _DATES.get(kind, _NUMERIC_DATES)
        if data.get("dates", "iso") not in dates:
            errors["dates"] = [f"is not accepted; accepted: {', '.join(dates)}"]
        faults = {name: fault for name, each in data["fields_"].items() if (fault := _field_faults(kind, name, each))}
        if faults:
            errors["fields"] = faults
        if errors:
            raise ValidationError(errors)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> WhereSpec:
        kind = WhereKind(data.pop("kind"))
        declared = data.pop("fields_")
        fields = tuple(
            (name, WhereField(_vendor_name(kind, name, each), each["type"], tuple(each["operators"].items())))
            for name, each in declared.items()
        )
        version = data.get("version", 4)
        defaults = {"param": "$filter", "dates": "iso" if version >= 4 else "datetime"}  # noqa: PLR2004 - OData's
        return WhereSpec(kind, fields, **({**defaults, **data} if kind is WhereKind.ODATA else data))


def where_conflicts(where: WhereSpec, params: Mapping[str, Any], paging: Collection[str]) -> dict[str, list[str]]:
    """Parameters that would be overwritten: those of the paging, and a filter that the connector always sends.

    A parameter of kind `params` may take the place of the connector's own (`archived: all`), and so may a text that
    the author wrote out.
    """
    if where.params & (set(paging) - {""}):
        return {"where": [f"sets a parameter of the paging; accepted: other parameters than {', '.join(paging)}"]}
    if where.kind is not WhereKind.PARAMS and where.text == "{where}" and where.params & params.keys():
        return {"where": [f"sets a parameter of `params`; {MERGE}"]}
    return {}


def _field_faults(kind: WhereKind, name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    operators: dict[str, str] = field["operators"]
    accepted = [each for each in KIND_OPERATORS[kind] if each in _BY_TYPE[field["type"]]]
    if wrong := [each for each in operators if each not in accepted]:
        text = f"{wrong[0]!r} is not accepted for a {field['type']} of kind {kind}; accepted: {', '.join(accepted)}"
        return {"operators": [text]}
    if (kind in _MAPPED) != all(operators.values()):
        form = "a mapping from operator to parameter or text" if kind in _MAPPED else "a list of operators"
        return {"operators": [f"is not accepted for kind {kind}; accepted: {form}"]}
    if kind is WhereKind.TEMPLATE and any(each.count("{value}") != 1 for each in operators.values()):
        return {"operators": ["accepted: texts with {value} in them, once"]}
    if kind is WhereKind.PARAMS and _repeated(operators.values()):
        return {"operators": [f"names the parameter {_repeated(operators.values())!r} twice"]}
    if kind not in _MAPPED and not _VENDOR_NAME.fullmatch(_vendor_name(kind, name, field)):
        return {"name": ["is no name of a field; accepted: letters, digits, '_', '.' and '/'"]}
    return {}


def _vendor_name(kind: WhereKind, name: str, field: Mapping[str, Any]) -> str:
    given: str = field.get("name", name.replace(".", "/") if kind is WhereKind.ODATA else name)
    return given


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()
