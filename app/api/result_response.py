"""A result as an HTTP answer: streamed in flat memory, without a database connection.

The first blocks are read before the headers go out, so that a store that fails at once is an error with a status. A
failure later breaks the connection: a short file must never look like a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Literal, cast

import structlog
from flask import Response, g, request

from app.api.negotiation import require_format_accepted, wants_gzip
from app.api.paging import NOTICE, PageRequest
from app.api.runtime import context
from app.errors import HaulageError, StorageError
from app.services.results import Result
from app.storage.formats import Rendered, render
from app.storage.lines import whole_lines
from app.storage.reading import iter_plain

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LONGEST_NOTICE = 1000
_PEELED = 2
"""Chunks read ahead of the headers: the first may be a mere frame (`[`, a gzip or CSV header)."""
_log = structlog.get_logger(__name__)


def send_result(result: Result) -> Response:
    """The file in the job's format. Raises InvalidInputError for another Accept, StorageUnavailableError."""
    require_format_accepted(request, result.job.file_format)
    compress: Literal["gzip"] | None = "gzip" if wants_gzip(request) else None
    file_format = cast("Literal['jsonl', 'json', 'csv']", result.job.file_format.short.lower())
    rendered = render(context().store, result.segments, file_format, compress)
    headers = _headers(result, rendered)
    if request.if_none_match.contains_weak(rendered.etag.strip('"')):
        return _without_body(rendered, 304, {name: headers[name] for name in ("ETag", "Vary", "Cache-Control")})
    if rendered.content_length is not None:
        headers["Content-Length"] = str(rendered.content_length)
    if request.method == "HEAD":
        return _without_body(rendered, 200, headers)
    return _streamed(rendered.chunks, headers, result.job.id)


def send_page(result: Result, page: PageRequest) -> Response:
    """Some records as a JSON array, whatever the format of the job (reference 3e)."""
    total = result.record_count
    count = max(0, min(page.size, total - page.after))
    next_after = page.after + count if page.after + count < total else None
    headers = page.headers(count, total=total, next_after=next_after)
    notices = [notice for notice in (page.notice, result.notice) if notice]
    if notices:
        headers[NOTICE] = header_text(" ".join(notices))
    headers["Content-Type"] = "application/json"
    pieces = iter_plain(context().store, result.segments, page.after)
    return _streamed(_array(pieces, count), headers, result.job.id)


def header_text(text: str) -> str:
    """A text as it may stand in a header: one line of ASCII."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_LONGEST_NOTICE]


def _headers(result: Result, rendered: Rendered) -> dict[str, str]:
    suffix = ".gz" if rendered.content_encoding else ""
    headers = {
        "Content-Type": rendered.content_type,
        "Content-Disposition": f'attachment; filename="{result.file_name}{suffix}"',
        "ETag": rendered.etag,
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "private, no-cache",
    }
    if rendered.content_encoding:
        headers["Content-Encoding"] = rendered.content_encoding
    if result.notice:
        headers[NOTICE] = header_text(result.notice)
    return headers


def _without_body(rendered: Rendered, status: int, headers: dict[str, str]) -> Response:
    _close(rendered.chunks)
    response = Response(status=status, headers=headers)
    response.automatically_set_content_length = False
    return response


def _streamed(chunks: Iterator[bytes], headers: dict[str, str], job_id: int) -> Response:
    try:
        first = list(islice(chunks, _PEELED))
    except BaseException:
        _close(chunks)
        raise
    return Response(_guarded(first, chunks, job_id, g.request_id), headers=headers, direct_passthrough=True)


def _guarded(first: list[bytes], chunks: Iterator[bytes], job_id: int, request_id: str) -> Iterator[bytes]:
    try:
        yield from chain(first, chunks)
    except HaulageError as error:
        # Raising on makes the server break the connection off.
        _log.error("result.broken_off", job_id=job_id, request_id=request_id, text=error.message)
        raise
    finally:
        _close(chunks)


def _array(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The first `count` lines as a JSON array."""
    left = count
    yield b"["
    for block in whole_lines(pieces) if count else ():
        lines = block.split(b"\n")[:-1][:left]
        yield (b"," if left < count else b"") + b",".join(lines)
        left -= len(lines)
        if not left:
            break
    if left:
        raise StorageError(f"The result lacks {left} records that its rows promise.")
    yield b"]"


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
