"""Wherever the chunks of a file end and behind whichever row the reading goes on, the rows are the same."""

import tracemalloc
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.rows import BadRow, InputForm, InputPosition, Row, look, read_rows
from app.domain.uploads import UploadOptions
from tests.fakes.row_files import CSV, JSON, read_from

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=4)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "cp1140", "gb18030"])
CSV_PIECES = st.sampled_from(
    [
        "a",
        "1",
        ",",
        ",",
        ";",
        '"',
        '""',
        "\n",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\u00e9",
        "\u20ac",
        "\0",
        '"x\r\ny"',
        "2,3\n",
        "\ufeff",
    ]
)
JSON_PIECES = st.sampled_from(
    [
        '{"a":1}', '{"a":1},', '{"a":"\u00e9"},\n', '{"a":[1,\r\n2]},', "{}", ",", "\n", "\r\n", "\r", " ", "[", "]",
        "5,", '{"a":"},{"},', '{"a":1} ,', '{"a":NaN},', '"', "\\", '{"b":{"c":"\u20ac"}}\n', "{", "}", "\0",
    ]
)  # fmt: skip


def check(raw: bytes, options: UploadOptions, sizes: list[int], others: list[int]) -> None:
    form = look(raw, options, is_whole=True)
    whole = read_from(raw, form, form.body_at, sizes=[1 << 20])
    assert read_from(raw, form, form.body_at, sizes=sizes) == whole
    offset = form.body_at.offset
    for number, row in enumerate(whole.rows, 1):
        assert (row.number, row.behind.row) == (number, number)
        assert offset < row.behind.offset <= len(raw)
        offset = row.behind.offset
        rest = read_from(raw, form, InputPosition.from_json(row.behind.as_json()), sizes=others)
        assert (rest.rows, rest.error, rest.place) == (whole.rows[number:], whole.error, whole.place)


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "replace" if encoding[:2] == "cp" else "strict")


def said(options: UploadOptions, encoding: str) -> UploadOptions:
    return UploadOptions("x", format=options.format, encoding="" if encoding == "utf-8-sig" else encoding)


@given(st.lists(CSV_PIECES, max_size=40).map("".join), ENCODINGS, SIZES, SIZES)
def test_csv(text: str, encoding: str, sizes: list[int], others: list[int]) -> None:
    check(encoded(f"c0,c1,c2\n{text}", encoding), said(CSV, encoding), sizes, others)


@given(st.lists(JSON_PIECES, max_size=30).map("".join), ENCODINGS, SIZES, SIZES)
def test_json_lines(text: str, encoding: str, sizes: list[int], others: list[int]) -> None:
    check(encoded("{}\n" + text, encoding), said(JSON, encoding), sizes, others)


@given(st.lists(JSON_PIECES, max_size=30).map("".join), ENCODINGS, st.booleans(), SIZES, SIZES)
def test_json_array(text: str, encoding: str, is_closed: bool, sizes: list[int], others: list[int]) -> None:
    if encoding == "gb18030":
        encoding = "utf-16"
    check(encoded(f"[{text}{']' * is_closed}", encoding), said(JSON, encoding), sizes, others)


@settings(max_examples=50)
@given(
    st.binary(max_size=60), st.sampled_from([CSV, JSON]), st.sampled_from(["utf-8", "cp1252", "ascii"]), SIZES, SIZES
)
def test_any_bytes(raw: bytes, options: UploadOptions, encoding: str, sizes: list[int], others: list[int]) -> None:
    head = b"c0,c1\n" if options is CSV else b'[{"a":1},'
    check(head + raw, said(options, encoding), sizes, others)


def _peak_bytes(count: int, row: bytes, form: InputForm) -> int:
    """What reading so many thousand rows takes at most."""
    end = b"{}]" if form.format == "array" else b""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    chunks = chain((row * 1000 for _ in range(count)), [end])
    last: Row | BadRow | None = None
    for last in read_rows(chunks, form, {}, form.body_at):  # noqa: B007
        pass
    if row.strip():
        assert last is not None
        assert last.number == count * 1000 + bool(end)
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.parametrize(
    ("head", "row", "options"),
    [
        (b"a,b\n", b'1,"some text, quoted"\n', CSV),
        (b"a,b\n", b"1,2,3\n", CSV),
        (b"a\n", b"\r\n\r\n\r\n", CSV),
        (b"{}\n", b'{"a":1,"b":"some text"}\n', JSON),
        (b"[{}", b'{"a":1,"b":"some text"},', JSON),
        (b"[{}", b'{"a":1,"b":"some text"} , ', JSON),
    ],
)
def test_memory_does_not_grow_with_the_file(head: bytes, row: bytes, options: UploadOptions) -> None:
    form = look(head + row, options, is_whole=False)
    tracemalloc.start()
    try:
        _peak_bytes(1, row, form)
        few, many = _peak_bytes(4, row, form), _peak_bytes(24, row, form)
    finally:
        tracemalloc.stop()
    assert many < few + 100_000
    assert many < 3_000_000
