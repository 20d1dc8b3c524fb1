"""What the client wants to get: media type and compression."""

from __future__ import annotations

from flask import Request

from app.domain.jobs import FileFormat
from app.errors import InvalidInputError, NotAcceptableError
from app.storage.formats import Compression

_JSON = "application/json"
_CSV_SPELLINGS = (FileFormat.CSV.value, "txt/csv")
_REFUSALS = {"q=0", "q=0.0", "q=0.00", "q=0.000"}
_CODINGS: dict[str, Compression] = {"gzip": "gzip", "x-gzip": "gzip", "zip": "zip"}


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
    spellings = _CSV_SPELLINGS if file_format is FileFormat.CSV else (file_format.value,)
    if not any(request.accept_mimetypes.quality(spelling) for spelling in spellings):
        raise InvalidInputError(
            f"Accept {header[:200]!r} is not accepted: the job's format is {file_format.value}.", field="Accept"
        )


def chosen_format(request: Request, stored: FileFormat) -> FileFormat:
    """The format of a query job's answer: by Accept; where it leaves the choice, the one that the submission named.

    That is CSV where it named none (reference 3d, V2). Raises NotAcceptableError.
    """
    header = request.headers.get("Accept")
    if not header:
        return stored
    offered = (*_CSV_SPELLINGS, FileFormat.JSON.value, FileFormat.JSONL.value)
    first = sorted(offered, key=lambda each: each != stored.value)
    best = request.accept_mimetypes.best_match(first)
    if best is None:
        raise NotAcceptableError(f"Accept {header[:200]!r} cannot be met: {', '.join(FileFormat)} are offered.")
    return FileFormat.parse(best)


def wanted_compression(request: Request) -> Compression | None:
    """The coding if Accept-Encoding names gzip or zip and nothing else: with more directives the answer is plain.

    (reference 3d)
    """
    directives = request.headers.get("Accept-Encoding", "").split(",")
    if len(directives) != 1:
        return None
    name, _, parameters = directives[0].partition(";")
    is_refused = parameters.replace(" ", "").lower() in _REFUSALS
    return None if is_refused else _CODINGS.get(name.strip().lower())
