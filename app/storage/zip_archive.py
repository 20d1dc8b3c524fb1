"""A zip archive of one deflated entry (APPNOTE 6.3.10: 4.3.7 local header, 4.3.9 descriptor, 4.3.12-16 directory).

Sizes that are known stand in the local header, so that a reader of streams needs no descriptor. ZIP64 is used only
where a size may need it: readers of streams that are older than it take the longer descriptor for damage.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from app.storage.packing import Compression, Stream

_NEED_64 = 0xFFFFFFFF
_VERSION, _VERSION_64 = 20, 45
_MADE_BY_UNIX = 3 << 8
_PLAIN_FILE = 0o100644 << 16
_UTF8_NAME = 0x800
_DESCRIPTOR_FOLLOWS = 0x08
_DEFLATE = 8
_MIDNIGHT, _FIRST_DAY = 0, 1 << 5 | 1  # 1980-01-01: the same bytes each time
_EXTRA_64 = 0x0001


@dataclass(frozen=True, slots=True)
class ZipArchive:
    """What stands around the entry `name` (`app.storage.packing.Envelope`)."""

    name: str

    @property
    def coding(self) -> Compression:
        return "zip"

    @property
    def identity(self) -> str:
        return f"zip {self.name}"

    def around(self, stream: Stream) -> tuple[bytes, bytes]:
        is_long = max(stream.plain_bytes, stream.packed_bytes) >= _NEED_64
        head = self._local_header(stream, is_long, _UTF8_NAME)
        return head, self._directory(stream, len(head), 0, is_long, _UTF8_NAME)

    def head(self, most_bytes: int) -> bytes:
        return self._local_header(Stream(0, 0, 0), most_bytes >= _NEED_64, _UTF8_NAME | _DESCRIPTOR_FOLLOWS)

    def tail(self, stream: Stream, most_bytes: int) -> bytes:
        is_long = most_bytes >= _NEED_64
        form = "<4sIQQ" if is_long else "<4sIII"
        descriptor = struct.pack(form, b"PK\x07\x08", stream.crc32, stream.packed_bytes, stream.plain_bytes)
        flags = _UTF8_NAME | _DESCRIPTOR_FOLLOWS
        head_bytes = len(self.head(most_bytes))
        return descriptor + self._directory(stream, head_bytes, len(descriptor), is_long, flags)

    def _local_header(self, stream: Stream, is_long: bool, flags: int) -> bytes:
        name = self.name.encode()
        extra = _extra(stream) if is_long else b""
        fields = _entry_fields(stream, is_long, flags, len(name), len(extra))
        return b"PK\x03\x04" + fields + name + extra

    def _directory(self, stream: Stream, head_bytes: int, descriptor_bytes: int, is_long: bool, flags: int) -> bytes:
        name = self.name.encode()
        extra = _extra(stream) if is_long else b""
        fields = _entry_fields(stream, is_long, flags, len(name), len(extra))
        version_made_by = _MADE_BY_UNIX | (_VERSION_64 if is_long else _VERSION)
        places = struct.pack("<HHHII", 0, 0, 0, _PLAIN_FILE, 0)  # no comment, first disk, offset 0
        entry = b"PK\x01\x02" + struct.pack("<H", version_made_by) + fields + places + name + extra
        start = head_bytes + stream.packed_bytes + descriptor_bytes
        return entry + _end(len(entry), start)


def _entry_fields(stream: Stream, is_long: bool, flags: int, name_bytes: int, extra_bytes: int) -> bytes:
    """What local header and directory have in common."""
    return struct.pack(
        "<HHHHHIIIHH",
        _VERSION_64 if is_long else _VERSION,
        flags,
        _DEFLATE,
        _MIDNIGHT,
        _FIRST_DAY,
        stream.crc32,
        _NEED_64 if is_long else stream.packed_bytes,
        _NEED_64 if is_long else stream.plain_bytes,
        name_bytes,
        extra_bytes,
    )


def _extra(stream: Stream) -> bytes:
    return struct.pack("<HHQQ", _EXTRA_64, 16, stream.plain_bytes, stream.packed_bytes)


def _end(directory_bytes: int, start: int) -> bytes:
    """The end of the central directory, which begins at byte `start`."""
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, directory_bytes, min(start, _NEED_64), 0)
    if start < _NEED_64:
        return end
    version = _MADE_BY_UNIX | _VERSION_64
    end_64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, version, _VERSION_64, 0, 0, 1, 1, directory_bytes, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + directory_bytes, 1)
    return end_64 + locator + end
