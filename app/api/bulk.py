"""Bulk calls: submit, watch, steer. Each path exists bare and below `/hubs/{hub}` (reference 1)."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from werkzeug.routing import UnicodeConverter

from app.api import job_query
from app.api.authorization import caller, element_caller, require_element_caller
from app.api.blueprint import ApiBlueprint
from app.api.bulk_schemas import CriteriaSchema, FailedRowSchema, JobItemSchema, StatusSchema, SubmissionSchema
from app.api.data_response import send_page
from app.api.manifest_response import send_manifest
from app.api.manifest_schema import ManifestSchema
from app.api.negotiation import require_json_accepted
from app.api.paging import NOTICE, page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS, query_parameter
from app.api.query_call import CALLBACK_HEADER, engine_of, read_query_call
from app.api.query_docs import IDEMPOTENCY_KEY, QUERY_BODY, QUERY_PARAMETERS, REFUSED
from app.api.result_docs import RESULT_PARAMETERS, RESULT_RESPONSES
from app.api.result_headers import header_text
from app.api.result_response import send_result
from app.api.runtime import context, json_response
from app.api.submitting import accepted, idempotency_key
from app.api.upload_call import UploadCall
from app.api.upload_docs import UPLOAD_BODY, UPLOAD_PARAMETERS, UPLOAD_RESPONSES
from app.api.verdict_docs import RETRY_BODY, RETRY_RESPONSES, VERDICT_RESPONSES
from app.api.verdict_response import read_wish, send_failed, send_verdicts
from app.db.job_conditions import FILTER_NAMES
from app.db.jobs import Job
from app.domain.callback_documents import callback_summary
from app.domain.criteria import DownloadCriteria, Engine
from app.domain.pushes import failure_text
from app.domain.request_digest import digest_of
from app.domain.status_document import job_item, status_document
from app.services import control, listing
from app.services.intake import receive
from app.services.results import open_result
from app.services.retrying import retry_failed
from app.services.submit import submit_download
from app.services.verdicts import open_verdicts

JOB = "<int(max=2147483647):job_id>"
OBJECT = "<object:object_name>"
TARGET = "<target:object_name>"

blueprint = ApiBlueprint("bulk", __name__, description="Bulk jobs of the instance that the Element token stands for")
blueprint.before_request(require_element_caller)


class ObjectNameConverter(UnicodeConverter):
    """The name of an object in a path; the words that stand for calls there are none (reference 1, Route clash)."""

    part_isolating = True
    regex = r"(?!(?:status|errors|data|cancel|restart)$)[^/]{1,200}"

    def __init__(self, url_map: Any) -> None:
        super().__init__(url_map)
        self.regex = type(self).regex


class TargetConverter(ObjectNameConverter):
    """The name of an object to upload to; the words that stand for calls there are none, nor are ids of jobs."""

    regex = r"(?!(?:download|query|jobs|schedules|workflows|v3|\d+)$)[^/]{1,200}"


def drop_hub(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """The instance is told by the Element token; the hub in the path adds nothing."""
    if values is not None:
        values.pop("hub", None)


blueprint.url_value_preprocessor(drop_hub)


@blueprint.call("POST", "/bulk/download")
@blueprint.describe(parameters=[IDEMPOTENCY_KEY])
@blueprint.takes(CriteriaSchema)
@blueprint.gives(SubmissionSchema, text="The job is accepted")
def download(criteria: DownloadCriteria) -> Response:
    """Start a download"""
    require_json_accepted(request)
    return _submit(criteria)


@blueprint.call("POST", "/bulk/query")
@blueprint.describe(parameters=[*QUERY_PARAMETERS, IDEMPOTENCY_KEY], requestBody=QUERY_BODY, responses=REFUSED)
@blueprint.gives(SubmissionSchema, text="The job is accepted")
def query() -> Response:
    """Start a download by a query

    Everything may stand in the query string, in a form or in a JSON body; a body may be empty.
    """
    require_json_accepted(request)
    return _submit(read_query_call(request), engine_of(request), callback_name=CALLBACK_HEADER)


def _submit(criteria: DownloadCriteria, engine: Engine = "V3", **names: str) -> Response:
    _, instance_id = element_caller()
    submission = submit_download(
        context(),
        caller(),
        criteria,
        engine=engine,
        idempotency_key=idempotency_key(),
        request_digest=_digest(instance_id, criteria, engine),
        **names,
    )
    return accepted(submission)


@blueprint.call("POST", f"/bulk/{TARGET}")
@blueprint.describe(
    parameters=[*UPLOAD_PARAMETERS, IDEMPOTENCY_KEY], requestBody=UPLOAD_BODY, responses=UPLOAD_RESPONSES
)
@blueprint.gives(SubmissionSchema, text="The job is accepted, and its file is stored")
def upload(object_name: str) -> Response:
    """Start an upload

    The file is stored as it is sent, and read by the job: what is wrong with its rows is told there.
    """
    require_json_accepted(request)
    key = idempotency_key()
    call = UploadCall(request, object_name, most_bytes=context().settings.upload_max_bytes)
    submission = receive(
        context(),
        caller(),
        object_name,
        call.read,
        notification_url=call.notification_url,
        idempotency_key=key,
        callback_name=CALLBACK_HEADER,
    )
    return accepted(submission)


@blueprint.call("GET", "/bulk/jobs")
@blueprint.describe(
    parameters=[
        *PAGE_PARAMETERS,
        query_parameter("where", f"OCNQL over {', '.join(FILTER_NAMES)}"),
        query_parameter("fields", "Comma-separated names of the keys to give"),
    ]
)
@blueprint.gives(JobItemSchema(many=True), text="Jobs of the instance, newest first", headers=PAGE_HEADERS)
def list_jobs() -> Response:
    """List jobs"""
    require_json_accepted(request)
    page = page_request()
    narrow = job_query.parse_where(request.args.get("where"))
    chosen = job_query.parse_fields(request.args.get("fields"))
    found = listing.list_jobs(context(), caller(), after=page.after, page_size=page.size, narrow=narrow)
    items = [job_query.choose(job_item(job), chosen) for job in found.jobs]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


@blueprint.call("GET", f"/bulk/{JOB}/status")
@blueprint.gives(StatusSchema, text="Where the job stands")
def get_status(job_id: int) -> Response:
    """Watch a job"""
    require_json_accepted(request)
    found = listing.get_progress(context(), caller(), job_id)
    document = status_document(found.job, context().now(), found.waiting, found.stall)
    if found.callback is not None:
        document["callback"] = callback_summary(found.callback)
    unpushed = failure_text(found.job.push)
    return json_response(document, headers={NOTICE: header_text(unpushed)} if unpushed else None)


@blueprint.call("GET", f"/bulk/{JOB}/errors")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(FailedRowSchema(many=True), text="Rows that failed; downloads have none", headers=PAGE_HEADERS)
def list_errors(job_id: int) -> Response:
    """List failed rows

    While the job runs too. A page is shorter than `pageSize` where its records are large.
    """
    require_json_accepted(request)
    return send_failed(job_id)


@blueprint.call("GET", f"/bulk/{JOB}/results")
@blueprint.describe(responses=VERDICT_RESPONSES)
def list_results(job_id: int) -> Response:
    """List the verdict of every row

    Of an upload. A download whose object has this name is read by it.
    """
    found = open_verdicts(context(), caller(), job_id)
    return send_result(open_result(context(), caller(), job_id)) if found is None else send_verdicts(found)


@blueprint.call("POST", f"/bulk/{JOB}/retry-failed")
@blueprint.describe(parameters=[IDEMPOTENCY_KEY], requestBody=RETRY_BODY, responses=RETRY_RESPONSES)
@blueprint.gives(SubmissionSchema, text="A new job of these rows is accepted")
def retry(job_id: int) -> Response:
    """Upload the failed rows again

    The rows that failed or were not sent, with `includeUncertain` those too that the vendor may have taken. The new job
    has the same object, options and callback; its rows keep their numbers.
    """
    require_json_accepted(request)
    key = idempotency_key()
    listing.get_job(context(), caller(), job_id)  # a foreign job is none, whatever the body says
    wish = read_wish(request)
    return accepted(retry_failed(context(), caller(), job_id, is_uncertain_too=wish, idempotency_key=key))


@blueprint.call("PUT", f"/bulk/{JOB}/cancel")
@blueprint.gives(StatusSchema, text="The job is cancelled, or will be within seconds")
def cancel(job_id: int) -> Response:
    """Cancel a job"""
    require_json_accepted(request)
    return _status(control.cancel(context(), caller(), job_id))


@blueprint.call("PUT", f"/bulk/v3/{JOB}/restart")
@blueprint.gives(StatusSchema, text="The job goes on where it stopped, in a new run")
def restart(job_id: int) -> Response:
    """Go on with a job"""
    require_json_accepted(request)
    return _status(control.restart(context(), caller(), job_id))


@blueprint.call("DELETE", f"/bulk/{JOB}")
@blueprint.gives(StatusSchema, text="The files are gone; the job's row stays")
def delete_files(job_id: int) -> Response:
    """Delete a job's files"""
    require_json_accepted(request)
    return _status(control.delete_files(context(), caller(), job_id))


@blueprint.call("GET", f"/bulk/{JOB}")
@blueprint.describe(parameters=RESULT_PARAMETERS, responses=RESULT_RESPONSES)
def get_result(job_id: int) -> Response:
    """Read the result

    `Accept-Encoding: gzip` or `zip`, alone, compresses it; with more directives it is plain.
    """
    return send_result(open_result(context(), caller(), job_id))


@blueprint.call("GET", f"/bulk/{JOB}/{OBJECT}")
@blueprint.describe(parameters=RESULT_PARAMETERS, responses=RESULT_RESPONSES)
def get_object_result(job_id: int, object_name: str) -> Response:  # noqa: ARG001 - clients send differing names
    """Read the result, by the object's name

    The name is not checked: clients send other spellings of it than the job has.
    """
    return send_result(open_result(context(), caller(), job_id))


@blueprint.call("GET", f"/bulk/{JOB}/manifest")
@blueprint.gives(ManifestSchema, text="What the result consists of, streamed while its digests are computed")
def get_manifest(job_id: int) -> Response:
    """Read the result's manifest

    SHA-256 is computed when it is first asked for, by reading the whole result. A download whose object has this name
    is read by it.
    """
    result = open_result(context(), caller(), job_id)
    if result.job.object_name == "manifest":
        return send_result(result)
    require_json_accepted(request)
    return send_manifest(result)


@blueprint.call("GET", f"/bulk/{JOB}/data")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(
    {"type": "array", "items": {}}, text="Records of the result, whatever its format", headers=PAGE_HEADERS
)
def get_data(job_id: int) -> Response:
    """Page through the result"""
    require_json_accepted(request)
    return send_page(job_id)


@blueprint.call("GET", f"/bulk/{JOB}/{OBJECT}/data")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(
    {"type": "array", "items": {}}, text="Records of the result, whatever its format", headers=PAGE_HEADERS
)
def get_object_data(job_id: int, object_name: str) -> Response:  # noqa: ARG001 - clients send differing names
    """Page through the result, by the object's name"""
    require_json_accepted(request)
    return send_page(job_id)


def _status(job: Job) -> Response:
    return json_response(status_document(job, context().now()))


def _digest(instance_id: int, criteria: DownloadCriteria, engine: Engine) -> str:
    """What makes two submissions the same one: instance, criteria and engine, not the spelling of the body."""
    older = [] if engine == "V3" else [engine]
    return digest_of(instance_id, criteria.echo(), *older)
