"""The schema of what a list says of its records: how fields are asked for, and which ones are deleted."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.validate import Length

from app.connectors.fields import Pointer, StrictSchema, Text, one_of
from app.connectors.model import DeletedSpec, SelectSpec
from app.connectors.tombstones import MARK


class SelectSchema(StrictSchema):
    """`list.select`: the query parameter that names the wanted fields."""

    param = Text(required=True, validate=Length(min=1))
    separator = Text(load_default=",", validate=Length(min=1))
    nested = Text(load_default="top", validate=one_of("dotted", "top"))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> SelectSpec:
        return SelectSpec(**data)


class DeletedSchema(StrictSchema):
    """`list.deleted`: what a deleted record looks like, and what becomes of it."""

    at = Pointer(required=True, validate=Length(min=1))
    equals = Text()
    do = Text(required=True, validate=one_of("keep", "drop", "mark"))

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if data["do"] == "mark" and data["at"].split("/")[1] == MARK:
            raise ValidationError({"do": [f"would put a second {MARK!r} into the record; accepted: keep, drop"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> DeletedSpec:
        return DeletedSpec(**data)
