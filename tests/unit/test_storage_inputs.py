"""Uploaded files as plain bytes: every way of packing them, from any offset, and what is refused."""

import gzip
import io
import itertools
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import UnreadableInputError
from app.errors import ObjectMissingError
from app.storage import inputs
from app.storage.inputs import InputDamagedError, plain_chunks
from tests.fakes.memory_store import MemoryStore

GENEROUS = 1 << 30
TEXT = b"".join(b"%d,some text,%d\n" % (number, number * number) for number in range(30_000))


def plain(raw: bytes, offset: int = 0, limit_bytes: int = GENEROUS) -> bytes:
    store = MemoryStore()
    store.put("k", [raw])
    pieces = list(plain_chunks(store, "k", limit_bytes=limit_bytes, offset=offset))
    assert all(len(piece) <= 256 * 1024 for piece in pieces)
    return b"".join(pieces)


def refusal(raw: bytes, limit_bytes: int = GENEROUS) -> str:
    with pytest.raises(InputDamagedError) as refused:
        plain(raw, limit_bytes=limit_bytes)
    return refused.value.message


def gzipped(content: bytes, level: int = 9) -> bytes:
    return gzip.compress(content, level, mtime=0)


class _Unseekable(io.RawIOBase):
    """What zipfile writes with descriptors behind the data."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.written += data
        return len(data)


def zipped(
    files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, comment: bytes = b"", is_streamed: bool = False
) -> bytes:
    target = _Unseekable() if is_streamed else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return bytes(target.written) if isinstance(target, _Unseekable) else target.getvalue()


def zipped_long(content: bytes, *, is_streamed: bool = False) -> bytes:
    """With the fields of ZIP64 in the local header, as for a size that was not known."""
    target = _Unseekable() if is_streamed else io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as entry,
    ):
        entry.write(content)
    return bytes(target.written) if isinstance(target, _Unseekable) else target.getvalue()


def as_zip64(raw: bytes) -> bytes:
    """The same archive with its directory in the form that is needed above 4 GiB."""
    end_at = raw.rindex(b"PK\x05\x06")
    *_, directory_bytes, start, _ = struct.unpack("<4sHHHHIIH", raw[end_at:])
    entry = bytearray(raw[start:end_at])
    packed, size = struct.unpack_from("<II", entry, 20)
    name_bytes, extra_bytes = struct.unpack_from("<HH", entry, 28)
    struct.pack_into("<II", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<I", entry, 42, 0xFFFFFFFF)
    extra = struct.pack("<HHH", 0x9999, 2, 7) + struct.pack("<HHQQQ", 1, 24, size, packed, 0)
    struct.pack_into("<H", entry, 30, len(extra))
    assert (len(entry), extra_bytes) == (directory_bytes, 0)
    entry[46 + name_bytes : 46 + name_bytes] = extra
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(entry), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(entry), 1)
    short = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return raw[:start] + bytes(entry) + end + locator + short


PACKED = {
    "plain": TEXT,
    "gzip": gzipped(TEXT),
    "gzip, many members": b"".join(gzipped(TEXT[at : at + 50_000]) for at in range(0, len(TEXT), 50_000)),
    "gzip, tiny members": b"".join(gzipped(TEXT[at : at + 100]) for at in range(0, len(TEXT), 100)),
    "gzip, padded": gzipped(TEXT[:1000]) + bytes(100_000) + gzipped(TEXT[1000:]) + bytes(511),
    "gzip, stored": gzipped(TEXT, 0),
    "gzip, named": b"\x1f\x8b\x08\x08\0\0\0\0\0\xffdata.csv\0" + gzipped(TEXT)[10:],
    "zip": zipped({"a.csv": TEXT}),
    "zip, stored": zipped({"a.csv": TEXT}, zipfile.ZIP_STORED),
    "zip, streamed": zipped({"a.csv": TEXT}, is_streamed=True),
    "zip, stored and streamed": zipped({"a.csv": TEXT}, zipfile.ZIP_STORED, is_streamed=True),
    "zip, commented": zipped({"a.csv": TEXT}, comment=b"x" * 60_000),
    "zip, in a folder": zipped({"data/": b"", "data/a.csv": TEXT}),
    "zip, of macOS": zipped({"a.csv": TEXT, "__MACOSX/._a.csv": b"attributes"}),
    "zip64": zipped_long(TEXT),
    "zip64, streamed": zipped_long(TEXT, is_streamed=True),
    "zip64, large directory": as_zip64(zipped({"a.csv": TEXT})),
}


@pytest.mark.parametrize("kind", PACKED)
def test_the_plain_bytes_are_given_from_any_offset(kind: str) -> None:
    for offset in (0, 1, 65_535, 65_536, len(TEXT) - 1, len(TEXT), len(TEXT) + 7):
        assert plain(PACKED[kind], offset) == TEXT[offset:]


@pytest.mark.parametrize("empty", [b"", gzipped(b""), gzipped(b"") * 3, zipped({"a": b""})], ids=range(4))
def test_an_empty_file_is_empty(empty: bytes) -> None:
    assert plain(empty) == b""
    assert plain(empty, 5) == b""


def test_a_plain_file_is_not_read_before_the_offset() -> None:
    store = MemoryStore()
    store.put("k", [TEXT])
    assert b"".join(plain_chunks(store, "k", limit_bytes=GENEROUS, offset=len(TEXT) - 10)) == TEXT[-10:]
    assert store.read_bytes < 100


@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind != "plain"])
def test_a_file_that_is_cut_is_damaged(kind: str) -> None:
    small = b"one,two\n" * 40
    raw = {
        "gzip": gzipped(small),
        "zip": zipped({"a": small}),
        "zip, stored": zipped({"a": small}, zipfile.ZIP_STORED),
    }.get(kind)
    cuts = range(4, len(raw)) if raw else (4, 20, len(PACKED[kind]) * 2 // 3)
    for cut in cuts:
        store = MemoryStore()
        store.put("k", [(raw or PACKED[kind])[:cut]])
        given_bytes = b""
        try:
            for piece in plain_chunks(store, "k", limit_bytes=GENEROUS):
                given_bytes += piece
        except InputDamagedError:
            continue
        # Between two members nobody can tell; all that was given is right.
        assert "members" in kind or "padded" in kind
        assert TEXT.startswith(given_bytes)


@given(st.integers(0), st.integers(0, 7), st.sampled_from(["gzip", "zip"]))
def test_a_flipped_bit_is_told_or_changes_nothing(at: int, bit: int, kind: str) -> None:
    content = b"1,Jane Doe,jane@example.com\n" * 20
    raw = bytearray(gzipped(content) if kind == "gzip" else zipped({"a.csv": content}))
    raw[at % len(raw)] ^= 1 << bit
    try:
        found = plain(bytes(raw))
    except InputDamagedError:
        return
    assert found in {content, bytes(raw)}  # without its mark it is no packed file


REFUSED = {
    "garbage behind": (gzipped(b"x") + b"garbage", "something follows"),
    "half a mark behind": (gzipped(b"x") + b"\x1f", "cut short"),
    "wrong checksum": (gzipped(b"x")[:-8] + bytes(8), "damaged"),
    "half a header": (b"\x1f\x8b\x08", "cut short"),
    "no file": (zipped({}), "holds 0 files; accepted: a zip archive of exactly one file"),
    "two files": (zipped({"a.csv": b"x", "b.csv": b"y"}), "holds 2 files ('a.csv', 'b.csv'"),
    "long directory": (zipped({"x" * 60_000 + str(number): b"" for number in range(20)}), "lists 20 files"),
    "bzip2 in zip": (zipped({"a": b"x" * 99}, zipfile.ZIP_BZIP2), "packed with bzip2; accepted: Deflate"),
    "LZMA in zip": (zipped({"a": b"x" * 99}, zipfile.ZIP_LZMA), "packed with LZMA"),
    "encrypted": (
        zipped({"a": b"x"}).replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"),
        "encrypted",
    ),
    "half a zip": (b"PK\x03\x04", "cut short"),
    "no directory": (b"PK\x03\x04" + b"x" * 200_000, "cut short"),
    "Zstandard": (
        b"\x28\xb5\x2f\xfdxxxx",
        "packed with Zstandard; accepted: a CSV or JSON file, plain, or packed as gzip or zip",
    ),
    "Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
    "bzip2": (b"BZh91AY&SY", "bzip2"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_accepted_is_refused_by_name(kind: str) -> None:
    raw, told = REFUSED[kind]
    assert told in refusal(raw)


def test_the_refusal_is_one_of_unreadable_input() -> None:
    assert issubclass(InputDamagedError, UnreadableInputError)
    store = MemoryStore()
    with pytest.raises(ObjectMissingError):
        next(plain_chunks(store, "k", limit_bytes=GENEROUS))


@pytest.mark.parametrize("kind", ["plain", "gzip", "gzip, tiny members", "zip", "zip, stored"])
def test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(kind: str) -> None:
    assert plain(PACKED[kind], limit_bytes=len(TEXT)) == TEXT
    assert plain(PACKED[kind], offset=len(TEXT) - 1, limit_bytes=len(TEXT)) == TEXT[-1:]
    assert str(len(TEXT) - 1) in refusal(PACKED[kind], limit_bytes=len(TEXT) - 1)


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"a": content})])
def test_a_bomb_ends_in_flat_memory(pack: object) -> None:
    assert callable(pack)
    raw = pack(bytes(80 * 1024 * 1024))
    store = MemoryStore()
    store.put("k", [raw])
    sizes: list[int] = []
    tracemalloc.start()
    try:
        with pytest.raises(InputDamagedError, match="more than 300 to 1"):
            sizes.extend(map(len, plain_chunks(store, "k", limit_bytes=GENEROUS)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) <= inputs._RATIO_COUNTS_FROM_BYTES
    assert peak < 4_000_000


def test_rows_that_pack_well_are_no_bomb() -> None:
    content = b"".join(b"%d,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,true\n" % number for number in range(1_700_000))
    assert len(content) > inputs._RATIO_COUNTS_FROM_BYTES
    assert zlib.crc32(plain(gzipped(content))) == zlib.crc32(content)


def test_members_without_content_come_to_an_end() -> None:
    empty = gzipped(b"")
    assert plain(empty * 5000 + gzipped(b"x") + empty * 5000) == b"x"
    assert "empty members" in refusal(empty * 10_002)


def test_a_sign_of_life_is_given_while_skipping() -> None:
    raw = gzipped(b"0123456789abcdef" * (40 * 65536))
    store = MemoryStore()
    store.put("k", [raw])
    offset = 40 * 1024 * 1024 - 1
    pieces = list(itertools.islice(plain_chunks(store, "k", limit_bytes=GENEROUS, offset=offset), 4))
    assert pieces == [b"", b"", b"f"]
