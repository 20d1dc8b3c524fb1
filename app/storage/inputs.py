"""Uploaded files as plain bytes: as they lie, or inflated from gzip or zip in flat memory, within stated limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from app.domain.rows import UnreadableInputError
from app.storage.deflate import codec
from app.storage.objects import ObjectStore
from app.storage.zip_entry import STORED, ArchiveError, ZipEntry, find_entry

_PIECE_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
_FIRST_WINDOW_BYTES = 4 * 1024
"""What a gzip member does not use of a window is copied: small ones while members are small, so many cost little."""
_GZIP_WBITS, _RAW_WBITS = 31, -15
_MOST_EMPTY_MEMBERS = 10_000
_MOST_RATIO, _RATIO_COUNTS_FROM_BYTES = 300, 64 * 1024 * 1024
"""Rows that are nearly alike pack a hundredfold; what packs better beyond these bytes was made to."""
_SIGN_OF_LIFE_BYTES = 16 * 1024 * 1024

_GZIP_MARK = b"\x1f\x8b"
_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
_LONGEST_MARK = 8
_REFUSED_MARKS = {
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"\xfd7zXZ\x00": "packed with xz",
    b"BZh91AY&": "packed with bzip2",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"PK\x07\x08": "one volume of a zip archive of several",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "an old Excel workbook",
    b"PAR1": "a Parquet file",
}


class InputDamagedError(UnreadableInputError):
    """The file cannot be inflated (any further): damaged, cut short, not of a known kind, or larger than allowed."""


def plain_chunks(store: ObjectStore, key: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
    """The plain bytes of the file from `offset` on, in pieces of at most 256 KiB.

    gzip (one member or many) and zip (exactly one file, deflated or stored) are told by their first bytes. Of a packed
    file everything before `offset` is inflated again; an empty piece is given about every 16 MiB of that, so that the
    caller can show that it lives. Raises InputDamagedError, also once the plain file is larger than `limit_bytes` or
    packed more than 300 to 1, and what the store raises.
    """
    with store.open(key) as source:
        mark = source.read(_LONGEST_MARK)
    for refused, what in _REFUSED_MARKS.items():
        if mark.startswith(refused):
            raise InputDamagedError(
                f"the file is {what}; accepted: a CSV or JSON file, plain, or packed as gzip or zip"
            )
    if mark.startswith(_GZIP_MARK):
        yield from _Limited(limit_bytes, offset).rest(_gunzipped, store, key)
    elif mark.startswith(_ZIP_MARKS):
        yield from _Limited(limit_bytes, offset).rest(_unzipped, store, key)
    else:
        yield from _as_it_lies(store, key, limit_bytes, offset)


def _as_it_lies(store: ObjectStore, key: str, limit_bytes: int, offset: int) -> Iterator[bytes]:
    given = offset
    with store.open(key, offset) as source:
        while piece := source.read(_PIECE_BYTES):
            given += len(piece)
            _check_size(given, limit_bytes)
            yield piece


def _check_size(plain_bytes: int, limit_bytes: int) -> None:
    if plain_bytes > limit_bytes:
        raise InputDamagedError(
            f"the plain file is larger than {limit_bytes} bytes, which is the most that is accepted"
        )


_Inflating = Callable[[ObjectStore, str, "_Limited"], Iterator[bytes]]


class _Limited:
    """Counts what goes into an inflater and what comes out."""

    def __init__(self, limit_bytes: int, offset: int) -> None:
        self._limit_bytes = limit_bytes
        self._offset = offset
        self._plain_bytes = 0
        self.packed_bytes = 0
        """Read so far; whoever reads counts."""

    def rest(self, inflating: _Inflating, store: ObjectStore, key: str) -> Iterator[bytes]:
        """What comes out behind the offset."""
        next_sign = _SIGN_OF_LIFE_BYTES
        for piece in inflating(store, key, self):
            before = self._plain_bytes
            self._plain_bytes += len(piece)
            self._check()
            if self._plain_bytes > self._offset:
                yield piece[self._offset - before :] if before < self._offset else piece
            elif self._plain_bytes >= next_sign:
                next_sign += _SIGN_OF_LIFE_BYTES
                yield b""

    def _check(self) -> None:
        _check_size(self._plain_bytes, self._limit_bytes)
        if self._plain_bytes > _RATIO_COUNTS_FROM_BYTES and self._plain_bytes > _MOST_RATIO * self.packed_bytes:
            raise InputDamagedError(
                f"the file is packed more than {_MOST_RATIO} to 1, which no rows are; accepted: the plain file"
            )


def _gunzipped(store: ObjectStore, key: str, limited: _Limited) -> Iterator[bytes]:
    """The plain pieces of all members; zeros behind one are padding (some writers fill up blocks)."""
    with store.open(key) as source:
        members = _Members(source, limited)
        while members.begin():
            yield from members.inflated()


class _Members:
    """Gzip members one behind the other, read in windows."""

    def __init__(self, source: BinaryIO, limited: _Limited) -> None:
        self._source = source
        self._limited = limited
        self._packed = b""
        self._empty_in_a_row = 0
        self._is_first = True

    def begin(self) -> bool:
        """Stand before a member, if there is one more."""
        while True:
            if not self._is_first:
                self._packed = self._packed.lstrip(b"\0")
            self._is_first = False
            if self._packed:
                self._check_mark()
                return True
            if not self._read():
                return False

    def _check_mark(self) -> None:
        if not _GZIP_MARK.startswith(self._packed[: len(_GZIP_MARK)]):
            raise InputDamagedError("the gzip file is damaged: something follows that is no part of it")

    def _read(self) -> bool:
        self._packed = self._source.read(_READ_BYTES)
        self._limited.packed_bytes += len(self._packed)
        return bool(self._packed)

    def inflated(self) -> Iterator[bytes]:
        """The pieces of one member. Raises InputDamagedError."""
        inflater: Any = codec.decompressobj(_GZIP_WBITS)
        window_bytes, plain_bytes = _FIRST_WINDOW_BYTES, 0
        is_more_held = False
        while not inflater.eof:
            if not self._packed and not is_more_held and not self._read():
                raise InputDamagedError("the gzip file is cut short")
            window = self._packed[:window_bytes]
            piece = _decompressed(inflater, window, "gzip file")
            unused = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            self._packed = self._packed[len(window) - len(unused) :]
            window_bytes = min(2 * window_bytes, _READ_BYTES)
            is_more_held = len(piece) == _PIECE_BYTES
            if piece:
                plain_bytes += len(piece)
                yield piece
        self._empty_in_a_row = 0 if plain_bytes else self._empty_in_a_row + 1
        if self._empty_in_a_row > _MOST_EMPTY_MEMBERS:
            raise InputDamagedError(f"the gzip file has more than {_MOST_EMPTY_MEMBERS} empty members in a row")


def _decompressed(inflater: Any, packed: bytes, what: str) -> bytes:
    try:
        piece: bytes = inflater.decompress(packed, _PIECE_BYTES)
    except codec.error as error:
        raise InputDamagedError(f"the {what} is damaged ({error})") from None
    return piece


def _unzipped(store: ObjectStore, key: str, limited: _Limited) -> Iterator[bytes]:
    try:
        entry = find_entry(store, key)
    except ArchiveError as error:
        raise InputDamagedError(str(error)) from None
    checksum, plain_bytes = 0, 0
    for piece in _entry_pieces(store, key, entry, limited):
        checksum = codec.crc32(piece, checksum)
        plain_bytes += len(piece)
        yield piece
    if plain_bytes != entry.plain_bytes or checksum != entry.crc32:
        raise InputDamagedError("the file in the zip archive is damaged: its length or its checksum is wrong")


def _entry_pieces(store: ObjectStore, key: str, entry: ZipEntry, limited: _Limited) -> Iterator[bytes]:
    inflater: Any = codec.decompressobj(_RAW_WBITS)
    left = entry.end - entry.start
    with store.open(key, entry.start) as source:
        while left:
            packed = source.read(min(_READ_BYTES, left))
            if not packed:
                raise InputDamagedError("the zip archive is cut short")
            left -= len(packed)
            limited.packed_bytes += len(packed)
            if entry.method == STORED:
                yield packed
            else:
                yield from _inflated(inflater, packed)
    if entry.method != STORED and not inflater.eof:
        raise InputDamagedError("the file in the zip archive is cut short")


def _inflated(inflater: Any, packed: bytes) -> Iterator[bytes]:
    """All that comes out for this much; the inflater may hold more than one piece."""
    while not inflater.eof:
        piece = _decompressed(inflater, packed, "file in the zip archive")
        if piece:
            yield piece
        packed = inflater.unconsumed_tail
        if not packed and len(piece) < _PIECE_BYTES:
            return
