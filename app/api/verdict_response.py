"""Rows of an upload as HTTP answers: the failed ones as a page, all of them as a stream (reference 3c, 5)."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from flask import Request, Response, request

from app.api.authorization import caller
from app.api.body import invalid_input, read_json
from app.api.bulk_schemas import RetrySchema
from app.api.negotiation import chosen_format, wanted_compression
from app.api.paging import NOTICE, page_request
from app.api.result_headers import SUFFIXES, disposition, header_text
from app.api.result_response import streamed
from app.api.runtime import context, json_response
from app.db.upload_verdicts import FailedRow, RowResult
from app.domain.jobs import FileFormat
from app.domain.masking import MASK, names_secret, shown_record, shown_text
from app.services.results import result_name
from app.services.verdicts import Verdicts, find_failed

_COLUMNS = ("rowNumber", "line", "verdict", "vendorId", "httpStatus", "errorClass")
_GZIP_WINDOW = 31
_GZIP_LEVEL = 1
_WISH = RetrySchema()
_encode = msgspec.json.Encoder().encode


def read_wish(given: Request) -> bool:
    """`includeUncertain` of the body, which may be empty. Raises InvalidInputError, UnsupportedMediaTypeError."""
    if not given.get_data():
        return False
    body = read_json(given)
    if faults := _WISH.validate(body):
        raise invalid_input(faults, body)
    return bool(_WISH.load(body).get("includeUncertain"))


def send_failed(job_id: int) -> Response:
    """The page of failed rows that the current request asks for. Raises InvalidInputError and as `find_failed`."""
    asked = page_request()
    page = find_failed(context(), caller(), job_id, after=asked.after, size=asked.size)
    is_masked = context().settings.mask_row_values == "yes"
    items = [failed_item(row, is_masked=is_masked) for row in page.rows]
    return json_response(items, headers=asked.headers(len(items), total=page.total, next_after=page.next_after))


def failed_item(row: FailedRow, *, is_masked: bool) -> dict[str, Any]:
    """One failed row; `status` is all that the vendor's own clients know (reference 3c)."""
    record = row.record if row.is_readable else None
    excerpt = (row.record or b"") if record is None else b""
    is_masked = is_masked or names_secret(excerpt)
    text = None if row.detail is None else shown_text(row.detail, record, is_masked=is_masked)
    item = {
        "status": text or _summary(row),
        **dict(zip(_COLUMNS, _values(row), strict=True)),
        "vendorText": text if row.http_status is not None else None,
        "record": None if record is None else shown_record(record, is_masked=is_masked),
    }
    if not row.is_readable:
        item["excerpt"] = MASK if is_masked else excerpt.decode("utf-8", "replace")
    return item


def _summary(row: RowResult) -> str:
    parts = [str(row.verdict), row.error_class, None if row.http_status is None else f"HTTP {row.http_status}"]
    return ": ".join(part for part in parts if part)


def _values(row: RowResult) -> tuple[Any, ...]:
    return row.number, row.line, row.verdict, row.vendor_id, row.http_status, row.error_class


# All rows ------------------------------------------------------------------------------------------------------------


def send_verdicts(found: Verdicts) -> Response:
    """Every row, as JSON Lines, a JSON array or CSV by Accept. Raises NotAcceptableError, DatabaseUnavailableError."""
    file_format = chosen_format(request, FileFormat.JSONL)
    coding = "gzip" if wanted_compression(request) == "gzip" else None
    file_name = f"{result_name(found.job)}-results.{file_format.short.lower()}"
    headers = {
        "Content-Type": file_format.value,
        "Content-Disposition": disposition(file_name + SUFFIXES[coding]),
        "Vary": "Accept, Accept-Encoding",
    }
    if coding:
        headers["Content-Encoding"] = coding
    if found.notice:
        headers[NOTICE] = header_text(found.notice)
    if request.method == "HEAD":
        return Response(headers=headers)
    chunks = _RENDERERS[file_format](found.batches)
    return streamed(_packed(chunks) if coding else chunks, headers, found.job.id)


def _json_lines(batches: Iterable[list[RowResult]]) -> Iterator[bytes]:
    for batch in batches:
        yield b"".join(_object(row) + b"\n" for row in batch)


def _json_array(batches: Iterable[list[RowResult]]) -> Iterator[bytes]:
    before = b"["
    for batch in batches:
        if batch:
            yield before + b",".join(_object(row) for row in batch)
            before = b","
    yield b"[]" if before == b"[" else b"]"


def _object(row: RowResult) -> bytes:
    return _encode(dict(zip(_COLUMNS, _values(row), strict=True)))


def _csv(batches: Iterable[list[RowResult]]) -> Iterator[bytes]:
    yield ",".join(_COLUMNS).encode() + b"\r\n"
    for batch in batches:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(_values(row) for row in batch)
        yield text.getvalue().encode()


_RENDERERS: dict[FileFormat, Callable[[Iterable[list[RowResult]]], Iterator[bytes]]] = {
    FileFormat.JSONL: _json_lines,
    FileFormat.JSON: _json_array,
    FileFormat.CSV: _csv,
}


def _packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
