"""A result as an HTTP answer: streamed in flat memory, without a database connection.

The first blocks are read before the headers go out, so that a store that fails at once is an error with a status. A
failure later breaks the connection: a short file must never look like a whole one.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain, islice

import structlog
from flask import Response, g, request

from app.api.errors import error_response
from app.api.negotiation import wanted_compression
from app.api.ranges import ByteRange, wanted_range
from app.api.representation import Representation, chosen_representation
from app.api.result_headers import result_headers
from app.api.runtime import context
from app.errors import HaulageError
from app.services.results import Result, csv_columns, with_recorded_columns
from app.storage.chunks import only_first
from app.storage.formats import Rendered, render

_PEELED = 2
"""Chunks read ahead of the headers: the first may be a mere frame (`[`, a gzip or CSV header)."""
_KEPT_UNCHANGED = ("ETag", "Vary", "Cache-Control")
_log = structlog.get_logger(__name__)


def send_result(result: Result) -> Response:
    """The file, or a range of it. Raises what `chosen_representation` raises, and StorageUnavailableError."""
    chosen = chosen_representation(request, result)
    file_name = result.file_name(chosen.extension)
    rendered = _rendered(result, chosen, file_name)
    headers = result_headers(result, rendered, file_name)
    if request.if_none_match.contains_weak(rendered.etag.strip('"')):
        return without_body(HTTPStatus.NOT_MODIFIED, {name: headers[name] for name in _KEPT_UNCHANGED})
    wanted = wanted_range(request, rendered.etag)
    if wanted is not None and (length := rendered.measured_length()):
        return _send_part(rendered, headers, result.job.id, wanted, length)
    if rendered.content_length is not None:
        headers["Content-Length"] = str(rendered.content_length)
    if request.method == "HEAD":
        return without_body(HTTPStatus.OK, headers)
    return streamed(rendered.chunks, headers, result.job.id)


def _rendered(result: Result, chosen: Representation, file_name: str) -> Rendered:
    if chosen.fmt == "csv" and result.is_of_query:
        result = with_recorded_columns(context(), result)
    return render(
        context().store,
        result.segments,
        chosen.fmt,
        wanted_compression(request),
        content_type=chosen.content_type,
        entry_name=file_name,
        columns=csv_columns(result) or None,
        values_as_strings=chosen.values_as_strings,
    )


def _send_part(rendered: Rendered, headers: dict[str, str], job_id: int, wanted: ByteRange, length: int) -> Response:
    bounds = wanted.within(length)
    if bounds is None:
        told = {"Content-Range": f"bytes */{length}", "Accept-Ranges": "bytes", "ETag": rendered.etag}
        message = f"Range {request.headers['Range'][:100]!r} is not in the result, which has {length} bytes."
        return error_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, message, told)
    start, end = bounds
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{length}"
    headers["Content-Length"] = str(end - start)
    source = rendered.chunks_from(start)
    return streamed(only_first(source, end - start), headers, job_id, HTTPStatus.PARTIAL_CONTENT)


def without_body(status: HTTPStatus, headers: dict[str, str]) -> Response:
    """An answer to HEAD, or to who has it already."""
    response = Response(status=status, headers=headers)
    response.automatically_set_content_length = False
    return response


def streamed(
    chunks: Iterator[bytes], headers: dict[str, str], job_id: int, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """An answer of these chunks; its store is asked before the headers go out. Raises what the first chunks raise."""
    try:
        first = list(islice(chunks, _PEELED))
    except BaseException:
        _close(chunks)
        raise
    body = _guarded(first, chunks, job_id, g.request_id)
    return Response(body, status, headers=headers, direct_passthrough=True)


def _guarded(first: list[bytes], chunks: Iterator[bytes], job_id: int, request_id: str) -> Iterator[bytes]:
    try:
        yield from chain(first, chunks)
    except HaulageError as error:
        # Raising on makes the server break the connection off.
        _log.error("result.broken_off", job_id=job_id, request_id=request_id, text=error.message)
        raise
    finally:
        _close(chunks)


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
