"""A page of records as an HTTP answer: a JSON array, whatever the format of the job (reference 3e)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flask import Response

from app.api.authorization import caller
from app.api.paging import NOTICE, page_request
from app.api.result_headers import header_text
from app.api.result_response import streamed
from app.api.runtime import context
from app.db.segments import Place
from app.errors import StorageError
from app.services.data_pages import DataPage, PageStart, open_page
from app.storage.lines import whole_lines
from app.storage.reading import iter_plain

_PLACE = ("revision", "run", "slice", "sequence", "skip")


def send_page(job_id: int) -> Response:
    """The page that the current request asks for. Raises InvalidInputError and what `open_page` raises."""
    asked = page_request(place=_PLACE)
    page = open_page(context(), caller(), job_id, _start(asked.after, asked.place), asked.size)
    next_after = page.following.after if page.following else None
    headers = asked.headers(page.count, total=page.total, next_after=next_after, next_place=_carried(page.following))
    notices = [notice for notice in (asked.notice, page.notice) if notice]
    if notices:
        headers[NOTICE] = header_text(" ".join(notices))
    headers["Content-Type"] = "application/json"
    return streamed(_array(page), headers, job_id)


def _start(after: int, place: Mapping[str, int]) -> PageStart | None:
    if not place:
        return None
    segment = Place(place["run"], place["slice"], place["sequence"])
    return PageStart(place["revision"], after, segment, place["skip"])


def _carried(start: PageStart | None) -> dict[str, int]:
    if start is None:
        return {}
    place = start.place
    return dict(
        zip(_PLACE, (start.revision, place.run_number, place.slice_number, place.sequence, start.skip), strict=True)
    )


def _array(page: DataPage) -> Iterator[bytes]:
    return array_of(iter_plain(context().store, page.segments, page.skip), page.count)


def array_of(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
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
