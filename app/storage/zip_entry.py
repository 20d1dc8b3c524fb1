"""Where the one file of a zip archive lies in it (APPNOTE 6.3.10: 4.3.7 local header, 4.3.12-16 directory, 4.5.3).

Read from the directory at the end, before a byte is given out: an archive of several files is refused whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from app.storage.objects import ObjectStore

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR_64 = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MARK_END, _MARK_LOCATOR_64, _MARK_END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_MARK_ENTRY, _MARK_LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_LONGEST_COMMENT = 0xFFFF
_NEED_64 = 0xFFFFFFFF
_EXTRA_64 = 0x0001
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
STORED, DEFLATED = 0, 8
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 99: "AES"}
_MOST_DIRECTORY_BYTES = 1024 * 1024
_ACCEPTED = "accepted: a zip archive of exactly one file"


class ArchiveError(ValueError):
    """The archive is damaged, or holds something else than one file that can be unpacked."""


@dataclass(frozen=True)
class ZipEntry:
    """The packed bytes are [start, end) of the object; `method` is STORED or DEFLATED."""

    start: int
    end: int
    method: int
    plain_bytes: int
    crc32: int


@dataclass(frozen=True)
class _Listed:
    """What the directory tells of a file."""

    name: bytes
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    plain_bytes: int
    header_at: int

    @property
    def counts(self) -> bool:
        """Folders, and what macOS puts beside each file, are nobody's rows."""
        return not self.name.endswith(b"/") and not self.name.startswith(b"__MACOSX/")


def find_entry(store: ObjectStore, key: str) -> ZipEntry:
    """The one file in the archive. Raises ArchiveError, and what the store raises."""
    size = store.size(key)
    start, end, count = _directory_place(store, key, size)
    if end - start > _MOST_DIRECTORY_BYTES or not start <= end <= size:
        raise ArchiveError(f"the zip archive lists {count} files or its directory is damaged; {_ACCEPTED}")
    files = [each for each in _listed(store.read(key, start, end)) if each.counts]
    if len(files) != 1:
        names = ", ".join(repr(each.name[:40].decode(errors="replace")) for each in files[:3])
        raise ArchiveError(f"the zip archive holds {len(files)} files{names and f' ({names} ...)'}; {_ACCEPTED}")
    return _located(store, key, files[0], start)


def _directory_place(store: ObjectStore, key: str, size: int) -> tuple[int, int, int]:
    """Start and end of the directory, and how many files it says to list."""
    tail_at = max(size - _END.size - _LONGEST_COMMENT - _LOCATOR_64.size, 0)
    tail = store.read(key, tail_at, size)
    end_at = tail.rfind(_MARK_END, 0, len(tail) - _END.size + len(_MARK_END))
    if end_at < 0:
        raise ArchiveError("the zip archive is cut short: its directory is missing")
    _, disk, first_disk, _, count, directory_bytes, start, _ = _END.unpack_from(tail, end_at)
    locator_at = end_at - _LOCATOR_64.size
    if locator_at >= 0 and tail.startswith(_MARK_LOCATOR_64, locator_at):
        _, _, end_64_at, _ = _LOCATOR_64.unpack_from(tail, locator_at)
        count, directory_bytes, start = _end_64(store, key, end_64_at, size)
    elif disk or first_disk:
        raise ArchiveError(f"the zip archive is one of several volumes; {_ACCEPTED}")
    return start, start + directory_bytes, count


def _end_64(store: ObjectStore, key: str, at: int, size: int) -> tuple[int, int, int]:
    if at + _END_64.size > size:
        raise ArchiveError("the zip archive is damaged: its ZIP64 directory is not where it should be")
    mark, _, _, _, _, _, _, count, directory_bytes, start = _END_64.unpack(store.read(key, at, at + _END_64.size))
    if mark != _MARK_END_64:
        raise ArchiveError("the zip archive is damaged: its ZIP64 directory is not where it should be")
    return count, directory_bytes, start


def _listed(directory: bytes) -> Iterator[_Listed]:
    at = 0
    while at < len(directory):
        if at + _ENTRY.size > len(directory) or not directory.startswith(_MARK_ENTRY, at):
            raise ArchiveError("the zip archive is damaged: its directory cannot be read")
        (_, _, _, flags, method, _, _, crc32, packed, plain, name_bytes, extra_bytes, comment_bytes, _, _, _, place) = (
            _ENTRY.unpack_from(directory, at)
        )
        name_at = at + _ENTRY.size
        extra_at = name_at + name_bytes
        extra = directory[extra_at : extra_at + extra_bytes]
        plain, packed, place = _full_sizes(extra, plain, packed, place)
        yield _Listed(directory[name_at:extra_at], flags, method, crc32, packed, plain, place)
        at = extra_at + extra_bytes + comment_bytes


def _full_sizes(extra: bytes, *sizes: int) -> tuple[int, int, int]:
    """The sizes, where they did not fit, from the ZIP64 field: only those, in this order (4.5.3)."""
    at, content = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _EXTRA_64:
            content = extra[at + 4 : at + 4 + length]
        at += 4 + length
    full = []
    for size in sizes:
        if size == _NEED_64 and len(content) >= 8:  # noqa: PLR2004 - bytes of a long size
            full.append(int.from_bytes(content[:8], "little"))
            content = content[8:]
        else:
            full.append(size)
    plain, packed, place = full
    return plain, packed, place


def _located(store: ObjectStore, key: str, listed: _Listed, directory_at: int) -> ZipEntry:
    if listed.flags & _ENCRYPTED:
        raise ArchiveError("the file in the zip archive is encrypted; accepted: one without a password")
    if listed.method not in {STORED, DEFLATED}:
        method = _METHODS.get(listed.method, f"method {listed.method}")
        raise ArchiveError(f"the file in the zip archive is packed with {method}; accepted: Deflate, or stored")
    at = listed.header_at
    header = store.read(key, at, at + _LOCAL.size) if at + _LOCAL.size <= directory_at else b""
    if not header.startswith(_MARK_LOCAL):
        raise ArchiveError("the zip archive is damaged: the file is not where its directory says")
    *_, name_bytes, extra_bytes = _LOCAL.unpack(header)
    start = at + _LOCAL.size + name_bytes + extra_bytes
    end = start + listed.packed_bytes
    if end > directory_at or (listed.method == STORED and listed.packed_bytes != listed.plain_bytes):
        raise ArchiveError("the zip archive is damaged: the sizes in its directory cannot be")
    return ZipEntry(start, end, listed.method, listed.plain_bytes, listed.crc32)
