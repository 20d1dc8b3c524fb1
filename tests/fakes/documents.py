"""Connector documents that are changed in one place, and what is said of those that are wrong."""

from typing import Any

import pytest

from app.connectors.registry import parse_document
from app.connectors.spec import ConnectorInvalidError, load_connector


def edited(text: str, path: str, value: Any) -> dict[str, Any]:
    """The document with `value` (None: nothing) at that pointer, made where it is missing."""
    document: dict[str, Any] = parse_document(text)
    *parents, last = path.strip("/").split("/")
    node: Any = document
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return document


def problems(document: Any) -> dict[str, str]:
    """By pointer."""
    with pytest.raises(ConnectorInvalidError) as caught:
        load_connector(document)
    return {each.pointer: str(each) for each in caught.value.problems}
