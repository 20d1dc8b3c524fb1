"""Callbacks of the instance's jobs: list them with their attempts, send them again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from app.api.authorization import caller, require_element_caller
from app.api.blueprint import ApiBlueprint
from app.api.bulk import JOB, drop_hub
from app.api.callback_schemas import STATES, CallbackSchema, ResentSchema
from app.api.negotiation import require_json_accepted
from app.api.paging import page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS, query_parameter
from app.api.runtime import context, json_response
from app.db.delivery_listing import DeliveryFilter
from app.domain.callback_documents import delivery_document
from app.domain.deliveries import DeliveryStatus
from app.domain.instants import is_date_only, parse_instant
from app.errors import InvalidInputError
from app.services import callbacks

blueprint = ApiBlueprint("callbacks", __name__, description="Callbacks of the instance's jobs, and their attempts")
blueprint.before_request(require_element_caller)
blueprint.url_value_preprocessor(drop_hub)

_LONGEST_HOST = 300
_NS_A_US = 1000
_DAY_NS = 86_400 * 10**9
_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
_LARGEST_ID = 2**31 - 1
_OF_A_JOB = [query_parameter("state", "Only those in this state", enum=STATES)]
_FILTERS = [
    *_OF_A_JOB,
    query_parameter("host", "Only those whose receiver has this host, with or without its port"),
    query_parameter("jobId", "Only those of this job", type="integer", minimum=1),
    query_parameter("from", "Only those owed since this moment (ISO 8601)"),
    query_parameter("to", "Only those owed until this moment (ISO 8601); a date means all day"),
]
_NOT_NOW = {"409": {"description": "It is owed already; the message says when its next attempt is"}}


@blueprint.call("GET", "/bulk/callbacks")
@blueprint.describe(parameters=[*PAGE_PARAMETERS, *_FILTERS])
@blueprint.gives(CallbackSchema(many=True), text="Callbacks of the instance, newest first", headers=PAGE_HEADERS)
def list_all() -> Response:
    """List callbacks"""
    return _page(_filter())


@blueprint.call("GET", f"/bulk/{JOB}/callbacks")
@blueprint.describe(parameters=[*PAGE_PARAMETERS, *_OF_A_JOB])
@blueprint.gives(CallbackSchema(many=True), text="Callbacks of the job, newest first", headers=PAGE_HEADERS)
def list_of_job(job_id: int) -> Response:
    """List the callbacks of a job

    One for each run that ended. A result whose object has this name is read at `/bulk/{id}`.
    """
    return _page(DeliveryFilter(status=_state(), job_id=job_id))


@blueprint.call("POST", "/bulk/callbacks/resend")
@blueprint.describe(parameters=_FILTERS)
@blueprint.gives(ResentSchema, text="How many are owed again")
def resend_many() -> Response:
    """Send failed callbacks again

    The oldest 1,000 that match, of state FAILED (or, where asked for, STOPPED). Each keeps its id and its body.
    """
    require_json_accepted(request)
    _require_known_filters()
    done = callbacks.resend_ended(context(), caller(), _filter())
    return json_response({"resent": done.count, "hasMore": done.has_more})


@blueprint.call("POST", f"/bulk/{JOB}/callbacks/<string(maxlength=100):event_id>/resend")
@blueprint.describe(responses=_NOT_NOW)
@blueprint.gives(CallbackSchema, text="The callback is owed again")
def resend_one(job_id: int, event_id: str) -> Response:
    """Send a callback again

    With the same id and body, so that a receiver that had it knows it; the schedule begins anew.
    """
    require_json_accepted(request)
    return json_response(delivery_document(callbacks.resend(context(), caller(), job_id, event_id)))


def _page(narrow: DeliveryFilter) -> Response:
    require_json_accepted(request)
    page = page_request(place=("run",))
    after = (page.after, page.place["run"]) if page.after else None
    found = callbacks.list_callbacks(context(), caller(), after=after, page_size=page.size, narrow=narrow)
    items = [delivery_document(each) for each in found.callbacks]
    job_id, run = found.next_after or (None, None)
    place = None if run is None else {"run": run}
    return json_response(items, headers=page.headers(len(items), next_after=job_id, next_place=place))


def _filter() -> DeliveryFilter:
    """Raises InvalidInputError that names the parameter and what it takes."""
    host = request.args.get("host") or None
    if host is not None and len(host) > _LONGEST_HOST:
        raise _refused("host", host, f"a host of up to {_LONGEST_HOST} characters")
    return DeliveryFilter(
        status=_state(), host=host, job_id=_job_id(), created_from=_time("from"), created_to=_time("to")
    )


def _require_known_filters() -> None:
    """A filter that is misspelled, or in the body, would send all again. Raises InvalidInputError."""
    known = [str(each["name"]) for each in _FILTERS]
    for name in request.args.keys() - set(known):
        raise InvalidInputError(f"{name[:100]!r} is not a filter; accepted: {', '.join(known)}.", field=name)
    if request.get_data().strip() not in {b"", b"{}"}:
        raise InvalidInputError(f"The body is not read; accepted: none, and {', '.join(known)} in the query string.")


def _state() -> DeliveryStatus | None:
    text = request.args.get("state")
    if not text:
        return None
    if text not in STATES:
        raise _refused("state", text, f"one of {', '.join(STATES)}")
    return DeliveryStatus(text)


def _job_id() -> int | None:
    text = request.args.get("jobId")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID)) and 0 < int(text) <= _LARGEST_ID):
        raise _refused("jobId", text, f"a whole number from 1 to {_LARGEST_ID}")
    return int(text)


def _time(name: str) -> datetime | None:
    text = request.args.get(name)
    if not text:
        return None
    instant = parse_instant(text)
    if instant is None:
        raise _refused(name, text, "an ISO 8601 date such as 2026-03-01T08:30:00Z")
    if name == "to" and is_date_only(text):
        instant += _DAY_NS - _NS_A_US
    return _as_datetime(instant)


def _as_datetime(instant: int) -> datetime:
    """To the microsecond, as PostgreSQL keeps it; an offset, or the end of a day, may lead out of all years."""
    seconds, rest = divmod(instant, 10**9)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // _NS_A_US)
    except (ValueError, OverflowError):
        return _EARLIEST if instant < 0 else _LATEST


def _refused(name: str, value: Any, accepted: str) -> InvalidInputError:
    return InvalidInputError(f"{name} {str(value)[:100]!r} is not accepted: {accepted}.", field=name)
