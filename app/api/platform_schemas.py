"""What calls about instances and elements take and give (reference 8)."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from app.api.fields import INT32, array_of_texts, text, whole_number

_ELEMENT_ACCEPTED = "an object with an element's key or id is accepted."


class ElementNameSchema(Schema):
    """An element by key or id."""

    error_messages = {"type": _ELEMENT_ACCEPTED}  # noqa: RUF012 - marshmallow's name for it

    class Meta:
        unknown = EXCLUDE

    key = text(1, 100)
    id = whole_number(1, INT32)

    @validates_schema
    def one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        """Which element it is must be said."""
        if data.get("key") is None and data.get("id") is None:
            raise ValidationError("is missing; an element's key or id is accepted.", "key")


def _settings(**options: Any) -> fields.Dict:
    accepted = "an object of texts, numbers and booleans is accepted."
    return fields.Dict(
        keys=text(1, 200),
        values=fields.Raw(allow_none=True, validate=_scalar, metadata={"type": ["string", "number", "boolean"]}),
        error_messages={"invalid": accepted},
        allow_none=True,
        **options,
    )


def _scalar(value: Any) -> None:
    if not isinstance(value, str | int | float | bool | None):
        raise ValidationError("a text, a number or a boolean is accepted.")


class ChangeSchema(Schema):
    """The body of PATCH and PUT. Unknown keys are ignored and listed in Elements-Error."""

    class Meta:
        unknown = EXCLUDE

    hidden_fields = frozenset({"configuration"})

    name = text(1, 200, allow_none=True)
    tags = array_of_texts(allow_none=True)
    configuration = _settings(metadata={"description": "`********` keeps a secret as it is; null forgets a setting"})


class ElementInstanceSchema(ChangeSchema):
    """The body of `POST /elements/{keyOrId}/instances`."""

    providerData = fields.Raw(metadata={"description": "Ignored"}, load_only=True)
    retrieveObjectsAfterInstantiation = fields.Raw(metadata={"description": "Ignored"}, load_only=True)


class NewInstanceSchema(ElementInstanceSchema):
    """The body of `POST /instances`."""

    element = fields.Nested(
        ElementNameSchema, required=True, error_messages=dict.fromkeys(("required", "null"), _ELEMENT_ACCEPTED)
    )


class InstanceElementSchema(Schema):
    """The element of an instance."""

    id = fields.Integer(required=True)
    key = fields.String(required=True)
    name = fields.String(required=True)
    hub = fields.String(required=True)


class InstanceSchema(Schema):
    """An instance. `token` and a generated signing key are shown once, in the answer to the POST."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    createdDate = fields.String(required=True)
    updatedDate = fields.String(required=True)
    token = fields.String(required=True)
    element = fields.Nested(InstanceElementSchema, required=True)
    elementId = fields.Integer(required=True)
    tags = fields.List(fields.String(), required=True)
    provisionInteractions = fields.List(fields.Raw(), required=True)
    valid = fields.Boolean(required=True)
    disabled = fields.Boolean(required=True)
    maxCacheSize = fields.Integer(required=True)
    cacheTimeToLive = fields.Integer(required=True)
    configuration = fields.Dict(required=True)
    eventsEnabled = fields.Boolean(required=True)
    traceLoggingEnabled = fields.Boolean(required=True)
    cachingEnabled = fields.Boolean(required=True)
    externalAuthentication = fields.String(required=True)
    user = fields.Dict(required=True)


class ElementSettingSchema(Schema):
    """One setting that an instance of the element gives."""

    key = fields.String(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"enum": ["TEXTFIELD", "PASSWORD"]})
    required = fields.Boolean(required=True)
    active = fields.Boolean(required=True)
    defaultValue = fields.String(required=True, allow_none=True)
    options = fields.List(fields.String(), required=True)


class ElementSchema(Schema):
    """An element: a connector with what its instances must give."""

    id = fields.Integer(required=True)
    key = fields.String(required=True)
    name = fields.String(required=True)
    hub = fields.String(required=True)
    active = fields.Boolean(required=True)
    private = fields.Boolean(required=True, metadata={"description": "False: of the catalogue"})
    revision = fields.Integer(required=True)
    createdDate = fields.String(required=True)
    updatedDate = fields.String(required=True)
    objects = fields.List(fields.String(), required=True)
    configuration = fields.List(fields.Nested(ElementSettingSchema), required=True)
    bulk = fields.Dict(required=True)
    declaration = fields.Dict(metadata={"description": "The connector document; not in listings"})


class DeletedSchema(Schema):
    """Nothing more to say."""
