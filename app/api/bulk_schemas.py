"""What bulk calls take and give. The names are the wire's (reference 1, 3)."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load, validates_schema

from app.api.callback_schemas import CallbackStandingSchema
from app.api.fields import (
    INT32,
    JobNumber,
    MetaData,
    choice,
    job_number,
    retention_hours,
    text,
    texts_by_name,
    true_or_false,
    whole_number,
)
from app.domain.criteria import SUPPORTED, DownloadCriteria, child_from, split_names
from app.domain.jobs import FileFormat
from app.domain.pushes import LONGEST_PATH, DocsHub, PathError, PushState, check_placeholders
from app.domain.stalls import WaitsFor
from app.domain.uploads import RowVerdict
from app.errors import InvalidInputError


class ChildSchema(Schema):
    """`child`: which records to nest in each record (reference 9)."""

    class Meta:
        unknown = RAISE

    _accepted = "an object with objectName and parentPrimaryKeyFieldName, and nothing more, is accepted."
    error_messages = {"type": _accepted, "unknown": _accepted}  # noqa: RUF012 - marshmallow's attribute

    objectName = text(required=True, metadata={"description": "The object to nest"})
    parentPrimaryKeyFieldName = text(
        required=True,
        metadata={
            "description": "The key: of the record below which the children are listed, or of the child that the "
            "record refers to, or the field of the record that does"
        },
    )


class DocsHubSchema(Schema):
    """`docsHubDetails`: where the finished output goes (reference 9)."""

    class Meta:
        unknown = RAISE

    _accepted = "an object with instanceId and path, and nothing more, is accepted."
    error_messages = {"type": _accepted, "unknown": _accepted}  # noqa: RUF012 - marshmallow's attribute

    instanceId = JobNumber(1, INT32, required=True, metadata={"description": "An instance of a documents element"})
    path = text(
        1,
        LONGEST_PATH,
        required=True,
        metadata={
            "description": "Path with the file's name, below the instance's prefix; may hold {jobId}, {objectName} and "
            "the date patterns of fileName; .gz at its end packs the output"
        },
    )

    @post_load
    def as_target(self, values: dict[str, Any], **_: Any) -> DocsHub:
        """Only what is wrong with the placeholders is told here."""
        try:
            check_placeholders(values["path"])
        except PathError as error:
            raise ValidationError({"path": [f"{values['path'][:100]!r} is not accepted: {error}."]}) from None
        return DocsHub(values["instanceId"], values["path"])


_NEVER_WITHOUT = {"objectName", "format"}
"""Null of these says nothing, whatever there was before."""


class CriteriaSchema(Schema):
    """The body of `POST /bulk/download` (reference 1a)."""

    class Meta:
        unknown = RAISE

    others: ClassVar[tuple[str, ...]] = ()
    """Accepted beside the criteria."""

    objectName = text(
        metadata={"description": "The kind of record, by its name in the element. Required but with continueFromJobId"}
    )
    format = choice(
        *(each.value for each in FileFormat),
        "txt/csv",
        allow_none=True,
        metadata={"description": "Media type of the result; application/jsonl without one"},
    )
    pageSize = whole_number(metadata={"description": "Records a vendor call; capped at what the vendor allows"})
    limit = whole_number(metadata={"description": "Stop after so many records"})
    apiLimit = whole_number(
        metadata={
            "description": "Make at most so many vendor calls, retries included; a restart may make as many again"
        }
    )
    query = texts_by_name(allow_none=True, metadata={"description": "Further query parameters of the vendor's call"})
    notificationUrl = text(1, 2000, allow_none=True, metadata={"description": "Gets a POST when the job has ended"})
    selectFields = text(
        1,
        20_000,
        allow_none=True,
        metadata={"description": "Comma-separated fields to keep, in this order; dotted names go deeper"},
    )
    filterNulls = true_or_false(metadata={"description": "Leave out fields that are null"})
    date_from = text(
        1,
        100,
        data_key="from",
        allow_none=True,
        metadata={"description": "Only records whose filterDateField is at or after this moment"},
    )
    date_to = text(
        1,
        100,
        data_key="to",
        allow_none=True,
        metadata={
            "description": "Only records whose filterDateField is at or before this moment; a date means all day"
        },
    )
    filterDateField = text(
        1, 200, allow_none=True, metadata={"description": "The field that `from` and `to` are compared with"}
    )
    where = text(1, 20_000, allow_none=True, metadata={"description": "OCNQL: only records for which this is true"})
    child = fields.Nested(
        ChildSchema,
        allow_none=True,
        metadata={"description": "Nest in each record the one that it refers to, or the list below it"},
    )
    docsHubDetails = fields.Nested(
        DocsHubSchema,
        allow_none=True,
        metadata={"description": "Push the finished output to an instance of a documents element"},
    )
    metaData = MetaData(
        allow_none=True,
        metadata={"description": "fileName: the result's name; callback-payload: given back in status and callbacks"},
    )

    continueFromJobId = job_number(
        metadata={"description": "Go on from this job: where it stopped, or with what changed since it ended"}
    )
    retentionHours = retention_hours()

    @pre_load
    def refuse_other_criteria(self, given: Any, **_: Any) -> Any:
        """By name, so that nobody believes a filter to work that does not."""
        for name in given if isinstance(given, dict) else ():
            if name not in SUPPORTED and name not in self.others:
                accepted = ", ".join((*SUPPORTED, *self.others))
                raise InvalidInputError(f"{name[:100]!r} is not a criterion; accepted: {accepted}.", field=f"/{name}")
        return given

    @validates_schema
    def require_object(self, values: dict[str, Any], **_: Any) -> None:
        """Only a job that goes on from another one has its object from there."""
        if "objectName" not in values and values.get("continueFromJobId") is None:
            raise ValidationError({"objectName": ["is missing; a text of 1 to 200 characters is accepted."]})

    @validates_schema
    def require_a_field(self, values: dict[str, Any], **_: Any) -> None:
        """Commas alone would mean all fields, which nobody writes that way."""
        given = values.get("selectFields")
        if given is not None and not split_names(given):
            raise ValidationError({"selectFields": [f"{given[:50]!r} names no field; names with commas are accepted."]})

    @post_load
    def as_criteria(self, values: dict[str, Any], **_: Any) -> Any:
        """DownloadCriteria. Null is as good as absent, but takes away what would come from the job before it."""
        about = values.get("metaData") or {}
        named = (
            name
            for name, value in values.items()
            if value is not None or (values.get("continueFromJobId") is not None and name not in _NEVER_WITHOUT)
        )
        return DownloadCriteria(
            object_name=values.get("objectName", ""),
            file_format=FileFormat.parse(values.get("format") or FileFormat.JSONL.value),
            page_size=values.get("pageSize"),
            limit=values.get("limit"),
            api_limit=values.get("apiLimit"),
            query=values.get("query") or {},
            notification_url=values.get("notificationUrl"),
            select_fields=split_names(values.get("selectFields") or ""),
            filter_nulls=values.get("filterNulls") or False,
            date_from=values.get("date_from"),
            date_to=values.get("date_to"),
            filter_date_field=values.get("filterDateField"),
            where=values.get("where"),
            child=child_from(values.get("child")),
            docs_hub=values.get("docsHubDetails"),
            file_name=about.get("fileName"),
            callback_payload=about.get("callback-payload"),
            continue_from_job_id=values.get("continueFromJobId"),
            retention_hours=values.get("retentionHours"),
            given=frozenset(self.fields[name].data_key or name for name in named),
            ignored=tuple(f"metaData.{name}" for name in about if name not in MetaData.known),
        )


class SubmissionSchema(Schema):
    """The answer to a submission."""

    instanceId = fields.Integer(required=True)
    id = fields.String(required=True, metadata={"description": "The job's id, decimal digits"})
    status = fields.String(required=True, metadata={"enum": ["CREATED"]})


class RunFiguresSchema(Schema):
    """`metadata` of a status document. Times in milliseconds."""

    objectName = fields.String(required=True)
    totalApiCallCount = fields.Integer(required=True, metadata={"description": "Vendor calls made, retries included"})
    apiCallsWrittenOff = fields.Integer(required=True, metadata={"description": "Reserved calls lost in crashes"})
    elapsedTime = fields.Integer(required=True)
    vendor_process_time = fields.Integer(required=True)
    pageCount = fields.Integer(required=True)
    vendorTotal = fields.Integer(required=True, allow_none=True)
    stopReason = fields.String(required=True, allow_none=True)
    hasMore = fields.Boolean(required=True, metadata={"description": "The vendor has or may have further records"})
    evidence = fields.String(required=True, metadata={"description": "What happened, in one line"})
    filesExpireAt = fields.String(
        required=True, allow_none=True, metadata={"description": "The files are kept until then; once the job ended"}
    )
    filesDeletedAt = fields.String(
        required=True, allow_none=True, metadata={"description": "They are gone since then: 410"}
    )
    verdicts = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "Only of uploads: rows by verdict"}
    )


class StallSchema(Schema):
    """`stalled` of a status document: no progress for many times the job's own page time."""

    since = fields.String(required=True, metadata={"description": "The last progress"})
    waitsFor = fields.String(required=True, metadata={"enum": [each.value for each in WaitsFor]})
    what = fields.String(required=True, metadata={"description": "The same in words"})
    pageTime = fields.Integer(
        required=True, allow_none=True, metadata={"description": "95th percentile of the job's page times, in ms"}
    )


class PushSchema(Schema):
    """`docsHub` of a status document: what has become of pushing the output."""

    instanceId = fields.String(required=True)
    path = fields.String(required=True, metadata={"description": "With placeholders until everything is fetched"})
    state = fields.String(required=True, metadata={"enum": ["WAITING", *(each.value for each in PushState)]})
    attempts = fields.Integer(metadata={"description": "Failed ones"})
    bytes = fields.Integer(metadata={"description": "Sent by the newest attempt"})
    error = fields.String(metadata={"description": "What was wrong the last time"})


class StatusSchema(Schema):
    """A job in both vocabularies of the vendor (reference 3a), as in status calls and callbacks."""

    id = fields.Integer(required=True)
    instanceId = fields.Integer(required=True)
    objectName = fields.String(required=True)
    object_name = fields.String(required=True)
    jobDirection = fields.String(required=True)
    job_direction = fields.String(required=True)
    jobStatus = fields.String(required=True, metadata={"description": "Newer vocabulary: CANCELED"})
    status = fields.String(required=True, metadata={"description": "Older vocabulary: CANCELLED"})
    statusMessage = fields.String(required=True)
    recordCount = fields.Integer(required=True)
    recordsCount = fields.Integer(required=True)
    errorCount = fields.Integer(required=True)
    recordsFailedCount = fields.Integer(required=True)
    createdDate = fields.Integer(required=True, metadata={"description": "Milliseconds since 1970"})
    completionTime = fields.Integer(required=True, allow_none=True)
    bulk_start_time = fields.String(required=True)
    bulk_finish_time = fields.String(metadata={"description": "Only once the job has ended"})
    fileFormat = fields.String(required=True)
    fileSize = fields.Integer(required=True, allow_none=True)
    notificationUrl = fields.String(required=True, allow_none=True)
    jobCriteria = fields.Dict(required=True)
    metaData = fields.Dict(required=True)
    metadata = fields.Nested(RunFiguresSchema, required=True)
    runNumber = fields.Integer(required=True)
    native = fields.Boolean(required=True)
    vendorJobId = fields.String(required=True, allow_none=True)
    defaultSelectFields = fields.String(required=True, allow_none=True)
    infoMessage = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    requestId = fields.String(required=True, allow_none=True)
    error = fields.String(metadata={"description": "Only where the job failed"})
    docsHub = fields.Nested(PushSchema, metadata={"description": "Only with docsHubDetails"})
    stalled = fields.Nested(StallSchema, metadata={"description": "Only where the job makes no progress"})
    callback = fields.Nested(
        CallbackStandingSchema, metadata={"description": "Of the last run; only in the status of a job that owes one"}
    )


class JobItemSchema(Schema):
    """One job of a listing (reference 3b). With `fields` only the named ones are given."""

    job_id = fields.Integer()
    object_name = fields.String()
    job_direction = fields.String()
    job_status = fields.String()
    status_message = fields.String()
    record_count = fields.Integer()
    error_count = fields.Integer()
    engine = fields.String(metadata={"description": "V2 of POST /bulk/query, V3 of POST /bulk/download"})
    job_query = fields.String(allow_none=True)
    nativefileFormat = fields.String()
    createdDate = fields.String()
    element_id = fields.Integer()
    instance_id = fields.Integer()
    account_id = fields.Integer()
    user_id = fields.Integer(allow_none=True)
    organization_id = fields.Integer()
    id = fields.Integer()
    instanceId = fields.Integer()
    status = fields.String()
    job_state = fields.String()
    fileFormat = fields.String()
    completion_time = fields.Integer(allow_none=True)
    job_reset_attempt = fields.Integer()
    notification_url = fields.String(allow_none=True)


class RowResultSchema(Schema):
    """What became of one row of an upload."""

    rowNumber = fields.Integer(required=True, metadata={"description": "From 1, the header not counted"})
    line = fields.Integer(required=True, metadata={"description": "Of the file, from 1, where the row begins"})
    verdict = fields.String(required=True, metadata={"enum": [each.value for each in RowVerdict]})
    vendorId = fields.String(required=True, allow_none=True)
    httpStatus = fields.Integer(required=True, allow_none=True, metadata={"description": "Of the vendor's answer"})
    errorClass = fields.String(required=True, allow_none=True)


class FailedRowSchema(RowResultSchema):
    """One failed row of an upload (reference 3c)."""

    status = fields.String(required=True, metadata={"description": "What is wrong with the row"})
    vendorText = fields.String(required=True, allow_none=True, metadata={"description": "What the vendor said"})
    record = fields.Dict(
        required=True, allow_none=True, metadata={"description": "What was sent; null where the row was no record"}
    )
    excerpt = fields.String(metadata={"description": "How a row begins that could not be read"})


class RetrySchema(Schema):
    """The body of `POST /bulk/{id}/retry-failed`; none is as good as an empty object."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "includeUncertain is accepted, and nothing more."}  # noqa: RUF012 - marshmallow's attribute

    includeUncertain = true_or_false(
        metadata={"description": "Rows too that the vendor may have taken: without an idempotency key they may double"}
    )
