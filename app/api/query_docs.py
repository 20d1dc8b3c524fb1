"""How submissions by query are described in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.api.paging_docs import query_parameter

LONGEST_KEY = 255

IDEMPOTENCY_KEY: dict[str, Any] = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": LONGEST_KEY},
    "description": "The same key with the same body gives the same job for 24 hours; another body gets 422",
}

REFUSED = {"400": "BAD_REQUEST"}
"""What flask-smorest says of itself where a schema reads the body."""

QUERY_PARAMETERS: list[dict[str, Any]] = [
    query_parameter("q", "OCNQL: select … from … where … limit …"),
    query_parameter("from", "Only records changed at or after this moment (ISO 8601); wins over lastRunDate"),
    query_parameter("to", "Only records changed at or before this moment; a date means all day"),
    query_parameter("lastRunDate", "As `from`"),
    query_parameter("filterDateField", "The date that is compared; by default the one that the element declares"),
    query_parameter("fileFormat", "csv (as without it), json or jsonl"),
    query_parameter("continueFromJobId", "Instead of `q`: go on behind that job"),
    query_parameter("retentionHours", "Keep the files for so many hours after the job ended"),
    {
        "in": "header",
        "name": "Elements-Async-Callback-Url",
        "schema": {"type": "string", "maxLength": 2000},
        "description": "Gets a POST when the job has ended",
    },
    {
        "in": "header",
        "name": "Elements-Version",
        "schema": {"type": "string"},
        "description": "`Helium`: the job is one of the newer engine, whose format is JSON Lines without `fileFormat`",
    },
]

_FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "As the parameter `q`"},
        "metaData": {
            "description": "An object or its JSON text, with fileName, callback-payload, lastRunDate, from, to, "
            "pageSize, incremental, validationData (fileFormat). Others are told in Elements-Error",
        },
    },
}

QUERY_BODY: dict[str, Any] = {
    "description": "Instead of the parameters, by the same names; may be empty, whatever its type",
    "required": False,
    "content": {
        name: {"schema": _FIELDS}
        for name in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
    },
}
