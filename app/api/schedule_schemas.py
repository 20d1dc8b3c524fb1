"""What calls about schedules take and give."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validates_schema

from app.api.bulk_schemas import CriteriaSchema
from app.api.fields import choice, text, true_or_false, whole_number
from app.domain.cron import LONGEST
from app.domain.jobs import JobStatus
from app.domain.schedules import DEFAULT_CATCH_UP, MOST_CATCH_UP, CatchUp, RunKind, RunState
from app.services.schedules import Wish

OWN_NAMES = ("name", "cron", "timeZone", "catchUp", "catchUpLimit", "incremental", "allowOverlap")
FORGOTTEN = "FORGOTTEN"
"""How a run stands whose job's row is gone."""


class NewScheduleSchema(CriteriaSchema):
    """The body of `POST /bulk/schedules`: a job's criteria, and when."""

    others = OWN_NAMES

    name = text(metadata={"description": "For people; the object's without one"})
    cron = text(
        1,
        LONGEST,
        required=True,
        metadata={"description": "Five fields, or Quartz's six or seven", "example": "30 6 * * MON-FRI"},
    )
    timeZone = text(1, 100, metadata={"description": "Whose clock is meant, an IANA name; UTC without one"})
    catchUp = choice(
        *(each.value for each in CatchUp),
        metadata={"description": "What becomes of due times that were missed: none is run, one for all, or each"},
    )
    catchUpLimit = whole_number(
        high=MOST_CATCH_UP, metadata={"description": "With catchUp all: so many of the newest are run, at most"}
    )
    incremental = true_or_false(metadata={"description": "Each run goes on from the last one that COMPLETED"})
    allowOverlap = true_or_false(metadata={"description": "Do not wait for the run before to end"})

    @post_load
    def as_criteria(self, values: dict[str, Any], **_: Any) -> Wish:
        """Null is as good as absent."""
        own = {name: values.pop(name, None) for name in OWN_NAMES}
        return Wish(
            criteria=super().as_criteria(values),
            cron=own["cron"],
            time_zone=own["timeZone"] or "UTC",
            name=own["name"] or "",
            catch_up=CatchUp(own["catchUp"] or CatchUp.ONE),
            catch_up_limit=own["catchUpLimit"] or DEFAULT_CATCH_UP,
            is_incremental=own["incremental"] or False,
            may_overlap=own["allowOverlap"] or False,
        )


class RunRangeSchema(Schema):
    """The body of `POST /bulk/schedules/{id}/run`; none is as good as an empty object."""

    class Meta:
        unknown = RAISE

    _accepted = "`from` and `to` are accepted, both or none."
    error_messages = {"unknown": _accepted}  # noqa: RUF012 - marshmallow's attribute

    date_from = text(1, 100, data_key="from", metadata={"description": "Only records dated from here on"})
    date_to = text(1, 100, data_key="to", metadata={"description": "Only records dated up to here"})

    @validates_schema
    def require_both(self, values: dict[str, Any], **_: Any) -> None:
        """A range that is open would be another one tomorrow."""
        if len(values) == 1:
            raise ValidationError({"to" if "date_from" in values else "from": [f"is missing; {self._accepted}"]})


class ScheduleRunSchema(Schema):
    """What came of a due time, or of a run that was asked for."""

    number = fields.Integer(required=True, metadata={"description": "Of the schedule's runs, from 1"})
    kind = fields.String(required=True, metadata={"enum": [each.value for each in RunKind]})
    dueAt = fields.String(required=True, metadata={"description": "In UTC; of several due times the last"})
    firstDueAt = fields.String(required=True)
    dueCount = fields.Integer(required=True, metadata={"description": "Due times that this stands for, up to 1001"})
    state = fields.String(
        required=True,
        metadata={
            "enum": [RunState.SKIPPED.value, RunState.FAILED.value, FORGOTTEN, *(each.value for each in JobStatus)],
            "description": "Of the job. SKIPPED: not run; FAILED: no job could be made; FORGOTTEN: its row is gone",
        },
    )
    jobId = fields.Integer(required=True, allow_none=True)
    uploadJobId = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of a workflow: the job that the result was given to"}
    )
    note = fields.String(required=True, allow_none=True)
    createdDate = fields.String(required=True)


class ScheduleSchema(Schema):
    """A schedule. Times are ISO 8601."""

    id = fields.Integer(required=True)
    instanceId = fields.Integer(required=True)
    name = fields.String(required=True)
    jobCriteria = fields.Dict(required=True)
    target = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "Of a workflow: the upload that each result is given to"},
    )
    cron = fields.String(required=True)
    timeZone = fields.String(required=True)
    catchUp = fields.String(required=True, metadata={"enum": [each.value for each in CatchUp]})
    catchUpLimit = fields.Integer(required=True)
    incremental = fields.Boolean(required=True)
    allowOverlap = fields.Boolean(required=True)
    paused = fields.Boolean(required=True)
    nextDueAt = fields.String(
        required=True, allow_none=True, metadata={"description": "Null while it is paused, and when there is none"}
    )
    waitsForJobId = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The job of the run before, while it is under way"}
    )
    nextDueTimes = fields.List(
        fields.String(), required=True, metadata={"description": "The next five, in the schedule's zone"}
    )
    lastSuccessfulJobId = fields.Integer(required=True, allow_none=True)
    lastRuns = fields.List(fields.Nested(ScheduleRunSchema), required=True, metadata={"description": "Newest first"})
    createdDate = fields.String(required=True)
    updatedDate = fields.String(required=True)
