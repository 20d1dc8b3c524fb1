"""How the rows of an upload read in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.api.bulk_schemas import RetrySchema, RowResultSchema

_TEXT: dict[str, Any] = {"schema": {"type": "string"}}

VERDICT_RESPONSES: dict[str, Any] = {
    "200": {
        "description": "Every row of the file that was read, in order: JSON Lines without Accept",
        "content": {
            "application/jsonl": {"schema": RowResultSchema},
            "application/json": {"schema": RowResultSchema(many=True)},
            "text/csv": _TEXT,
        },
        "headers": {
            "Content-Disposition": _TEXT,
            "Content-Encoding": {**_TEXT, "description": "gzip where asked for alone"},
            "Elements-Error": {**_TEXT, "description": "Why these are not all rows of the file"},
        },
    },
    "406": {"description": "Accept names none of these formats"},
    "409": {"description": "The first run of the job goes on; failed rows are told by `/errors`"},
    "410": {"description": "The rows were removed with the job's files"},
}
RETRY_BODY: dict[str, Any] = {
    "required": False,
    "content": {"application/json": {"schema": RetrySchema}},
}
RETRY_RESPONSES: dict[str, Any] = {
    "400": {"description": "The job is a download, or the body says something else than true or false"},
    "409": {"description": "The job is under way, or it has no failed rows that no other job took over"},
    "410": {"description": "The rows were removed with the job's files"},
    "422": {"description": "The Idempotency-Key came with another call before"},
}
