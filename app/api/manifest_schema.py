"""How a manifest reads in the OpenAPI document."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from marshmallow import Schema, fields


def _digest(what: str) -> fields.String:
    return fields.String(required=True, metadata={"description": f"SHA-256 of {what}, hexadecimal"})


class _PartSchema(Schema):
    """What a segment and the whole have both."""

    recordCount = fields.Integer(required=True)
    plainBytes = fields.Integer(required=True, metadata={"description": "As JSON Lines"})
    storedBytes = fields.Integer(required=True, metadata={"description": "As they lie in the store, packed or not"})
    crc32 = fields.String(required=True, metadata={"description": "Of the JSON Lines, eight hexadecimal digits"})


class SegmentSchema(_PartSchema):
    """One segment. It can be read by `Range: bytes=firstByte-…` where the job's format is JSON Lines."""

    index = fields.Integer(required=True, metadata={"description": "From 0"})
    firstRecord = fields.Integer(required=True, metadata={"description": "Records before it"})
    firstByte = fields.Integer(required=True, metadata={"description": "Bytes of JSON Lines before it"})
    sha256 = _digest("its JSON Lines")


class ManifestSchema(_PartSchema):
    """What the readable revision of a result consists of."""

    jobId = fields.Integer(required=True)
    objectName = fields.String(required=True)
    runNumber = fields.Integer(required=True, metadata={"description": "The run whose end this result is"})
    etag = fields.String(required=True, metadata={"description": "Of the result as JSON Lines, not compressed"})
    segmentCount = fields.Integer(required=True)
    segments = fields.List(fields.Nested(SegmentSchema), required=True)
    sha256 = _digest("the whole result as JSON Lines")
