"""Raw deflate runs, each closed by a full flush, as they lie in packed segments.

isal packs at level 1 about five times as fast as zlib. zlib reads and writes the same format, so it stands in on a
platform without the isal wheel.
"""

from collections.abc import Iterator
from typing import Any, Protocol

codec: Any
try:
    import isal
    from isal import isal_zlib as codec

    CODEC = f"isal {isal.__version__}"
except ImportError:  # pragma: no cover - the wheel is there on the platforms that are tested
    import zlib as codec

    CODEC = f"zlib {codec.ZLIB_RUNTIME_VERSION}"
"""Each packs the same content differently, so this is part of what an ETag stands for."""

EMPTY_FINAL_BLOCK = b"\x03\x00"  # ends a deflate stream whose runs were only flushed

_RAW = -15  # no header and no trailer, window of 32 KiB
_RAW_NEAR = -12
"""Window of 4 KiB: a small record has its like among the last few, and looking no further back leaves the processor's
first cache to them (decision 82)."""
_SMALL_RECORD_BYTES = 600
_MOST_PLAIN_BYTES = 1024 * 1024  # given out at once: repetitive or hostile data may expand a thousandfold


class Packer(Protocol):
    """A compressor. One a thread: it must not be shared."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class DamagedError(Exception):
    """The bytes are no deflate stream."""


def packer(record_bytes: int | None = None) -> Packer:
    """A compressor of raw deflate. `record_bytes`: how long the records are about, where the content is records."""
    is_near = record_bytes is not None and record_bytes <= _SMALL_RECORD_BYTES
    compressor: Packer = codec.compressobj(1, codec.DEFLATED, _RAW_NEAR if is_near else _RAW)
    return compressor


def full_flush(compressor: Packer) -> bytes:
    """What ends a run: the output stands on a byte's edge, and what follows never looks back over it."""
    return compressor.flush(codec.Z_FULL_FLUSH)


def crc32(data: bytes, value: int = 0) -> int:
    checksum: int = codec.crc32(data, value)
    return checksum


class Unpacker:
    """Inflates raw deflate runs in bounded pieces, whatever the ratio."""

    def __init__(self) -> None:
        self._inflater = codec.decompressobj(_RAW)

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """The plain pieces of these stored bytes, each at most 1 MiB; DamagedError if they make no sense."""
        while True:
            try:
                plain: bytes = self._inflater.decompress(packed, _MOST_PLAIN_BYTES)
            except codec.error as error:
                raise DamagedError(str(error)) from error
            if plain:
                yield plain
            packed = self._inflater.unconsumed_tail
            if not packed and len(plain) < _MOST_PLAIN_BYTES:  # a full piece: the inflater may hold more
                return
