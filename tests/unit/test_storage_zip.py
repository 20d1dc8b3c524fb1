import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.segments import Encoding
from app.storage import packing
from app.storage.deflate import EMPTY_FINAL_BLOCK
from app.storage.formats import Format, render
from app.storage.packing import Stream
from app.storage.zip_archive import ZipArchive
from tests.fakes.stored import FORMATS, body, jsonl, many_records, one_segment, store_of

FOUR_GIB = 2**32


@given(
    records=many_records,
    encodings=st.sampled_from([["deflate"], ["plain"], ["deflate", "plain"]]),
    fmt=st.sampled_from(FORMATS),
    name=st.sampled_from(["a.jsonl", "Ünïcode 😀.csv"]),
)
def test_zip_is_one_entry_of_the_plain_answer(
    records: list[object], encodings: list[Encoding], fmt: Format, name: str
) -> None:
    store, segments = store_of(records, encodings)
    plain = body(render(store, segments, fmt))
    answer = render(store, segments, fmt, "zip", entry_name=name)
    with zipfile.ZipFile(io.BytesIO(body(answer))) as archive:
        assert archive.namelist() == [name]
        assert archive.testzip() is None
        assert archive.read(name) == plain
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    assert answer.content_encoding == "zip"


@given(records=many_records)
def test_zip_of_packed_segments_is_a_byte_copy_that_needs_no_descriptor(records: list[object]) -> None:
    store, segments = store_of(records)
    answer = render(store, segments, "jsonl", "zip", entry_name="a.jsonl")
    content = body(answer)
    assert answer.content_length == len(content)
    flags, crc, packed_bytes, plain_bytes = struct.unpack_from("<6xH6xIII", content)
    assert not flags & 0x08
    runs = b"".join(store.objects[segment.object_key] for segment in segments) + EMPTY_FINAL_BLOCK
    assert runs in content
    assert packed_bytes == len(runs)
    assert plain_bytes == sum(segment.plain_bytes for segment in segments)
    assert crc == zlib.crc32(zlib.decompress(runs, -15))


def test_zip_made_on_the_way_has_a_descriptor_and_no_length() -> None:
    store, segments = store_of([{"a": 1}])
    answer = render(store, segments, "csv", "zip", entry_name="a.csv")
    assert answer.content_length is None
    content = body(answer)
    assert struct.unpack_from("<6xH", content)[0] & 0x08
    assert b"PK\x07\x08" in content


class Sparse(io.RawIOBase):
    """An archive whose entry is so long that only its ends are there."""

    def __init__(self, head: bytes, packed_bytes: int, tail: bytes) -> None:
        self._parts = [(0, head), (len(head) + packed_bytes, tail)]
        self._length = len(head) + packed_bytes + len(tail)
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(offset + (0, self._at, self._length)[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._length if size < 0 else min(self._at + size, self._length)
        data = bytearray(end - self._at)
        for start, part in self._parts:
            for number in range(max(start, self._at), min(start + len(part), end)):
                data[number - self._at] = part[number - start]
        self._at = end
        return bytes(data)


@pytest.mark.parametrize(
    "stream",
    [
        Stream(1, FOUR_GIB + 5, 100),
        Stream(2, FOUR_GIB - 1, 100),
        Stream(3, 5 * FOUR_GIB, FOUR_GIB + 7),
        Stream(4, FOUR_GIB - 2, FOUR_GIB - 2),
        Stream(5, FOUR_GIB - 2, FOUR_GIB - 40),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_an_archive_of_more_than_four_gibibytes_is_read(stream: Stream, is_known: bool) -> None:
    archive = ZipArchive("a.jsonl")
    most_bytes = max(stream.plain_bytes, stream.packed_bytes)
    known = archive.around(stream)
    head, tail = known if is_known else (archive.head(most_bytes), archive.tail(stream, most_bytes))
    with zipfile.ZipFile(Sparse(head, stream.packed_bytes, tail)) as found:
        (entry,) = found.infolist()
        assert (entry.CRC, entry.file_size, entry.compress_size) == (
            stream.crc32,
            stream.plain_bytes,
            stream.packed_bytes,
        )
        with found.open(entry):  # reads the local header
            pass


def test_a_small_archive_has_nothing_of_zip64() -> None:
    archive = ZipArchive("a")
    for parts in (archive.around(Stream(1, 2, 3)), (archive.head(4), archive.tail(Stream(1, 2, 3), 4))):
        assert b"PK\x06\x06" not in b"".join(parts)
        assert len(parts[0]) == 30 + len("a")


def test_the_name_is_part_of_what_an_etag_tells_apart() -> None:
    store, segments = store_of([{"a": 1}])
    tags = {render(store, segments, "jsonl", "zip", entry_name=name).etag for name in ("a", "b")}
    assert len(tags) == 2
    assert len({render(store, segments, "jsonl", "gzip", entry_name=name).etag for name in ("a", "b")}) == 1


class _Short(io.RawIOBase):
    """Gives as many bytes as it likes, as a socket does."""

    def __init__(self, source: io.BytesIO, most: int) -> None:
        self._source, self._most = source, most

    def read(self, size: int = -1) -> bytes:
        return self._source.read(min(size, self._most))


@pytest.mark.parametrize("compress", ["gzip", "zip"])
@pytest.mark.parametrize("encoding", ["deflate", "plain"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_bytes_do_not_depend_on_how_the_store_gives_them_out(
    fmt: Format, encoding: Encoding, compress: packing.Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(1)
    records = [
        {"id": number, "name": f"n{noise.randrange(1000)}", "x": noise.randbytes(5).hex()} for number in range(20_000)
    ]
    store, segments = one_segment(jsonl(records), len(records), encoding)
    whole = body(render(store, segments, fmt, compress))
    opened = store.open
    monkeypatch.setattr(store, "open", lambda key, offset=0: _Short(opened(key, offset), 997))  # type: ignore[arg-type]
    assert body(render(store, segments, fmt, compress)) == whole
