"""What the client wants to get: media type and compression."""

from __future__ import annotations

from flask import Request

from app.domain.jobs import FileFormat
from app.errors import InvalidInputError, NotAcceptableError

_JSON = "application/json"


def require_json_accepted(request: Request) -> None:
    """Raise NotAcceptableError if the client refuses JSON, which is all that this call gives."""
    header = request.headers.get("Accept")
    if not header or header == "*/*" or _JSON in header:
        return
    if not request.accept_mimetypes.quality(_JSON):
        raise NotAcceptableError(f"Accept {header[:200]!r} cannot be met: this call answers {_JSON}.")


def require_format_accepted(request: Request, file_format: FileFormat) -> None:
    """Raise InvalidInputError if the client wants another format than the job has (reference 3d: 400)."""
    header = request.headers.get("Accept")
    if not header:
        return
    spellings = ("text/csv", "txt/csv") if file_format is FileFormat.CSV else (file_format.value,)
    if not any(request.accept_mimetypes.quality(spelling) for spelling in spellings):
        raise InvalidInputError(
            f"Accept {header[:200]!r} is not accepted: the job's format is {file_format.value}.", field="Accept"
        )


def wants_gzip(request: Request) -> bool:
    """True if Accept-Encoding is `gzip` and nothing else: with more directives the answer is plain (reference 3d)."""
    directives = request.headers.get("Accept-Encoding", "").split(",")
    if len(directives) != 1:
        return False
    name, _, parameters = directives[0].partition(";")
    quality = parameters.replace(" ", "").lower()
    return name.strip().lower() == "gzip" and quality not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
