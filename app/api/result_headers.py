"""Headers of a result: what it is, under which name to save it, and why it is not all."""

from __future__ import annotations

import re
from urllib.parse import quote

from app.api.paging import NOTICE
from app.services.results import Result
from app.storage.formats import Rendered

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_NOT_FOR_QUOTES = re.compile(r'[^\x20-\x7e]|["\\%]')
_LONGEST_NOTICE = 1000
_ATTRIBUTE_SIGNS = "!#$&+^`|"  # and letters, digits, `-._~`: what RFC 5987 lets stand as it is
SUFFIXES = {None: "", "gzip": ".gz", "zip": ".zip"}


def result_headers(result: Result, rendered: Rendered, file_name: str) -> dict[str, str]:
    """All but those that only a whole or only a part has."""
    headers = {
        "Content-Type": rendered.content_type,
        "Content-Disposition": disposition(file_name + SUFFIXES[rendered.content_encoding]),
        "ETag": rendered.etag,
        "Accept-Ranges": "bytes",
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "private, no-cache",
    }
    if rendered.content_encoding:
        headers["Content-Encoding"] = rendered.content_encoding
    if result.notice:
        headers[NOTICE] = header_text(result.notice)
    return headers


def disposition(file_name: str) -> str:
    """`attachment` under this name (RFC 6266); what not every client reads in quotes is told by RFC 5987 as well."""
    fallback = _NOT_FOR_QUOTES.sub("_", file_name)
    plain = f'attachment; filename="{fallback}"'
    return plain if fallback == file_name else f"{plain}; filename*=UTF-8''{quote(file_name, safe=_ATTRIBUTE_SIGNS)}"


def header_text(text: str) -> str:
    """A text as it may stand in a header: one line of ASCII."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_LONGEST_NOTICE]
