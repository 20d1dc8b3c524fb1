"""A rendered result from any byte on: right for every form, and cheap where it can be."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.segments import Encoding
from app.storage.chunks import in_blocks, only_first, without_first
from app.storage.formats import Compression, Format, render
from app.storage.json_text import with_values_as_strings
from app.storage.reading import iter_plain, iter_plain_from
from tests.fakes.stored import FORMATS, body, jsonl, many_records, one_segment, store_of

FORMS: list[tuple[Format, Compression | None]] = [(fmt, way) for fmt in FORMATS for way in (None, "gzip", "zip")]


@given(
    records=many_records,
    encodings=st.sampled_from([["deflate"], ["plain"], ["deflate", "plain"]]),
    form=st.sampled_from(FORMS),
    data=st.data(),
)
def test_the_rest_from_any_byte_is_the_rest_of_the_whole(
    records: list[object], encodings: list[Encoding], form: tuple[Format, Compression | None], data: st.DataObject
) -> None:
    store, segments = store_of(records, encodings)
    rendered = render(store, segments, *form)
    whole = body(rendered)
    start = data.draw(st.one_of(st.integers(0, len(whole)), st.integers(len(whole) - 2, len(whole)).map(abs)))
    assert b"".join(rendered.chunks_from(start)) == whole[start:]
    assert rendered.measured_length() == len(whole)


def _large(encoding: Encoding) -> tuple[bytes, list[object]]:
    noise = random.Random(3)
    records: list[object] = [{"n": number, "x": noise.randbytes(100).hex()} for number in range(40_000)]
    return jsonl(records), records


@pytest.mark.parametrize("form", [("jsonl", None), ("jsonl", "gzip"), ("jsonl", "zip"), ("json", None)])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_resumed_download_reads_what_is_left_and_little_more(
    form: tuple[Format, Compression | None], share: float
) -> None:
    content, records = _large("deflate")
    store, segments = one_segment(content, len(records), "deflate", flush_bytes=256 * 1024)
    rendered = render(store, segments, *form)
    assert rendered.content_length is not None
    stored_bytes = segments[0].stored_bytes
    start = int(rendered.content_length * share)
    store.read_bytes = 0
    rest_bytes = sum(map(len, rendered.chunks_from(start)))
    assert rest_bytes == rendered.content_length - start
    assert store.read_bytes <= stored_bytes * (1 - share) + 300_000


@pytest.mark.parametrize("form", [("jsonl", None), ("jsonl", "gzip"), ("jsonl", "zip"), ("json", None)])
def test_a_short_range_in_the_middle_reads_little(form: tuple[Format, Compression | None]) -> None:
    content, records = _large("deflate")
    store, segments = one_segment(content, len(records), "deflate", flush_bytes=256 * 1024)
    rendered = render(store, segments, *form)
    assert rendered.content_length is not None
    middle = rendered.content_length // 2
    part = b"".join(only_first(rendered.chunks_from(middle), 10))
    assert part == body(rendered)[middle : middle + 10]
    store.read_bytes = 0
    assert len(b"".join(only_first(rendered.chunks_from(middle), 10))) == 10
    assert store.read_bytes <= 600_000 < segments[0].stored_bytes / 2


def test_page_ten_thousand_reads_no_more_than_page_one() -> None:
    lines = [b'{"id":%d}\n' % number for number in range(2_000_200)]
    content = b"".join(lines)
    store, segments = one_segment(content, len(lines), "deflate", flush_bytes=1024 * 1024)

    def read_for_page(number: int) -> int:
        store.read_bytes = 0
        records = b""
        for piece in iter_plain(store, segments, (number - 1) * 200):
            records += piece
            if records.count(b"\n") >= 200:
                break
        assert json.loads(records.split(b"\n")[0]) == {"id": (number - 1) * 200}
        return store.read_bytes

    costs = [read_for_page(number) for number in (1, 2, 5_000, 10_000)]
    assert max(costs) <= costs[0] + 256 * 1024
    assert max(costs) < segments[0].stored_bytes / 4


@given(records=many_records, encodings=st.sampled_from([["deflate"], ["plain"]]), start=st.integers(0, 900))
def test_plain_bytes_from_any_byte(records: list[object], encodings: list[Encoding], start: int) -> None:
    store, segments = store_of(records, encodings)
    assert b"".join(iter_plain_from(store, segments, start)) == jsonl(records)[start:]


chunks = st.lists(st.binary(max_size=9), max_size=8)


@given(chunks=chunks, count=st.integers(0, 40))
def test_streams_are_cut_at_the_byte(chunks: list[bytes], count: int) -> None:
    whole = b"".join(chunks)
    assert b"".join(without_first(chunks, count)) == whole[count:]
    taken = iter(chunks)
    assert b"".join(only_first(taken, count)) == whole[:count]
    assert count <= len(whole) - len(b"".join(taken)) or count > len(whole)


@given(chunks=chunks, block_bytes=st.integers(1, 12))
def test_blocks_are_all_of_one_size_but_the_last(chunks: list[bytes], block_bytes: int) -> None:
    blocks = list(in_blocks(chunks, block_bytes))
    assert b"".join(blocks) == b"".join(chunks)
    assert all(len(block) == block_bytes for block in blocks[:-1])
    assert all(0 < len(block) <= block_bytes for block in blocks)


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=10,
)


def _as_strings(value: object) -> object:
    if isinstance(value, dict):
        return {name: _as_strings(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_strings(inner) for inner in value]
    return value if value is None or isinstance(value, str) else json.dumps(value)


@given(values=st.lists(json_values, max_size=4), separators=st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_values_become_strings_of_the_same_characters(values: list[object], separators: tuple[str, str]) -> None:
    text = "".join(json.dumps(value, separators=separators) + "\n" for value in values).encode()
    lines = with_values_as_strings(text).split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == [_as_strings(value) for value in values]
    assert lines[-1] == b""


def test_numbers_keep_their_spelling_as_strings() -> None:
    text = b'{"1":1.10,"a":[1e400,-0,{"b":true}],"s":"x 12 true \\" 3","n":null}\n'
    assert (
        with_values_as_strings(text) == b'{"1":"1.10","a":["1e400","-0",{"b":"true"}],"s":"x 12 true \\" 3","n":null}\n'
    )
