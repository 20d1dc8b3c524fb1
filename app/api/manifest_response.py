"""A manifest as an HTTP answer: streamed, since its digests may take as long as reading the whole result."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request

from app.api.paging import NOTICE
from app.api.result_headers import header_text
from app.api.result_response import streamed, without_body
from app.api.runtime import context
from app.domain.segments import combined_crc32, etag, total_plain_bytes, total_records
from app.services.manifest import iter_digests
from app.services.results import Result
from app.storage.formats import render

_encode = msgspec.json.Encoder().encode


def send_manifest(result: Result) -> Response:
    """Raises the storage errors of its first segment."""
    tag = etag(result.segments, "manifest")
    headers = {"Content-Type": "application/json", "ETag": tag, "Cache-Control": "private, no-cache"}
    if result.notice:
        headers[NOTICE] = header_text(result.notice)
    if request.if_none_match.contains_weak(tag.strip('"')):
        return without_body(HTTPStatus.NOT_MODIFIED, headers)
    if request.method == "HEAD":
        return without_body(HTTPStatus.OK, headers)
    return streamed(_manifest(result), headers, result.job.id)


def _manifest(result: Result) -> Iterator[bytes]:
    """Totals, segments, SHA-256 of the whole. A blank now and then says that it goes on."""
    digests = iter_digests(context(), result)
    yield _encode(_totals(result))[:-1] + b',"segments":['
    separator, told = b"", _segments(result)
    for digest in digests:
        segment = None if digest is None else next(told, None)
        if digest is None:
            yield b" "
        elif segment is None:
            yield b'],"sha256":' + _encode(digest.hex()) + b"}"
        else:
            yield separator + _encode({**segment, "sha256": digest.hex()})
            separator = b","


def _totals(result: Result) -> dict[str, Any]:
    return {
        "jobId": result.job.id,
        "objectName": result.job.object_name,
        "runNumber": result.job.revision,
        "etag": render(context().store, result.segments, "jsonl").etag,
        "recordCount": total_records(result.segments),
        "plainBytes": total_plain_bytes(result.segments),
        "storedBytes": sum(segment.stored_bytes for segment in result.segments),
        "crc32": f"{combined_crc32(result.segments):08x}",
        "segmentCount": len(result.segments),
    }


def _segments(result: Result) -> Iterator[dict[str, Any]]:
    """What is told of each but its digest. Places are in the JSON Lines of the whole."""
    record = byte = 0
    for index, segment in enumerate(result.segments):
        yield {
            "index": index,
            "firstRecord": record,
            "recordCount": segment.record_count,
            "firstByte": byte,
            "plainBytes": segment.plain_bytes,
            "storedBytes": segment.stored_bytes,
            "crc32": f"{segment.crc32:08x}",
        }
        record += segment.record_count
        byte += segment.plain_bytes
