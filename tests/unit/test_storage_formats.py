import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from app.domain.segments import Encoding
from app.errors import ObjectMissingError, StorageError
from app.storage.columns import ColumnScanner
from app.storage.formats import Compression, Format, render, scan_columns
from app.storage.gzip_member import GzipMember
from app.storage.lines import small_blocks
from app.storage.packing import Stream
from app.storage.segments import SegmentBuilder
from tests.fakes.memory_store import MemoryStore
from tests.fakes.stored import ENCODINGS, FORMATS, body, jsonl, many_records, store_of

WAYS: list[Compression | None] = [None, "gzip", "zip"]


def unpacked(content: bytes, way: Compression | None) -> bytes:
    if way == "zip":
        return zipfile.ZipFile(io.BytesIO(content)).read("result")
    return only_member(content) if way else content


def only_member(packed: bytes) -> bytes:
    """The content of the first gzip member; fails if anything follows it."""
    inflater = zlib.decompressobj(31)
    content = inflater.decompress(packed)
    assert inflater.eof
    assert inflater.unused_data == b""
    return content


@given(records=many_records, encoding=st.sampled_from(ENCODINGS))
def test_jsonl_is_what_was_stored(records: list[object], encoding: Encoding) -> None:
    store, segments = store_of(records, [encoding])
    answer = render(store, segments, "jsonl")
    assert body(answer) == jsonl(records)
    assert (answer.content_type, answer.content_encoding) == ("application/jsonl", None)
    assert answer.content_length == len(jsonl(records))


@given(records=many_records, encoding=st.sampled_from(ENCODINGS))
def test_json_is_one_array_of_known_length(records: list[object], encoding: Encoding) -> None:
    store, segments = store_of(records, [encoding])
    answer = render(store, segments, "json")
    content = body(answer)
    assert json.loads(content) == records
    assert answer.content_type == "application/json"
    assert answer.content_length == len(content)


@given(
    records=many_records,
    encodings=st.sampled_from([["deflate"], ["plain"], ["deflate", "plain"]]),
    fmt=st.sampled_from(FORMATS),
)
def test_gzip_is_one_member_of_the_plain_answer(records: list[object], encodings: list[Encoding], fmt: Format) -> None:
    store, segments = store_of(records, encodings)
    plain = body(render(store, segments, fmt))
    answer = render(store, segments, fmt, "gzip")
    packed = body(answer)
    assert answer.content_encoding == "gzip"
    assert only_member(packed) == plain
    assert gzip.decompress(packed) == plain
    assert isal_zlib.decompress(packed, 31) == plain
    assert gzip.GzipFile(fileobj=io.BytesIO(packed)).read() == plain


@given(records=many_records)
def test_gzip_of_packed_segments_is_a_byte_copy_of_known_length(records: list[object]) -> None:
    store, segments = store_of(records)
    answer = render(store, segments, "jsonl", "gzip")
    packed = b"".join(answer.chunks)
    assert answer.content_length == len(packed)
    assert packed[10:-10] == b"".join(store.objects[segment.object_key] for segment in segments)


@given(
    records=many_records.filter(bool),
    encodings=st.sampled_from([["deflate"], ["plain"], ["deflate", "plain"]]),
    fmt=st.sampled_from(FORMATS),
    way=st.sampled_from(WAYS),
    values_as_strings=st.booleans(),
)
def test_pieces_are_the_whole_body_where_it_is_made_of_stored_segments(
    records: list[object], encodings: list[Encoding], fmt: Format, way: Compression | None, values_as_strings: bool
) -> None:
    store, segments = store_of(records, encodings)
    answer = render(store, segments, fmt, way, values_as_strings=values_as_strings and fmt == "jsonl")
    wanted = "deflate" if way else "plain"
    is_made_of_them = all(segment.encoding == wanted for segment in segments)
    assert (answer.pieces is not None) is (is_made_of_them and fmt == "jsonl" and not values_as_strings)
    if answer.pieces is not None:
        parts = [each if isinstance(each, bytes) else store.objects[each.object_key] for each in answer.pieces]
        assert b"".join(parts) == body(answer)


def test_gzip_trailer_keeps_the_length_modulo_four_gibibytes() -> None:
    assert struct.unpack("<II", GzipMember().around(Stream(7, 2**32 + 5, 99))[1]) == (7, 5)


@pytest.mark.parametrize(("fmt", "expected"), [("jsonl", b""), ("json", b"[]"), ("csv", b"")])
@pytest.mark.parametrize("compress", WAYS)
def test_empty_result(fmt: Format, expected: bytes, compress: Compression | None) -> None:
    answer = render(MemoryStore(), [], fmt, compress)
    content = body(answer)
    assert unpacked(content, compress) == expected


def test_empty_csv_with_known_columns_is_its_header() -> None:
    assert body(render(MemoryStore(), [], "csv", columns=["id", "to.city"])) == b"id,to.city\r\n"


def test_csv_takes_the_columns_of_all_segments() -> None:
    records = [{"id": 1}] * 8 + [{"id": 2, "name": "Ada"}]
    store, segments = store_of(records)
    assert [segment.columns for segment in segments] == [("id",), ("id", "name")]
    assert body(render(store, segments, "csv")) == b"id,name\r\n" + b"1,\r\n" * 8 + b'2,"Ada"\r\n'


def test_csv_of_segments_without_columns_reads_them_first() -> None:
    store, segments = store_of([{"id": 1}, {"id": 2, "to": {"city": "X"}}], columns=False)
    assert scan_columns(store, segments) == ("id", "to.city")
    answer = render(store, segments, "csv")
    assert body(answer) == b'id,to.city\r\n1,\r\n2,"X"\r\n'
    assert answer.content_type == "text/csv"


def test_replaced_surrogates_are_counted_while_the_answer_is_read() -> None:
    store, segments = store_of([{"a": "\ud800"}, {"a": "b"}])
    answer = render(store, segments, "csv")
    assert answer.replaced_count() == 0
    assert body(answer).decode() == 'a\r\n"\ufffd"\r\n"b"\r\n'
    assert answer.replaced_count() == 1


def test_each_representation_has_its_own_etag() -> None:
    store, segments = store_of([{"a": "=1"}])
    answers = [render(store, segments, fmt, compress) for fmt in FORMATS for compress in WAYS]
    answers.append(render(store, segments, "csv", csv_guard=True))
    answers.append(render(store, segments, "csv", columns=["b"]))
    assert len({answer.etag for answer in answers}) == 11
    assert render(store, segments, "csv").etag == render(store, segments, "csv").etag


def test_damage_breaks_the_answer_off() -> None:
    store, segments = store_of([{"a": number} for number in range(20)])
    store.objects[segments[1].object_key] = b"\x00"
    for fmt in FORMATS:
        for compress in WAYS:
            with pytest.raises(StorageError, match=segments[1].object_key):
                b"".join(render(store, segments, fmt, compress).chunks)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("compress", WAYS)
def test_store_that_fails_at_once_fails_at_the_first_chunk(fmt: Format, compress: Compression | None) -> None:
    store, segments = store_of([{"a": 1}])
    store.objects.clear()
    with pytest.raises(ObjectMissingError):
        next(render(store, segments, fmt, compress).chunks)


def test_no_chunk_grows_with_the_number_of_records() -> None:
    noise = random.Random(2)
    records = [{"n": number, "x": noise.randbytes(500).hex()} for number in range(4000)]
    store = MemoryStore()
    builder = SegmentBuilder("deflate", scanner=ColumnScanner())
    builder.add(jsonl(records), len(records))
    built = builder.finish()
    segment = built.as_segment("jobs/1/0")
    store.put("jobs/1/0", built.data)
    for fmt in FORMATS:
        for compress in WAYS:
            sizes = [len(chunk) for chunk in render(store, [segment], fmt, compress).chunks]
            assert max(sizes) <= 1_100_000
            assert sum(sizes) > 2_000_000
    strings = render(store, [segment], "jsonl", values_as_strings=True)
    assert max(map(len, strings.chunks)) <= 1_100_000
    assert max(map(len, render(store, [segment], "json").chunks_from(1000))) <= 1_100_000


@given(
    data=st.lists(st.sampled_from([b"a", b"bc", b"\n"]), max_size=40).map(lambda parts: b"".join([*parts, b"\n"])),
    cuts=st.lists(st.integers(0, 80), max_size=5).map(sorted),
    block_bytes=st.integers(1, 20),
)
def test_blocks_of_whole_lines_are_cut_at_their_size(data: bytes, cuts: list[int], block_bytes: int) -> None:
    pieces = [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]
    blocks = list(small_blocks(pieces, block_bytes))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") and b"\n" not in block[block_bytes - 1 : -1] for block in blocks)
    with pytest.raises(StorageError, match="no newline"):
        list(small_blocks([*pieces, b"x"], block_bytes))
