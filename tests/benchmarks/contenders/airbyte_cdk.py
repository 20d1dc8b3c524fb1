"""Airbyte's declarative CDK, read into a file of messages. A source only: a destination would cost on top."""

import json
from collections.abc import Callable
from typing import Any

from tests.benchmarks.contenders.starting_line import Course, take_part

_NEXT = "response.get('paging', {}).get('next', {}).get('after')"


def prepare(course: Course) -> Callable[[], None]:
    from airbyte_cdk.entrypoint import AirbyteEntrypoint  # type: ignore[import-not-found]
    from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer  # type: ignore[import-not-found]
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import (  # type: ignore[import-not-found]
        ConcurrentDeclarativeSource,
    )

    config, catalog = course.folder / "config.json", course.folder / "catalog.json"
    config.write_text("{}")
    catalog.write_text(json.dumps(_catalog()))
    source = ConcurrentDeclarativeSource(
        catalog=ConfiguredAirbyteCatalogSerializer.load(_catalog()),
        config={},
        state=[],
        source_config=_manifest(course),
    )
    entrypoint = AirbyteEntrypoint(source)
    arguments = AirbyteEntrypoint.parse_args(["read", "--config", str(config), "--catalog", str(catalog)])

    def race() -> None:
        with course.output.open("w") as file:
            for message in entrypoint.run(arguments):
                file.write(message + "\n")

    return race


def _catalog() -> dict[str, Any]:
    stream = {"name": "records", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    return {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}


def _manifest(course: Course) -> dict[str, Any]:
    def option(name: str) -> dict[str, str]:
        return {"type": "RequestOption", "inject_into": "request_parameter", "field_name": name}

    strategy = {
        "type": "CursorPagination",
        "page_size": course.size,
        "cursor_value": f"{{{{ {_NEXT} }}}}",
        "stop_condition": f"{{{{ not {_NEXT} }}}}",
    }
    retriever = {
        "type": "SimpleRetriever",
        "requester": {"type": "HttpRequester", "url_base": course.url, "path": "/cursor/records", "http_method": "GET"},
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["results"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": option("after"),
            "page_size_option": option("limit"),
            "pagination_strategy": strategy,
        },
    }
    schema = {"type": "object", "properties": {}, "additionalProperties": True}
    stream = {
        "type": "DeclarativeStream",
        "name": "records",
        "retriever": retriever,
        "schema_loader": {"type": "InlineSchemaLoader", "schema": schema},
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["records"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


if __name__ == "__main__":
    take_part(prepare)
