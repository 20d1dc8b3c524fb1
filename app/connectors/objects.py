"""Which of a connector's objects a name means, and what a job may ask of its list."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.connectors.model import ANY_OBJECT, Connector, ObjectSpec
from app.connectors.paginators import first_request
from app.errors import InvalidInputError

DEFAULT_PAGE_SIZE = 100
MAX_OBJECT_NAME = 128
_OBJECT_NAME = re.compile(r"[^/?#\\%\x00-\x1f\x7f]{1,128}")


def planned_page_size(spec: ObjectSpec, requested: int | None, *, default: int = DEFAULT_PAGE_SIZE) -> int:
    """`requested`, else what the connector declares, else `default`; never above the declared maximum."""
    page = spec.list.page
    size = max(1, requested or page.size or default)
    return min(size, page.size_max) if page.size_max else size


def check_query(spec: ObjectSpec, query: Mapping[str, str]) -> None:
    """Refuse extra query parameters that paging sets itself: they would be overwritten without a word.

    Raises InvalidInputError.
    """
    for name, _ in first_request(spec.list.page, None, 1).params:
        if name in query:
            raise InvalidInputError(
                f"query.{name} is set by the paging of {spec.name!r}; accepted: other parameters, and `pageSize` and "
                "`limit` beside `query`.",
                field="query",
            )


def find_object(connector: Connector, name: str) -> ObjectSpec:
    """The object called `name` (case matters), or the one that stands for any. Raises InvalidInputError."""
    by_name = {each.name: each for each in connector.objects}
    if name in by_name and name != ANY_OBJECT:
        return by_name[name]
    if ANY_OBJECT in by_name and name != ANY_OBJECT and _OBJECT_NAME.fullmatch(name) and not name.startswith("."):
        return by_name[ANY_OBJECT]
    raise _no_such_object(connector, name)


def _no_such_object(connector: Connector, name: str) -> InvalidInputError:
    known = ", ".join(sorted(set(connector.object_names) - {ANY_OBJECT})) or "none by name"
    if connector.destination:
        known = "an instance of a vendor; this one is a place for outputs, which `docsHubDetails.instanceId` names"
    return InvalidInputError(
        f"The connector {connector.key!r} has no object {name[:MAX_OBJECT_NAME]!r}; accepted: {known}.",
        field="objectName",
    )
