"""The schema of a connector of the documents hub: a place that outputs are pushed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, validates_schema
from marshmallow.fields import Dict, Integer, Nested
from marshmallow.validate import Regexp

from app.connectors.fields import StrictSchema, Text, one_of
from app.connectors.schema import KEY, SettingSchema

KINDS = ("s3", "gcs", "azure", "sftp", "file", "box", "dropbox")
"""What `app.storage.destinations` can write to."""


class DestinationSchema(StrictSchema):
    """The whole document. Which settings mean something is the adapter's to say: these files come with the product."""

    later: ClassVar[frozenset[str]] = frozenset({"objects"})

    format = Integer(required=True, strict=True, validate=one_of(1))
    key = Text(required=True, validate=KEY)
    name = Text()
    hub = Text(required=True, validate=Regexp(r"^documents$", error="accepted: documents"))
    docs = Text(load_default="")
    destination = Text(required=True, validate=one_of(*KINDS))
    config = Dict(keys=Text(), values=Nested(SettingSchema), load_default=dict)
    secret = Dict(keys=Text(), values=Nested(SettingSchema), load_default=dict)

    @validates_schema
    def _check_names(self, data: Mapping[str, Any], **_: Any) -> None:
        if doubled := data["config"].keys() & data["secret"].keys():
            raise ValidationError({"secret": {name: ["is declared under `config` too"] for name in doubled}})


DESTINATION_SCHEMA: Schema = DestinationSchema()
