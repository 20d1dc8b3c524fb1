"""How paging reads in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.api.paging import DEFAULT_SIZE, MAX_SIZE


def query_parameter(name: str, text: str, **schema: Any) -> dict[str, Any]:
    """An optional query parameter, a text unless `schema` says otherwise."""
    return {"in": "query", "name": name, "description": text, "schema": {"type": "string", **schema}}


PAGE_PARAMETERS = [
    query_parameter(
        "pageSize",
        f"Items a page; more than {MAX_SIZE} are capped",
        type="integer",
        minimum=1,
        default=DEFAULT_SIZE,
    ),
    query_parameter("nextPage", "The token of the page before"),
]
PAGE_HEADERS = {
    "elements-returned-count": {"schema": {"type": "string"}, "description": "Items of this page"},
    "elements-total-count": {"schema": {"type": "string"}, "description": "Items of all pages, where known"},
    "elements-next-page-token": {"schema": {"type": "string"}, "description": "For `nextPage`; not on the last page"},
    "Elements-Error": {"schema": {"type": "string"}, "description": "What was ignored or capped"},
}
