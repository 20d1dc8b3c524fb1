"""Instances, at `/instances` and below their element. Without an id: the one of the Element token (reference 8)."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.api.authorization import caller, element_caller, require_platform_caller
from app.api.blueprint import ApiBlueprint
from app.api.body import read_json
from app.api.negotiation import require_json_accepted
from app.api.paging import NOTICE, PageRequest, page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS, query_parameter
from app.api.platform_documents import instance_document
from app.api.platform_schemas import (
    ChangeSchema,
    DeletedSchema,
    ElementInstanceSchema,
    InstanceSchema,
    NewInstanceSchema,
)
from app.api.result_headers import header_text
from app.api.runtime import context, json_response
from app.db.instances import InstanceFilter
from app.services import instances
from app.services.instances import Shown, Wish

ONE = "/instances/<int(max=2147483647):instance_id>"
OF_ELEMENT = "/elements/<string:element>"

blueprint = ApiBlueprint("instances", __name__, description="Authenticated connections to vendors")
blueprint.before_request(require_platform_caller)

_NOTICE_HEADER = {"Elements-Error": {"schema": {"type": "string"}, "description": "What was ignored"}}
_LIST_PARAMETERS = [
    *PAGE_PARAMETERS,
    query_parameter("tags[]", "Instances that have this tag; may be repeated"),
    query_parameter("searchText", "Part of the name"),
]
_ONE_OR_MANY = {
    "oneOf": [
        {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}},
        {"$ref": "#/components/schemas/Instance"},
    ]
}


@blueprint.call("POST", "/instances")
@blueprint.takes(NewInstanceSchema)
@blueprint.gives(InstanceSchema, text="The instance, with its token this once", headers=_NOTICE_HEADER)
def create(given: dict[str, Any]) -> Response:
    """Connect to a vendor

    The vendor is not called. Values of unknown settings are ignored and named in Elements-Error.
    """
    require_json_accepted(request)
    named = given["element"]
    element = named.get("key") or str(named["id"])
    return _answer(instances.create_instance(context(), caller(), element, _wish(given)), NewInstanceSchema)


@blueprint.call("POST", f"{OF_ELEMENT}/instances")
@blueprint.takes(ElementInstanceSchema)
@blueprint.gives(InstanceSchema, text="The instance, with its token this once", headers=_NOTICE_HEADER)
def create_of_element(given: dict[str, Any], element: str) -> Response:
    """Connect to a vendor, named in the path"""
    require_json_accepted(request)
    shown = instances.create_instance(context(), caller(), element, _wish(given))
    return _answer(shown, NewInstanceSchema)


@blueprint.call("GET", "/instances")
@blueprint.describe(parameters=_LIST_PARAMETERS)
@blueprint.gives(_ONE_OR_MANY, text="Instances; with an Element token the one it stands for", headers=PAGE_HEADERS)
def list_or_get() -> Response:
    """List instances"""
    require_json_accepted(request)
    page, instance_id = page_request(), caller().instance_id
    if instance_id is not None:
        return json_response(instance_document(instances.get_instance(context(), caller(), instance_id)))
    return _list(page, None)


@blueprint.call("GET", f"{OF_ELEMENT}/instances")
@blueprint.describe(parameters=_LIST_PARAMETERS)
@blueprint.gives(InstanceSchema(many=True), text="Instances of the element", headers=PAGE_HEADERS)
def list_of_element(element: str) -> Response:
    """List instances of an element"""
    require_json_accepted(request)
    return _list(page_request(), element)


@blueprint.call("GET", ONE)
@blueprint.call("GET", f"{OF_ELEMENT}{ONE}")
@blueprint.gives(InstanceSchema, text="The instance, secrets masked")
def get_one(instance_id: int, element: str | None = None) -> Response:
    """Show an instance"""
    require_json_accepted(request)
    return json_response(instance_document(instances.get_instance(context(), caller(), instance_id, element=element)))


@blueprint.call("PATCH", "/instances")
@blueprint.call("PATCH", ONE)
@blueprint.call("PATCH", f"{OF_ELEMENT}{ONE}")
@blueprint.takes(ChangeSchema)
@blueprint.gives(InstanceSchema, text="The instance as it is now", headers=_NOTICE_HEADER)
def change(given: dict[str, Any], instance_id: int | None = None, element: str | None = None) -> Response:
    """Change an instance

    `tags` replaces the list; `configuration` changes the settings that it names.
    """
    require_json_accepted(request)
    chosen = _chosen(instance_id)
    shown = instances.change_instance(context(), caller(), chosen, _wish(given), element=element)
    return _answer(shown, NewInstanceSchema)


@blueprint.call("PUT", "/instances")
@blueprint.call("PUT", ONE)
@blueprint.call("PUT", f"{OF_ELEMENT}{ONE}")
@blueprint.takes(ChangeSchema)
@blueprint.gives(InstanceSchema, text="The instance as it is now", headers=_NOTICE_HEADER)
def replace(given: dict[str, Any], instance_id: int | None = None, element: str | None = None) -> Response:
    """Replace an instance

    Settings that `configuration` leaves out go back to their defaults.
    """
    require_json_accepted(request)
    chosen = _chosen(instance_id)
    shown = instances.change_instance(context(), caller(), chosen, _wish(given), element=element, is_whole=True)
    return _answer(shown, NewInstanceSchema)


@blueprint.call("DELETE", "/instances")
@blueprint.call("DELETE", ONE)
@blueprint.call("DELETE", f"{OF_ELEMENT}{ONE}")
@blueprint.gives(DeletedSchema, text="The instance is gone; its jobs abort")
def delete(instance_id: int | None = None, element: str | None = None) -> Response:
    """Delete an instance"""
    require_json_accepted(request)
    instances.delete_instance(context(), caller(), _chosen(instance_id), element=element)
    return json_response({})


@blueprint.call("PUT", "/instances/enabled")
@blueprint.call("PUT", f"{ONE}/enabled")
@blueprint.call("PUT", f"{OF_ELEMENT}{ONE}/enabled")
@blueprint.gives(InstanceSchema, text="The instance as it is now")
def enable(instance_id: int | None = None, element: str | None = None) -> Response:
    """Enable an instance"""
    return _set_disabled(instance_id, element, disabled=False)


@blueprint.call("DELETE", "/instances/enabled")
@blueprint.call("DELETE", f"{ONE}/enabled")
@blueprint.call("DELETE", f"{OF_ELEMENT}{ONE}/enabled")
@blueprint.gives(InstanceSchema, text="The instance as it is now")
def disable(instance_id: int | None = None, element: str | None = None) -> Response:
    """Disable an instance

    Its token is refused and its jobs abort, restartable.
    """
    return _set_disabled(instance_id, element, disabled=True)


def _set_disabled(instance_id: int | None, element: str | None, *, disabled: bool) -> Response:
    require_json_accepted(request)
    chosen = _chosen(instance_id)
    shown = instances.set_instance_disabled(context(), caller(), chosen, disabled=disabled, element=element)
    return json_response(instance_document(shown))


def _chosen(instance_id: int | None) -> int:
    return element_caller()[1] if instance_id is None else instance_id


def _wish(given: dict[str, Any]) -> Wish:
    return Wish(given.get("name"), given.get("tags"), given.get("configuration"))


def _list(page: PageRequest, element: str | None) -> Response:
    narrow = InstanceFilter(
        tags=request.args.getlist("tags[]") or None, search_text=request.args.get("searchText") or None
    )
    found = instances.list_instances(
        context(), caller(), after=page.after, page_size=page.size, narrow=narrow, element=element
    )
    items = [instance_document(each) for each in found.instances]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


def _answer(shown: Shown, schema: type[NewInstanceSchema]) -> Response:
    """The instance; what was ignored is named in Elements-Error."""
    unknown = [name for name in read_json(request) if name not in schema().fields]
    ignored = unknown + [f"configuration.{name}" for name in shown.ignored]
    headers = {NOTICE: header_text(f"Ignored: {', '.join(sorted(ignored))}")} if ignored else None
    return json_response(instance_document(shown), headers=headers)
