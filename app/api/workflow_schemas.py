"""What the older calls about workflows take and give. The form of the steps is our guess (reference 1 k, l)."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from dataclasses import replace
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load

from app.api.bulk_schemas import JobItemSchema
from app.api.fields import job_number, text
from app.api.upload_schema import UploadSchema
from app.services.workflows import Target

_ABOUT = UploadSchema()


class TargetSchema(Schema):
    """The second step: where the records go, as the options of an upload say it."""

    class Meta:
        unknown = RAISE

    _accepted = "instanceId, objectName, metaData and notificationUrl are accepted, and nothing more."
    error_messages = {"unknown": _accepted}  # noqa: RUF012 - marshmallow's attribute

    instanceId = job_number(required=True, metadata={"description": "An instance of the same organisation"})
    objectName = text(required=True, metadata={"description": "The kind of record to write there"})
    metaData = fields.Dict(
        keys=fields.String(),
        error_messages={"invalid": "an object with the options of an upload is accepted."},
        metadata={"description": "As of `POST /bulk/{objectName}`; the file is always one of JSON Lines"},
    )
    notificationUrl = text(1, 2000, metadata={"description": "Gets a POST when the upload has ended"})

    @post_load
    def as_target(self, values: dict[str, Any], **_: Any) -> Target:
        """The stored result is read, so what is said of the form of a file means nothing."""
        if values["instanceId"] is None:
            raise ValidationError({"instanceId": ["the id of an instance is accepted."]})
        about = {name: value for name, value in values.get("metaData", {}).items() if value is not None}
        if faults := _ABOUT.validate(about):
            raise ValidationError({"metaData": faults})
        options = replace(
            _ABOUT.load(about),
            object_name=values["objectName"],
            format="json",
            encoding="",
            delimiter="",
            quote="",
            notification_url=values.get("notificationUrl"),
        )
        return Target(values["instanceId"], options)


class WorkflowSchema(Schema):
    """The answer to a workflow: its job's id, or its schedule's."""

    id = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": ["CREATED", "SCHEDULED"]})


class LoaderItemSchema(JobItemSchema):
    """One job of `GET /bulkloader`."""

    groupName = fields.String(required=True, metadata={"description": "The schedule's name, or the object's"})
    uploadJobId = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The job that the result was given to"}
    )
    note = fields.String(required=True, allow_none=True, metadata={"description": "Why it was not, so far"})
