"""The older calls for workflows and their jobs, on top of jobs and schedules (reference 1 k, l)."""

from __future__ import annotations

from typing import Any

from flask import Response, g, request
from marshmallow import Schema, ValidationError

from app.api import job_query
from app.api.authorization import caller, require_element_caller
from app.api.blueprint import ApiBlueprint
from app.api.body import invalid_input, read_array
from app.api.bulk import drop_hub
from app.api.bulk_schemas import CriteriaSchema
from app.api.negotiation import require_json_accepted
from app.api.paging import page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS, query_parameter
from app.api.query_docs import IDEMPOTENCY_KEY
from app.api.runtime import context, json_response
from app.api.schedule_schemas import NewScheduleSchema
from app.api.submitting import idempotency_key
from app.api.workflow_schemas import LoaderItemSchema, TargetSchema, WorkflowSchema
from app.db.feeds import Links
from app.db.job_conditions import JobFilter
from app.db.jobs import ListedJob
from app.domain.ids import MAX_ID
from app.domain.jobs import JobStatus
from app.domain.status_document import job_item
from app.errors import InvalidInputError
from app.services import listing
from app.services.schedules import Wish, create_schedule
from app.services.workflows import Target, check_workflow, submit_workflow

CRON_HEADER = "Elements-Schedule-Request"
_STEPS = 2
_ACCEPTED = "an array of two steps is accepted: the criteria of a download, and the upload that its result is given to"

blueprint = ApiBlueprint("workflows", __name__, description="Older calls for downloads that feed uploads")
blueprint.before_request(require_element_caller)
blueprint.url_value_preprocessor(drop_hub)

_CRON_PARAMETER: dict[str, Any] = {
    "in": "header",
    "name": CRON_HEADER,
    "schema": {"type": "string"},
    "description": "Quartz cron, in UTC: do it again and again. Without it, it is done once",
}
_STEPS_BODY: dict[str, Any] = {
    "required": True,
    "description": "Two steps: the criteria of a download, and the upload that its result is given to",
    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
}


@blueprint.call("POST", "/bulk/workflows")
@blueprint.describe(
    parameters=[_CRON_PARAMETER, IDEMPOTENCY_KEY],
    requestBody=_STEPS_BODY,
    responses={"400": {"description": "A step, or the cron, cannot be read"}},
)
@blueprint.gives(WorkflowSchema, text="The job, or the schedule with the header, is accepted")
def create() -> Response:
    """Download from this instance and upload into another one"""
    require_json_accepted(request)
    key = idempotency_key()
    source, target_step = _steps()
    cron = request.headers.get(CRON_HEADER)
    target: Target = _load(TargetSchema(), target_step, 1)
    if cron is None:
        submission = submit_workflow(
            context(), caller(), _load(CriteriaSchema(), source, 0), target, idempotency_key=key
        )
        g.job_id = submission.job_id
        return json_response({"id": str(submission.job_id), "status": JobStatus.CREATED.value})
    wish: Wish = _load(NewScheduleSchema(), {**source, "cron": cron}, 0)
    check_workflow(context(), caller(), target)
    shown = create_schedule(context(), caller(), wish, idempotency_key=key, target=target.stored)
    return json_response({"id": str(shown.schedule.id), "status": "SCHEDULED"})


def _steps() -> list[dict[str, Any]]:
    steps = read_array(request)
    if len(steps) != _STEPS or not all(isinstance(step, dict) for step in steps):
        raise InvalidInputError(f"The body has {len(steps)} items; {_ACCEPTED}.")
    return steps


def _load(schema: Schema, step: dict[str, Any], number: int) -> Any:
    """Raises InvalidInputError whose field begins with the step's number."""
    try:
        return schema.load(step)
    except ValidationError as error:
        raise invalid_input({str(number): error.messages}, {str(number): step}) from error
    except InvalidInputError as error:
        raise InvalidInputError(error.message, field=f"/{number}{error.field}") from error


@blueprint.call("GET", "/bulkloader")
@blueprint.describe(parameters=[*PAGE_PARAMETERS, query_parameter("jobId", "Only this job", type="integer")])
@blueprint.gives(LoaderItemSchema(many=True), text="Jobs of the instance, newest first", headers=PAGE_HEADERS)
def list_loads() -> Response:
    """List jobs with what belongs to them"""
    require_json_accepted(request)
    page = page_request()
    found = listing.list_linked(context(), caller(), after=page.after, page_size=page.size, narrow=_narrow())
    items = [_item(job, found.links[job.id]) for job in found.jobs]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


def _narrow() -> JobFilter | None:
    given = request.args.get("jobId")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(MAX_ID))):
        raise InvalidInputError(f"jobId {given[:100]!r} is not accepted: a whole number, a job's id.", field="jobId")
    return job_query.parse_where(f"id = {given}")


def _item(job: ListedJob, links: Links) -> dict[str, Any]:
    return {
        **job_item(job),
        "groupName": links.schedule_name or job.object_name,
        "uploadJobId": links.upload_job_id,
        "note": links.note,
    }
