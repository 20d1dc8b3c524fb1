"""What a leg has fetched and not yet committed: records on their way into immutable segments."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from app.db.slices import Claim
from app.domain.segments import Encoding, Segment, segment_key
from app.domain.selection import Record
from app.services.lane import Lane
from app.storage.columns import ColumnScanner
from app.storage.objects import ObjectStore
from app.storage.segments import BuiltSegment, SegmentBuilder

_SLICE_BYTES = 128 * 1024
"""What is packed in one go: small enough to lie in the processor's cache from cutting to packing, and no smaller, as
each turn of the packer has its price."""

_HANDED_BYTES = 512 * 1024
"""The same for a packer beside the leg, whose caches are others: each piece costs both threads turns at Python's lock.
"""

_MAX_WAITING_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Sealed:
    """What one checkpoint will commit. Its segments are stored beside the leg."""

    record_count: int
    plain_bytes: int
    _cut: Future[Future[list[Segment]]]
    """Cut, and on its way into the store."""

    @property
    def is_stored(self) -> bool:
        """True once `segments` answers without waiting (perhaps with an error)."""
        return self._cut.done() and (self._cut.exception() is not None or self._cut.result().done())

    def segments(self) -> list[Segment]:
        """All of them, in order, stored for good. Waits for that. Raises the storage errors."""
        return self._cut.result().result()


class Output:
    """Records go in, stored segments come out. A segment is stored when it is full or when a checkpoint is sealed.

    The leg packs, while the next page, already asked for, comes into the buffers of the system; what is packed is
    stored by a thread beside it. That thread packs as well where the vendor's answers came compressed: inflating keeps
    the leg busy then, and the vendor's machine has nothing to do meanwhile.

    Nothing here counts until `app.db.checkpoints.advance` has committed it; a key is never written twice because it
    carries the claim number and a random part.
    """

    def __init__(self, store: ObjectStore, claim: Claim, *, encoding: Encoding, columns: Sequence[str] | None) -> None:
        self._store = store
        self._claim = claim
        self._encoding = encoding
        self._nonce = secrets.token_hex(4)
        self._packing = Lane(_MAX_WAITING_BYTES)
        self._storing = Lane(_MAX_WAITING_BYTES)
        self._scanner = None if columns is None else ColumnScanner(columns)
        self._builder = SegmentBuilder(encoding, scanner=self._scanner)
        self._blocks: list[bytes] = []
        self._blocks_bytes = self._blocks_records = 0
        self._is_packed_beside: bool | None = None
        """Who has the builder and the scanner: the lane's thread or the leg. The first page decides."""
        self._committed_count = 0
        self.record_count = 0
        self.plain_bytes = 0
        # From here on only the storing lane's thread touches it.
        self._sequence = claim.sequence
        self._unsealed: list[Segment] = []
        self._keys: list[str] = []

    def add(self, records: Sequence[Record], size_bytes: int, *, came_packed: bool = False) -> None:
        """Take in one page's records, each on one line; `size_bytes`: how long they are together, about.

        `came_packed`: the vendor had compressed them.

        Raises the storage errors of what was added before; then nothing of what is uncommitted counts.
        """
        if self._is_packed_beside is None:
            self._is_packed_beside = came_packed
        slice_bytes = _HANDED_BYTES if self._is_packed_beside else _SLICE_BYTES
        step = max(1, len(records) * slice_bytes // max(size_bytes, 1))
        for start in range(0, len(records), step):
            part = records if step >= len(records) else records[start : start + step]
            block = b"\n".join([*part, b""])
            self._blocks.append(block)
            self._blocks_bytes += len(block)
            self._blocks_records += len(part)
            self.record_count += len(part)
            self.plain_bytes += len(block)
            if self._blocks_bytes >= slice_bytes // 2:
                self._close_slice()

    def _close_slice(self) -> None:
        blocks, record_count = self._blocks, self._blocks_records
        self._blocks, self._blocks_bytes, self._blocks_records = [], 0, 0
        block = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        if self._is_packed_beside:
            self._packing.add(lambda: self._pack(block, record_count), len(block))
        else:
            self._pack(block, record_count)

    def _pack(self, block: bytes, record_count: int) -> None:
        """Hands the segment on that is full now, if any. In the thread that has the builder."""
        self._builder.add(block, record_count)
        if self._builder.is_full:
            built = self._cut()
            self._storing.add(lambda: self._put(built), built.stored_bytes)

    def _cut(self) -> BuiltSegment:
        built = self._builder.finish()
        self._builder = SegmentBuilder(self._encoding, scanner=self._scanner)
        return built

    def seal(self) -> Sealed:
        """All that was added since the last time, on its way into the store. Raises as `add` does."""
        if self._blocks:
            self._close_slice()
        if self._is_packed_beside:
            cut = self._packing.ask(self._cut_last)
        else:
            cut = Future()
            cut.set_result(self._cut_last())
        sealed = Sealed(self.record_count, self.plain_bytes, cut)
        self.record_count = self.plain_bytes = 0
        return sealed

    def _cut_last(self) -> Future[list[Segment]]:
        built = self._cut()
        return self._storing.ask(lambda: self._put_last(built))

    def committed(self, segment_count: int) -> None:
        """So many more segments count now, the oldest ones."""
        self._committed_count += segment_count

    def discard(self) -> list[str]:
        """End, and forget what is not committed. Returns the keys of the objects that were stored for it."""
        self.close()
        return self._keys[self._committed_count :]

    def close(self) -> None:
        """End; everything is committed or discarded."""
        self._packing.close()  # it may wait for room in the other
        self._storing.close()

    # In the storing lane's thread -------------------------------------------------------------------------------------

    def _put(self, built: BuiltSegment) -> None:
        key = segment_key(
            self._claim.job_id,
            self._claim.run_number,
            self._claim.slice_number,
            self._sequence,
            self._claim.number,
            self._nonce,
            encoding=self._encoding,
        )
        self._store.put(key, built.data)
        self._keys.append(key)
        self._unsealed.append(built.as_segment(key))
        self._sequence += 1

    def _put_last(self, built: BuiltSegment) -> list[Segment]:
        """Of what is sealed; all of its segments."""
        if built.record_count:
            self._put(built)
        stored, self._unsealed = self._unsealed, []
        return stored
