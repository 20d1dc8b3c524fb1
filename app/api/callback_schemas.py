"""How callbacks read in the OpenAPI document."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from marshmallow import Schema, fields

from app.domain.deliveries import DeliveryStatus

STATES = [each.value for each in DeliveryStatus]


class CallbackStandingSchema(Schema):
    """Where a callback stands."""

    eventId = fields.String(required=True, metadata={"description": "The header webhook-id, the same on every attempt"})
    state = fields.String(required=True, metadata={"enum": STATES})
    attemptCount = fields.Integer(required=True)
    nextAttempt = fields.String(required=True, allow_none=True, metadata={"description": "null: none is to come"})
    waitingFor = fields.String(
        required=True, allow_none=True, metadata={"description": "Why nothing happens now although it is owed"}
    )
    lastError = fields.String(required=True, allow_none=True)


class CallbackAttemptSchema(Schema):
    """One POST."""

    number = fields.Integer(required=True)
    startedAt = fields.String(required=True)
    durationMs = fields.Integer(required=True)
    httpStatus = fields.Integer(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)


class CallbackSchema(CallbackStandingSchema):
    """A callback with its attempts."""

    jobId = fields.Integer(required=True)
    instanceId = fields.Integer(required=True)
    runNumber = fields.Integer(required=True)
    url = fields.String(required=True, metadata={"description": "The values of its query are masked"})
    host = fields.String(required=True)
    createdDate = fields.String(required=True)
    completedDate = fields.String(required=True, allow_none=True)
    resendCount = fields.Integer(required=True)
    attempts = fields.List(fields.Nested(CallbackAttemptSchema), required=True)


class ResentSchema(Schema):
    """What a call that sends many again did."""

    resent = fields.Integer(required=True)
    hasMore = fields.Boolean(required=True, metadata={"description": "More are left: call again"})
