import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from app.api.negotiation import chosen_format, wanted_compression
from app.api.ranges import ByteRange, wanted_range
from app.domain.jobs import FileFormat
from app.errors import NotAcceptableError

ETAG = '"0123"'
BODY = bytes(range(10))


def request(method: str = "GET", **headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(EnvironBuilder(method=method, headers=named).get_environ())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-", BODY),
        ("bytes=3-5", BODY[3:6]),
        ("bytes=9-", BODY[9:]),
        ("bytes=3-99", BODY[3:]),
        ("bytes=-4", BODY[-4:]),
        ("bytes=-99", BODY),
        (" Bytes = 2 - 2 ", BODY[2:3]),
    ],
)
def test_one_range_is_a_part_of_the_body(text: str, part: bytes) -> None:
    wanted = wanted_range(request(Range=text), ETAG)
    assert wanted is not None
    bounds = wanted.within(len(BODY))
    assert bounds is not None
    assert BODY[slice(*bounds)] == part


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_behind_the_end_is_not_there(text: str) -> None:
    wanted = wanted_range(request(Range=text), ETAG)
    assert wanted is not None
    assert wanted.within(len(BODY)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes=",
        "bytes=-",
        "bytes=1-2,4-5",
        "bytes=5-3",
        "items=0-1",
        "bytes=a-b",
        "bytes=1-2x",
        "bytes=" + "9" * 25,
    ],
)
def test_anything_else_means_the_whole(text: str) -> None:
    assert wanted_range(request(Range=text), ETAG) is None


def test_only_get_has_ranges() -> None:
    assert wanted_range(request("HEAD", Range="bytes=0-"), ETAG) is None


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [(ETAG, True), (f"W/{ETAG}", False), ('"other"', False), ("Sun, 06 Nov 1994 08:49:37 GMT", False), ("", False)],
)
def test_if_range_takes_the_very_etag_only(condition: str, is_met: bool) -> None:
    assert (wanted_range(request(Range="bytes=1-", If_Range=condition), ETAG) is not None) == is_met


@given(first=st.integers(0, 20), last=st.integers(0, 20), length=st.integers(1, 15))
def test_bounds_lie_within_the_body(first: int, last: int, length: int) -> None:
    body = bytes(range(length))
    bounds = ByteRange(first, last).within(length)
    expected = body[first : last + 1]
    assert (body[slice(*bounds)] if bounds and last >= first else b"") == expected


@pytest.mark.parametrize(
    ("directives", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP;q=1.0", "gzip"),
        (" zip ", "zip"),
        ("zip;q=0.5", "zip"),
        ("zip; q=0", None),
        ("gzip;q=0.000", None),
        ("gzip, zip", None),
        ("gzip,", None),
        ("gzip, deflate", None),
        ("deflate", None),
        ("br", None),
        ("*", None),
        ("identity", None),
        ("", None),
    ],
)
def test_one_directive_alone_compresses(directives: str, coding: str | None) -> None:
    assert wanted_compression(request(Accept_Encoding=directives)) == coding


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", FileFormat.CSV),
        ("*/*", FileFormat.CSV),
        ("text/csv", FileFormat.CSV),
        ("txt/csv", FileFormat.CSV),
        ("text/*", FileFormat.CSV),
        ("application/json", FileFormat.JSON),
        ("application/json, */*", FileFormat.JSON),
        ("application/json, text/plain, */*", FileFormat.JSON),
        ("application/jsonl", FileFormat.JSONL),
        ("text/csv;q=0.1, application/json", FileFormat.JSON),
        ("application/json;q=0, */*", FileFormat.CSV),
    ],
)
def test_query_jobs_are_given_by_accept_and_as_csv_without(accept: str, chosen: FileFormat) -> None:
    assert chosen_format(request(Accept=accept), FileFormat.CSV) is chosen


def test_a_format_that_nobody_makes_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotAcceptableError, match="text/csv"):
        chosen_format(request(Accept="text/xml"), FileFormat.CSV)
