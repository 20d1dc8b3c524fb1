"""Elements: connectors as the tenant sees them, those of the catalogue and its own."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from marshmallow import INCLUDE, Schema

from app.api.authorization import caller, require_platform_caller
from app.api.blueprint import ApiBlueprint
from app.api.negotiation import require_json_accepted
from app.api.paging import page_request
from app.api.paging_docs import PAGE_HEADERS, PAGE_PARAMETERS
from app.api.platform_documents import element_document
from app.api.platform_schemas import DeletedSchema, ElementSchema
from app.api.runtime import context, json_response
from app.services import elements

MAX_PAGE = 200
"""Default and largest page of the vendor's own listing (reference 8)."""

blueprint = ApiBlueprint("elements", __name__, description="Connectors: one document says how to talk to a vendor")
blueprint.before_request(require_platform_caller)


class DeclarationSchema(Schema):
    """A connector document; app.connectors checks what is in it."""

    class Meta:
        unknown = INCLUDE


@blueprint.call("GET", "/elements")
@blueprint.describe(parameters=PAGE_PARAMETERS)
@blueprint.gives(ElementSchema(many=True), text="Elements of the catalogue and your own", headers=PAGE_HEADERS)
def list_elements() -> Response:
    """List elements"""
    require_json_accepted(request)
    page = page_request(MAX_PAGE)
    found = elements.list_elements(context(), caller(), after=page.after, page_size=page.size)
    items = [element_document(each, with_declaration=False) for each in found.elements]
    return json_response(items, headers=page.headers(len(items), next_after=found.next_after))


@blueprint.call("POST", "/elements")
@blueprint.takes(DeclarationSchema)
@blueprint.gives(ElementSchema, text="The element, private to your organisation")
def create(document: dict[str, Any]) -> Response:
    """Add an element

    The body is a connector document, the same as in a catalogue file.
    """
    require_json_accepted(request)
    return json_response(
        element_document(elements.create_element(context(), caller(), document), with_declaration=True)
    )


@blueprint.call("GET", "/elements/<string:element>")
@blueprint.gives(ElementSchema, text="The element")
def get_one(element: str) -> Response:
    """Show an element, by key or id"""
    require_json_accepted(request)
    return json_response(element_document(elements.get_element(context(), caller(), element), with_declaration=True))


@blueprint.call("PUT", "/elements/<string:element>")
@blueprint.takes(DeclarationSchema)
@blueprint.gives(ElementSchema, text="The element as it is now")
def replace(document: dict[str, Any], element: str) -> Response:
    """Replace an element's document

    Jobs under way keep the revision that they began with.
    """
    require_json_accepted(request)
    stored = elements.replace_element(context(), caller(), element, document)
    return json_response(element_document(stored, with_declaration=True))


@blueprint.call("DELETE", "/elements/<string:element>")
@blueprint.gives(DeletedSchema, text="The element is gone")
def delete(element: str) -> Response:
    """Delete an element that no instance uses"""
    require_json_accepted(request)
    elements.delete_element(context(), caller(), element)
    return json_response({})
