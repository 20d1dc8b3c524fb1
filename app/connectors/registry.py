"""The connectors that come with the product: one YAML file a vendor in `catalog/`."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from app.connectors.spec import ConnectorInvalidError, Problem

_PACKAGE = "app.connectors.catalog"


class _Loader(yaml.SafeLoader):
    """YAML as JSON would say it: no, off, dates and 012 stay text, and a key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for each, _ in node.value:
            key = self.construct_object(each, deep=True)
            if not isinstance(key, str):
                shown = each.value if isinstance(each, yaml.ScalarNode) else key
                problem = f"the key {shown!r} is no text; write it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, each.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", each.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (  # the first that matches holds; PyYAML's own are those of YAML 1.1
    ("merge", "<<", "<"),
    ("null", "~|null|Null|NULL|", "~nN"),
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", "-0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), [*_first, *([""] if _kind == "null" else [])]
    )


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
