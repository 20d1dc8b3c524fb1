"""How results read in the OpenAPI document."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_CONTENT = {
    "application/jsonl": _TEXT,
    "application/json": {"schema": {"type": "array", "items": {}}},
    "text/csv": _TEXT,
}
_HEADERS = {
    "ETag": {**_TEXT, "description": "Strong: for If-Range and If-None-Match"},
    "Accept-Ranges": _TEXT,
    "Content-Disposition": {**_TEXT, "description": "`metaData.fileName`, else object and job"},
    "Content-Encoding": {**_TEXT, "description": "gzip or zip where asked for alone"},
    "Elements-Error": {**_TEXT, "description": "Why this is not all"},
}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "description": text, **_TEXT}


RESULT_PARAMETERS = [
    _header("Accept-Encoding", "`gzip` or `zip` and nothing else compresses the answer"),
    _header("Range", "One range of bytes; several are answered with the whole"),
    _header("If-Range", "The ETag of the copy that a range completes; if it is another now, the whole is sent"),
    {
        "in": "query",
        "name": "json",
        "description": 'JSON of query jobs: `{"convertToNativeType":"false"}` gives numbers and booleans as strings',
        **_TEXT,
    },
]
RESULT_RESPONSES = {
    "200": {
        "description": "The result, streamed: in the job's format, of query jobs in that of Accept (else CSV)",
        "content": _CONTENT,
        "headers": _HEADERS,
    },
    "206": {"description": "The range that was asked for", "content": _CONTENT, "headers": _HEADERS},
    "304": {"description": "The client has this revision already"},
    "416": {"description": "The range is not in the result; Content-Range tells its length"},
}
