"""The connectors that come with the product: one YAML file a vendor in `catalog/`."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from app.connectors.spec import ConnectorInvalidError, Problem

_PACKAGE = "app.connectors.catalog"


class _Loader(yaml.SafeLoader):
    """YAML as JSON would say it: dates stay text, and a key that stands twice is an error, not a silent loss."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_document(text: str) -> dict[str, Any]:
    """A connector document from YAML or JSON text. Raises ConnectorInvalidError with the line where it breaks."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f"line {place.line + 1}: " if place else ""
        reason = getattr(error, "problem", None) or "cannot be read"
        raise ConnectorInvalidError([Problem("", "", f"is no YAML or JSON ({line}{reason})")]) from None
    if not isinstance(document, dict):
        raise ConnectorInvalidError([Problem("", "", "is no connector; accepted: a mapping")])
    return document


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, Any]]:
    """Key -> document of every connector that comes with the product."""
    files = sorted(
        (each for each in resources.files(_PACKAGE).iterdir() if each.name.endswith(".yaml")),
        key=lambda each: each.name,
    )
    documents = [parse_document(each.read_text("utf-8")) for each in files]
    return {str(document["key"]): document for document in documents}
