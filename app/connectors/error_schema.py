"""The schema of `errors`: what an answer or its absence means, by the connector's word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Field, Nested, Raw
from marshmallow.validate import Length

from app.connectors.fields import HeaderName, Pointer, StrictSchema, Text, one_of, spelled
from app.connectors.model import Action, ErrorClass, ErrorRule


class AnswerSchema(StrictSchema):
    """The conditions of a rule about an answer; all that are given must hold."""

    later: ClassVar[frozenset[str]] = frozenset({"matches"})
    status_classes: ClassVar[tuple[str, ...]] = ("2xx", "3xx", "4xx", "5xx")

    status: Field[Any] = Raw()
    body = Text(validate=Length(min=1))
    header = HeaderName()
    pointer = Pointer()
    equals = Text()

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError(f"needs a condition; accepted: {', '.join(self.fields)}")
        if "equals" in data and not data.keys() & {"header", "pointer"}:
            raise ValidationError({"equals": ["needs `header` or `pointer` beside it"]})
        if any(each not in self.status_classes and not _is_status(each) for each in _statuses(data)):
            accepted = f"400 to 599, {', '.join(self.status_classes)}, 200, or a list of these"
            raise ValidationError({"status": [f"is no status; accepted: {accepted}"]})


class WhenSchema(AnswerSchema):
    """The conditions of an error rule, which may be about an answer that did not come."""

    status_classes: ClassVar[tuple[str, ...]] = ("4xx", "5xx")

    network = Text(validate=one_of("dns", "connect", "tls", "timeout", "cut", "decode", "too_large"))


class ErrorRuleSchema(StrictSchema):
    """One entry of `errors`."""

    when = Nested(WhenSchema, required=True)
    do = Text(
        required=True,
        validate=one_of(
            *(each for each in Action if each not in {Action.OK, Action.RESTART_CURSOR}),
            later=("skip_record", "restart_cursor"),
        ),
    )
    error_class = Text(data_key="class", load_default="vendor", validate=one_of(*ErrorClass))
    message = Text(load_default="")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> ErrorRule:
        when = data["when"]
        return ErrorRule(
            action=Action(data["do"]),
            error_class=ErrorClass(data["error_class"]),
            network=(when["network"],) if "network" in when else (),
            message=data["message"],
            **conditions(when),
        )


def conditions(when: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule about an answer is made of, as arguments."""
    return {
        "statuses": tuple(_statuses(when)),
        "body": when.get("body", ""),
        "header": when.get("header", ""),
        "pointer": when.get("pointer"),
        "equals": when.get("equals"),
    }


def _statuses(when: Mapping[str, Any]) -> list[str]:
    given = when.get("status", [])
    return [str(spelled(each)).lower() for each in (given if isinstance(given, list) else [given])]


def _is_status(text: str) -> bool:
    return text.isdigit() and 200 <= int(text) <= 599  # noqa: PLR2004 - HTTP's range
