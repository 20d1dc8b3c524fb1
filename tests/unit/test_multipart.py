"""Parts of a form, byte for byte, however the network cut them."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from app.api.multipart import MOST_HEAD_BYTES, MOST_PARTS, MultipartError, boundary_of, read_parts

BOUNDARY = b"XbX"
_HEAD = b'Content-Disposition: form-data; name="%s"; filename="a.csv"\r\nContent-Type: text/csv\r\n'


def body(*parts: tuple[str, bytes], blanks: bytes = b"", end: bytes = b"--\r\n") -> bytes:
    """A form as clients write it."""
    line = b"--" + BOUNDARY
    texts = [line + blanks + b"\r\n" + _HEAD % name.encode() + b"\r\n" + content for name, content in parts]
    return b"\r\n".join([*texts, line + end])


def cut(whole: bytes, places: Sequence[int]) -> Iterator[bytes]:
    ends = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    return (whole[begin:end] for begin, end in itertools.pairwise(ends))


def read(whole: bytes, places: Sequence[int] = (), boundary: bytes = BOUNDARY) -> list[tuple[str, bytes]]:
    return [(part.name, b"".join(part.content)) for part in read_parts(cut(whole, places), boundary)]


# Bytes that look like a delimiter, whole and in pieces, but for the delimiter itself.
_TRICKS = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--XbX", b"--Xb", b"\r\n--Xb", b"\r\n--XbXY", b" ", b"a"])
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)
_CONTENTS = _TRICKS.filter(lambda content: b"\r\n--XbX\r\n" not in b"\r\n" + content + b"\r\n").filter(
    lambda content: (
        not any(
            (b"\r\n" + content + b"\r\n").count(b"\r\n--XbX" + blanks + end)
            for blanks in (b"", b" ", b"  ")
            for end in (b"\r\n", b"--")
        )
    )
)


@given(_CONTENTS, _CONTENTS, st.sampled_from([b"", b" ", b"\t "]), st.lists(st.integers(0, 10_000), max_size=12))
@example(b"", b"{}", b"", [150])
def test_parts_come_out_as_they_went_in_wherever_the_body_is_cut(
    one: bytes, other: bytes, blanks: bytes, places: list[int]
) -> None:
    parts = [("file", one), ("metaData", other)]
    assert read(body(*parts, blanks=blanks), places) == parts


@pytest.mark.parametrize("content", [b"", b"abc", b"\r\n", b"a\r", b"\r\n--XbXX\r\nb", b"x--XbX", b"a\r\n--Xb"])
def test_every_single_cut_is_harmless(content: bytes) -> None:
    """Where Werkzeug's decoder adds a carriage return to a file, or misses a boundary."""
    parts = [("metaData", b"{}"), ("file", content)]
    for blanks in (b"", b"  "):
        whole = body(*parts, blanks=blanks)
        for place in range(len(whole)):
            assert read(whole, [place]) == parts
        assert read(whole, range(len(whole))) == parts


def test_what_a_usual_client_writes_is_read() -> None:
    content = os.urandom(300_000)
    request = requests.Request(
        "POST",
        "http://localhost/",
        files={"file": ("Kundé €.csv", content, "text/csv"), "metaData": (None, '{"action": "create"}')},
    ).prepare()
    whole, kind = request.body, request.headers["Content-Type"]
    assert isinstance(whole, bytes)
    found = read(whole, [70_000, 150_001], boundary_of(kind))
    assert found == [("file", content), ("metaData", b'{"action": "create"}')]


def test_bare_line_feeds_are_read_where_the_first_boundary_ends_in_one() -> None:
    whole = b"--XbX\nContent-Disposition: form-data; name=file\n\na\r\nb\n--XbX--\n"
    assert read(whole) == [("file", b"a\r\nb")]


def test_preamble_epilogue_and_folded_headers_are_no_content() -> None:
    whole = (
        b'a client\'s\r\npreamble --XbX\r\n--XbX\r\nContent-Disposition: form-data;\r\n name="file"\r\nX: y\r\n\r\na'
        b"\r\n--XbX--\r\nepilogue\r\n--XbX\r\n"
    )
    assert read(whole) == [("file", b"a")]


def test_a_part_may_be_empty_without_a_line_of_its_own() -> None:
    assert read(b"--XbX\r\nContent-Disposition: form-data; name=file\r\n\r\n--XbX--") == [("file", b"")]
    assert read(body()) == []


def test_what_is_not_taken_of_a_part_is_skipped() -> None:
    whole = body(("file", b"abc" * 1000), ("metaData", b"{}"))
    assert [part.name for part in read_parts(cut(whole, range(0, len(whole), 7)), BOUNDARY)] == ["file", "metaData"]


def test_the_body_is_read_to_its_end() -> None:
    pieces = iter([body(("file", b"a")), b"epilogue", b"more"])
    assert [b"".join(part.content) for part in read_parts(pieces, BOUNDARY)] == [b"a"]
    assert next(pieces, None) is None


def test_no_more_than_a_piece_is_held() -> None:
    """Each piece goes out before the next one is asked for."""
    size = 65_536
    given_bytes = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given_bytes
        yield body(("file", b""), end=b"")[: -len(b"\r\n--XbX")]
        for _ in range(200):
            given_bytes += size
            yield b"x\r\n--" * (size // 5) + b"x" * (size % 5)
        yield b"\r\n--XbX--"

    taken = 0
    for part in read_parts(pieces(), BOUNDARY):
        for piece in part.content:
            taken += len(piece)
            assert given_bytes - taken < 100
    assert taken == given_bytes


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        (b"", "ends before the first boundary"),
        (b"abc", "ends before the first boundary"),
        (b"--Xb\r\n", "ends before the first boundary"),
        (b"--XbX\r\n", "ends in the headers"),
        (body(("file", b"abc"), end=b""), "ends in a boundary"),
        (body(("file", b"abc"), end=b"-"), "ends in a boundary"),
        (body(("file", b"abc"))[:-9], "ends in the content"),
        (b"x" * 100_000, "too many bytes before"),
        (b"x\n" * 100_000, "does not begin with the boundary"),
        (b"--XbX\r\n" + b"a" * (MOST_HEAD_BYTES + 9), "too many bytes in the headers"),
        (b"--XbX\r\n" + b"a: b\r\n" * MOST_HEAD_BYTES, "too many bytes in the headers"),
        (b"--XbX\r\nabc\r\n\r\n", "no `name: value`"),
        (b"--XbX\r\nContent-Type: text/csv\r\n\r\na\r\n--XbX--", "has no name"),
        (b"--XbX\r\nContent-Disposition: form-data\r\n\r\na\r\n--XbX--", "has no name"),
        (b"--XbX\r\nContent-Disposition: attachment; name=file\r\n\r\na\r\n--XbX--", "has no name"),
        (body(*[("x", b"")] * (MOST_PARTS + 1)), f"more than {MOST_PARTS} parts"),
    ],
)
def test_a_body_that_is_no_form_is_refused_with_the_place(whole: bytes, told: str) -> None:
    with pytest.raises(MultipartError, match=told):
        read(whole, range(0, len(whole), 1000))


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 201,
        "multipart/form-data; boundary*=UTF-8''%E2%82%AC",
        "multipart/form-data; boundary=\x7f",
    ],
)
def test_a_boundary_that_cannot_be_used_is_refused(content_type: str) -> None:
    with pytest.raises(MultipartError, match="boundary"):
        boundary_of(content_type)


@given(st.binary(max_size=400) | _TRICKS.map(lambda tail: body(("file", b"a"))[:-4] + tail), st.lists(st.integers(0)))
def test_no_body_ends_in_another_error(whole: bytes, places: list[int]) -> None:
    with contextlib.suppress(MultipartError):
        read(whole, places)
