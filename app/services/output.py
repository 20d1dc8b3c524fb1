"""What a leg has fetched and not yet committed: blocks of JSON Lines on their way into immutable segments."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from app.db.slices import Claim
from app.domain.segments import Encoding, Segment, segment_key
from app.services.lane import Lane
from app.storage.columns import ColumnScanner
from app.storage.objects import ObjectStore
from app.storage.segments import SegmentBuilder

_HAND_OVER_BYTES = 1024 * 1024
"""Blocks go to the other thread in portions: each hand-over, and each turn of the interpreter's lock, has its price."""

_MAX_WAITING_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True)
class Sealed:
    """What one checkpoint will commit. Its segments are stored beside the leg."""

    record_count: int
    plain_bytes: int
    _stored: Future[list[Segment]]

    @property
    def is_stored(self) -> bool:
        """True once `segments` answers without waiting (perhaps with an error)."""
        return self._stored.done()

    def segments(self) -> list[Segment]:
        """All of them, in order, stored for good. Waits for that. Raises the storage errors."""
        return self._stored.result()


class Output:
    """Blocks go in, stored segments come out. A segment is stored when it is full or when a checkpoint is sealed.

    Packing and storing happen in a thread beside the leg's. Nothing here counts until `app.db.slices.advance` has
    committed it; a key is never written twice because it carries the claim number and a random part.
    """

    def __init__(self, store: ObjectStore, claim: Claim, *, encoding: Encoding, columns: Sequence[str] | None) -> None:
        self._store = store
        self._claim = claim
        self._encoding = encoding
        self._nonce = secrets.token_hex(4)
        self._lane = Lane(_MAX_WAITING_BYTES)
        self._blocks: list[bytes] = []
        self._blocks_bytes = self._blocks_records = 0
        self._committed_count = 0
        self.record_count = 0
        self.plain_bytes = 0
        # From here on only the lane's thread touches it.
        self._sequence = claim.sequence
        self._scanner = None if columns is None else ColumnScanner(columns)
        self._builder = SegmentBuilder(encoding, scanner=self._scanner)
        self._unsealed: list[Segment] = []
        self._keys: list[str] = []

    def add(self, block: bytes, record_count: int) -> None:
        """Take in one page's records as JSON Lines.

        Raises the storage errors of what was added before; then nothing of what is uncommitted counts.
        """
        if not record_count:
            return
        self._blocks.append(block)
        self._blocks_bytes += len(block)
        self._blocks_records += record_count
        self.record_count += record_count
        self.plain_bytes += len(block)
        if self._blocks_bytes >= _HAND_OVER_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        blocks, size_bytes, record_count = self._blocks, self._blocks_bytes, self._blocks_records
        self._blocks, self._blocks_bytes, self._blocks_records = [], 0, 0
        self._lane.add(lambda: self._pack(blocks, record_count), size_bytes)

    def seal(self) -> Sealed:
        """All that was added since the last time, on its way into the store. Raises as `add` does."""
        if self._blocks:
            self._hand_over()
        sealed = Sealed(self.record_count, self.plain_bytes, self._lane.ask(self._store_all))
        self.record_count = self.plain_bytes = 0
        return sealed

    def committed(self, segment_count: int) -> None:
        """So many more segments count now, the oldest ones."""
        self._committed_count += segment_count

    def discard(self) -> list[str]:
        """End, and forget what is not committed. Returns the keys of the objects that were stored for it."""
        self._lane.close()
        return self._keys[self._committed_count :]

    def close(self) -> None:
        """End; everything is committed or discarded."""
        self._lane.close()

    # In the lane's thread ---------------------------------------------------------------------------------------------

    def _pack(self, blocks: list[bytes], record_count: int) -> None:
        self._builder.add(blocks[0] if len(blocks) == 1 else b"".join(blocks), record_count)
        if self._builder.is_full:
            self._store_segment()

    def _store_segment(self) -> None:
        built = self._builder.finish()
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
        self._builder = SegmentBuilder(self._encoding, scanner=self._scanner)

    def _store_all(self) -> list[Segment]:
        if self._builder.record_count:
            self._store_segment()
        stored, self._unsealed = self._unsealed, []
        return stored
