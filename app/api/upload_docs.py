"""How uploads are described in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.api.paging_docs import query_parameter
from app.api.query_docs import REFUSED
from app.api.upload_schema import QUERY_NAMES, UploadSchema

_TYPES = {"bulkUploadRecordSize": "integer", "resendUncertain": "boolean"}


def _options() -> dict[str, dict[str, Any]]:
    """The keys of `metaData`, as the schema describes them."""
    found = {}
    for name, each in UploadSchema().fields.items():
        own = {"type": _TYPES.get(name, "string")} if name != "callback_payload" else {}
        found[each.data_key or name] = {**own, **each.metadata}
    return found


_OPTIONS = _options()

UPLOAD_PARAMETERS: list[dict[str, Any]] = [
    *(query_parameter(name, _OPTIONS[name]["description"]) for name in QUERY_NAMES if name in _OPTIONS),
    query_parameter("primaryKeyName", "As `identifierFieldName`"),
    {
        "in": "header",
        "name": "Elements-Async-Callback-Url",
        "schema": {"type": "string", "maxLength": 2000},
        "description": "Gets a POST when the job has ended",
    },
]

UPLOAD_BODY: dict[str, Any] = {
    "required": True,
    "description": "The parts may come in any order. Keys of `metaData` may stand in the query string too, which wins; "
    "unknown ones are told in Elements-Error",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "CSV with a header line, a JSON array of objects or one object a line; plain, "
                        "gzip or zip. At most HAULAGE_UPLOAD_MAX_BYTES",
                    },
                    "metaData": {
                        "type": "object",
                        "description": "JSON text, at most 64 KiB",
                        "properties": {**_OPTIONS, "primaryKeyName": {"description": "As `identifierFieldName`"}},
                    },
                },
            },
            "encoding": {"metaData": {"contentType": "application/json, text/plain"}},
        }
    },
}

UPLOAD_RESPONSES: dict[str, Any] = {
    **REFUSED,
    "413": {"description": "The file is larger than HAULAGE_UPLOAD_MAX_BYTES allows"},
    "415": {"description": "The body is no multipart/form-data"},
    "503": {"description": "The store has no room or cannot be reached; nothing was kept"},
}
