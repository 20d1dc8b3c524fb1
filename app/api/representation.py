"""In which form a result is given: that of its job, or for a query job the one that the client asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import msgspec
from flask import Request

from app.api.negotiation import chosen_format, require_format_accepted
from app.domain.jobs import FileFormat
from app.errors import InvalidInputError
from app.services.results import Result
from app.storage.formats import CONTENT_TYPES, Format

_LONGEST_SHOWN = 100
_NATIVE = "convertToNativeType"
_BOOLEANS = {True: True, False: False, "true": True, "false": False}


@dataclass(frozen=True)
class Representation:
    """Format of the body and what Content-Type calls it; they differ for the JSON of query jobs."""

    fmt: Format
    content_type: str
    values_as_strings: bool = False

    @property
    def extension(self) -> str:
        """The end of the file's name, after what Content-Type says."""
        return "json" if self.content_type == CONTENT_TYPES["json"] else self.fmt


def chosen_representation(request: Request, result: Result) -> Representation:
    """Raises InvalidInputError for another Accept than the job's format, NotAcceptableError for an unknown one."""
    if not result.is_of_query:
        require_format_accepted(request, result.job.file_format)
        file_format = result.job.file_format
        return Representation(cast("Format", file_format.short.lower()), file_format.value)
    file_format = chosen_format(request, result.job.file_format)
    if file_format is FileFormat.CSV:
        return Representation("csv", file_format.value)
    # One object a line, also as application/json: it is read line by line by the vendor's sample client, and parsed as
    # one object where the result is one record (reference 3d).
    return Representation("jsonl", file_format.value, values_as_strings=not _wants_native_types(request))


def _wants_native_types(request: Request) -> bool:
    """`json={"convertToNativeType":"false"}` in the query string asks for strings only. Raises InvalidInputError."""
    text = request.args.get("json")
    if not text:
        return True
    try:
        options: Any = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise _bad_options(text) from error
    wish = options.get(_NATIVE, True)
    if not isinstance(wish, str | bool) or wish not in _BOOLEANS:
        raise _bad_options(text)
    return _BOOLEANS[wish]


def _bad_options(text: str) -> InvalidInputError:
    return InvalidInputError(
        f'json {text[:_LONGEST_SHOWN]!r} is not accepted: a JSON object such as {{"{_NATIVE}":"false"}}.', field="json"
    )
