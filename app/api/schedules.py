"""Schedules of an instance: downloads that are submitted again and again. Bare and below `/hubs/{hub}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from marshmallow import Schema, ValidationError

from app.api.authorization import caller, require_element_caller
from app.api.blueprint import ApiBlueprint
from app.api.body import invalid_input, read_json
from app.api.bulk import drop_hub
from app.api.bulk_schemas import SubmissionSchema
from app.api.negotiation import require_json_accepted
from app.api.paging import NOTICE, page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS
from app.api.platform_schemas import DeletedSchema
from app.api.query_docs import IDEMPOTENCY_KEY
from app.api.result_headers import header_text
from app.api.runtime import context, json_response
from app.api.schedule_documents import run_document, schedule_document, terms_document
from app.api.schedule_schemas import NewScheduleSchema, RunRangeSchema, ScheduleRunSchema, ScheduleSchema
from app.api.submitting import accepted, idempotency_key
from app.db.schedules import Schedule
from app.services import schedules
from app.services.schedules import Shown, Wish
from app.services.submission import ignored_notice

ONE = "/bulk/schedules/<int(max=2147483647):schedule_id>"

blueprint = ApiBlueprint("schedules", __name__, description="Downloads that are submitted again and again")
blueprint.before_request(require_element_caller)
blueprint.url_value_preprocessor(drop_hub)

_MOST = 100
"""Schedules of a page: each tells its due times and runs."""
_NOTICE_HEADER = {"Elements-Error": {"schema": {"type": "string"}, "description": "What was ignored"}}
_CHANGE_BODY: dict[str, Any] = {
    "description": "What is to change, by the names of a new schedule; null takes a criterion away",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_RUN_BODY: dict[str, Any] = {"required": False, "content": {"application/json": {"schema": RunRangeSchema}}}
_RUN_RESPONSES: dict[str, Any] = {
    "400": {"description": "The range cannot be read, or the schedule has no filterDateField"},
    "409": {"description": "The run before is under way, or the instance is disabled"},
    "422": {"description": "The Idempotency-Key came with another call before"},
}


@blueprint.call("POST", "/bulk/schedules")
@blueprint.describe(parameters=[IDEMPOTENCY_KEY])
@blueprint.takes(NewScheduleSchema)
@blueprint.gives(ScheduleSchema, text="The schedule, with its next due times", headers=_NOTICE_HEADER)
def create(wish: Wish) -> Response:
    """Schedule a download

    Everything is checked as for a job, and against the element. What is due is submitted by the sweepers.
    """
    require_json_accepted(request)
    shown = schedules.create_schedule(context(), caller(), wish, idempotency_key=idempotency_key())
    return _answer(shown, wish)


@blueprint.call("GET", "/bulk/schedules")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(ScheduleSchema(many=True), text="Schedules of the instance, newest first", headers=PAGE_HEADERS)
def list_all() -> Response:
    """List schedules"""
    require_json_accepted(request)
    page = page_request(_MOST)
    found = schedules.list_schedules(context(), caller(), after=page.after, page_size=page.size)
    items = [schedule_document(each) for each in found.items]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


@blueprint.call("GET", ONE)
@blueprint.gives(ScheduleSchema, text="The schedule, its next due times and last runs")
def get_one(schedule_id: int) -> Response:
    """Show a schedule"""
    require_json_accepted(request)
    return json_response(schedule_document(schedules.get_schedule(context(), caller(), schedule_id)))


@blueprint.call("PUT", ONE)
@blueprint.takes(NewScheduleSchema)
@blueprint.gives(ScheduleSchema, text="The schedule as it is now", headers=_NOTICE_HEADER)
def replace(wish: Wish, schedule_id: int) -> Response:
    """Replace a schedule

    Its runs stay, and it stays paused if it is.
    """
    require_json_accepted(request)
    return _answer(schedules.change_schedule(context(), caller(), schedule_id, lambda _: wish), wish)


@blueprint.call("PATCH", ONE)
@blueprint.describe(requestBody=_CHANGE_BODY, responses={"400": {"description": "The schedule cannot be like that"}})
@blueprint.gives(ScheduleSchema, text="The schedule as it is now", headers=_NOTICE_HEADER)
def change(schedule_id: int) -> Response:
    """Change a schedule"""
    require_json_accepted(request)
    schedules.get_schedule(context(), caller(), schedule_id)  # a foreign one is none, whatever the body says
    given = read_json(request)
    shown = schedules.change_schedule(context(), caller(), schedule_id, lambda old: _changed(old, given))
    return _answer(shown, None)


def _changed(old: Schedule, given: Mapping[str, Any]) -> Wish:
    merged = {**old.criteria, **terms_document(old), **given}
    wish: Wish = _load(NewScheduleSchema(), {name: value for name, value in merged.items() if value is not None})
    return wish


def _load(schema: Schema, given: dict[str, Any]) -> Any:
    try:
        return schema.load(given)
    except ValidationError as error:
        raise invalid_input(error.messages, given) from error


@blueprint.call("DELETE", ONE)
@blueprint.gives(DeletedSchema, text="The schedule is gone; jobs that it made go on")
def delete(schedule_id: int) -> Response:
    """Delete a schedule"""
    require_json_accepted(request)
    schedules.delete_schedule(context(), caller(), schedule_id)
    return json_response({})


@blueprint.call("PUT", f"{ONE}/pause")
@blueprint.gives(ScheduleSchema, text="The schedule as it is now")
def pause(schedule_id: int) -> Response:
    """Pause a schedule

    Due times that come meanwhile are not caught up.
    """
    return _set_paused(schedule_id, paused=True)


@blueprint.call("PUT", f"{ONE}/resume")
@blueprint.gives(ScheduleSchema, text="The schedule as it is now")
def resume(schedule_id: int) -> Response:
    """Let a paused schedule go on"""
    return _set_paused(schedule_id, paused=False)


def _set_paused(schedule_id: int, *, paused: bool) -> Response:
    require_json_accepted(request)
    shown = schedules.set_schedule_paused(context(), caller(), schedule_id, paused=paused)
    return json_response(schedule_document(shown))


@blueprint.call("POST", f"{ONE}/run")
@blueprint.describe(parameters=[IDEMPOTENCY_KEY], requestBody=_RUN_BODY, responses=_RUN_RESPONSES)
@blueprint.gives(SubmissionSchema, text="The job is accepted")
def run(schedule_id: int) -> Response:
    """Run a schedule now

    With `from` and `to` the records of that range, beside the other runs: none goes on from it.
    """
    require_json_accepted(request)
    key = idempotency_key()
    schedules.get_schedule(context(), caller(), schedule_id)  # as above
    asked = _load(RunRangeSchema(), read_json(request)) if request.get_data() else {}
    if not asked:
        return accepted(schedules.run_now(context(), caller(), schedule_id, idempotency_key=key))
    begin, end = asked["date_from"], asked["date_to"]
    return accepted(schedules.run_range(context(), caller(), schedule_id, begin, end, idempotency_key=key))


@blueprint.call("GET", f"{ONE}/runs")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(ScheduleRunSchema(many=True), text="Runs of the schedule, newest first", headers=PAGE_HEADERS)
def list_runs(schedule_id: int) -> Response:
    """List the runs of a schedule"""
    require_json_accepted(request)
    page = page_request()
    found = schedules.list_runs(context(), caller(), schedule_id, after=page.after, page_size=page.size)
    items = [run_document(each) for each in found.items]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


def _answer(shown: Shown, wish: Wish | None) -> Response:
    ignored = wish.criteria.ignored if wish is not None else ()
    headers = {NOTICE: header_text(ignored_notice(ignored))} if ignored else None
    return json_response(schedule_document(shown), headers=headers)
