"""What a connector lets an upload do to one of its objects, and which field tells its rows apart."""

from __future__ import annotations

from app.connectors.model import Connector, ObjectSpec
from app.connectors.objects import find_object
from app.connectors.outgoing import given_path
from app.connectors.pointers import split_pointer
from app.domain.uploads import UploadAction
from app.errors import InvalidInputError


def check_upload(
    connector: Connector, object_name: str, action: UploadAction, identifier: str = "", path: str = ""
) -> str:
    """The field that identifies a row: `identifier`, or what the connector declares; empty where none is known.

    Raises InvalidInputError: an unknown object, uploads of it are off, the connector cannot do `action`, a row could
    not be told without an identifier, or `path` is none.
    """
    found = find_object(connector, object_name)
    if not found.writes.is_on and (found.writes.operations or found.writes.batches):
        raise InvalidInputError(
            f"The connector {connector.key!r} declares that {object_name!r} is not uploaded; accepted: "
            f"{_writable(connector)}.",
            field="objectName",
        )
    if not found.writes.actions:
        raise InvalidInputError(
            f"The connector {connector.key!r} does not say how {object_name!r} is written; accepted: "
            f"{_writable(connector)}.",
            field="objectName",
        )
    if action not in found.writes.actions:
        raise InvalidInputError(
            f"action {action.value!r} is not declared for {object_name!r} by the connector {connector.key!r}; "
            f"accepted: {', '.join(found.writes.actions)}.",
            field="/metaData/action",
        )
    return _checked_identifier(found, action, identifier, path)


def _checked_identifier(found: ObjectSpec, action: UploadAction, identifier: str, path: str) -> str:
    is_needed = needs_identifier(found, action)
    if path:
        is_needed = bool(given_path(path).placeholders)
        if found.writes.operation(action) is None:
            raise InvalidInputError(
                f"path is not accepted for action {action.value!r} of {found.name!r}: it is declared for batches only.",
                field="/metaData/path",
            )
    declared = found.writes.key_field(action)
    if identifier and declared and identifier != declared and not path:
        raise InvalidInputError(
            f"identifierFieldName {identifier[:100]!r} is not what {action.value!r} of {found.name!r} goes by; "
            f"accepted: {declared}.",
            field="/metaData/identifierFieldName",
        )
    known = identifier or declared or declared_identifier(found)
    if is_needed and not known:
        raise InvalidInputError(
            f"identifierFieldName is required for action {action.value!r} of {found.name!r}: the name of the field "
            "that tells which record a row is.",
            field="/metaData/identifierFieldName",
        )
    return known


def needs_identifier(found: ObjectSpec, action: UploadAction) -> bool:
    """Whether a row can only be sent with a value in its identifier."""
    calls = (found.writes.operation(action), found.writes.batch(action))
    return any(each is not None and each.needs_identifier for each in calls)


def declared_identifier(found: ObjectSpec) -> str:
    """The dotted name of the field that the object's `id` points to; empty where it points to none."""
    return ".".join(split_pointer(found.id)) if found.id else ""


def _writable(connector: Connector) -> str:
    return ", ".join(sorted(each.name for each in connector.objects if each.writes.actions)) or "none of its objects"
