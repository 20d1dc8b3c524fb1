"""What a connector says of the children of an object: one record by its key (`get`), or a list below each parent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.connectors.model import Connector, ObjectSpec
from app.connectors.objects import find_object
from app.domain.nesting import Naming, listed, referenced
from app.errors import InvalidInputError


@dataclass(frozen=True)
class ChildLink:
    """How to ask for children. `spec`: read it with a VendorClient, told whose they are by `VendorClient.of`."""

    spec: ObjectSpec
    naming: Naming


def find_child(connector: Connector, parent: ObjectSpec, name: str, field: str) -> ChildLink:
    """The children `name` of `parent` by the criterion's `parentPrimaryKeyFieldName`. Raises InvalidInputError.

    A list that the connector declares below this parent wins over a single read.
    """
    child = next((each for each in connector.objects if each.name == name), None)
    if child is not None and child.list.parent == parent.name:
        own = _key_name(parent)
        if own and field != own:
            problem = f"child.parentPrimaryKeyFieldName {field[:100]!r} is not the key of {parent.name!r}"
            raise _refused(problem, own, "parentPrimaryKeyFieldName")
        return ChildLink(child, listed(name, field))
    if child is not None and child.get is not None:
        return ChildLink(replace(child, list=child.get), referenced(name, _key_name(child) or "id", field))
    known = sorted(each.name for each in connector.objects if each.list.parent == parent.name or each.get is not None)
    raise _refused(
        f"The connector {connector.key!r} cannot read {name[:100]!r} as child of {parent.name!r}",
        ", ".join(known) or "none",
        "objectName",
    )


def find_listed(connector: Connector, name: str) -> ObjectSpec:
    """As `find_object`, for what can be downloaded by itself. Raises InvalidInputError."""
    found = find_object(connector, name)
    if not found.is_listed:
        listed_ones = ", ".join(sorted(each.name for each in connector.objects if each.is_listed)) or "none"
        raise InvalidInputError(
            f"{name!r} can only be written: its connector has no `list` for it; accepted: {listed_ones}.",
            field="objectName",
        )
    if found.list.parent:
        raise InvalidInputError(
            f"{name!r} are listed below each of {found.list.parent!r} only; accepted: objectName "
            f"{found.list.parent!r} with {name!r} as `child`.",
            field="objectName",
        )
    return found


def _key_name(spec: ObjectSpec) -> str:
    """The field that identifies a record, where it is one of the top level."""
    return spec.id[1:] if spec.id is not None and spec.id.count("/") == 1 else ""


def _refused(problem: str, accepted: str, field: str) -> InvalidInputError:
    return InvalidInputError(f"{problem}; accepted: {accepted}.", field=f"/child/{field}")
