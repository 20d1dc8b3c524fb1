"""What a client still sends behind a refusal is read, so that it reads the refusal; but not for ever."""

import io
from typing import Any

import pytest
from flask import Flask, Response, request

from app.api.leftovers import read_on, take_after

APP = Flask(__name__)


class Endless(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return b"x" * (size or 0)


class Gone(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise ConnectionResetError


def left_after(status: int, *, length: str | None = "9", coding: str | None = None, ends: bool = True) -> bytes:
    """What is left of a body of nine bytes once the answer is out."""
    source = io.BytesIO(b"123456789")
    environ: dict[str, Any] = {
        "wsgi.input": source,
        "CONTENT_LENGTH": length or "",
        "HTTP_TRANSFER_ENCODING": coding or "",
    }
    if ends:
        environ["wsgi.input_terminated"] = True
    with APP.test_request_context(method="POST", environ_overrides=environ):
        response = Response(status=status)
        take_after(request, response)
        assert source.tell() == 0, "not before the answer is out"
        response.close()
    return source.read()


@pytest.mark.parametrize("status", [400, 401, 413, 503])
def test_the_rest_of_a_refused_body_is_read(status: int) -> None:
    assert left_after(status) == b""
    assert left_after(status, length=None, coding="chunked") == b""


def test_nothing_is_read_behind_a_success_nor_where_there_is_no_body_or_no_end() -> None:
    assert left_after(200) == b"123456789"
    assert left_after(400, length=None) == b"123456789"
    assert left_after(400, ends=False) == b"123456789"


def test_reading_on_has_limits() -> None:
    assert 1_000_000 <= read_on(Endless(), most_bytes=1_000_000) < 2_000_000
    assert read_on(Endless(), most_s=-1.0) == 0
    assert read_on(Gone()) == 0
