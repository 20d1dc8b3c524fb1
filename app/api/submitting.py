"""What calls that make a job share: their key and their answer."""

from __future__ import annotations

from flask import Response, g, request

from app.api.paging import NOTICE
from app.api.query_docs import LONGEST_KEY
from app.api.result_headers import header_text
from app.api.runtime import json_response
from app.domain.status_document import submission_document
from app.errors import InvalidInputError
from app.services.submission import Submission


def accepted(submission: Submission) -> Response:
    """The answer to a submission."""
    g.job_id = submission.job_id
    headers = {NOTICE: header_text(submission.notice)} if submission.notice else None
    document = submission_document(submission.instance_id, submission.job_id, submission.status)
    return json_response(document, headers=headers)


def idempotency_key() -> str | None:
    """The header Idempotency-Key of the current request. Raises InvalidInputError."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidInputError(
            f"Idempotency-Key is not accepted: 1 to {LONGEST_KEY} printable ASCII characters.", field="Idempotency-Key"
        )
    return key
