"""What a leg has fetched and not yet committed: blocks of JSON Lines on their way into immutable segments."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from app.db.slices import Claim
from app.domain.segments import Encoding, Segment, segment_key
from app.storage.columns import ColumnScanner
from app.storage.objects import ObjectStore
from app.storage.segments import SegmentBuilder


class Output:
    """Blocks go in, stored segments come out. A segment is stored when it is full or at a checkpoint.

    Nothing here counts until `app.db.slices.advance` has committed it; a key is never written twice because it
    carries the claim number and a random part.
    """

    def __init__(self, store: ObjectStore, claim: Claim, *, encoding: Encoding, columns: Sequence[str] | None) -> None:
        self._store = store
        self._claim = claim
        self._encoding = encoding
        self._scanner = None if columns is None else ColumnScanner(columns)
        self._nonce = secrets.token_hex(4)
        self._sequence = claim.sequence
        self._builder = self._new_builder()
        self._stored: list[Segment] = []
        self.record_count = 0
        self.plain_bytes = 0

    def _new_builder(self) -> SegmentBuilder:
        return SegmentBuilder(self._encoding, scanner=self._scanner)

    def add(self, block: bytes, record_count: int) -> None:
        """Take in one page's records as JSON Lines. Stores a segment when enough has come together.

        Raises the storage errors; then nothing of what is uncommitted counts.
        """
        if not record_count:
            return
        self._builder.add(block, record_count)
        self.record_count += record_count
        self.plain_bytes += len(block)
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
        self._stored.append(built.as_segment(key))
        self._sequence += 1
        self._builder = self._new_builder()

    def seal(self) -> list[Segment]:
        """Store what is left and return every segment that waits for its commit, in order."""
        if self._builder.record_count:
            self._store_segment()
        return list(self._stored)

    def committed(self) -> None:
        """The sealed segments count now."""
        self._stored.clear()
        self.record_count = 0
        self.plain_bytes = 0

    def discard(self) -> list[str]:
        """Forget what is not committed. Returns the keys of the objects that were stored for it."""
        keys = [segment.object_key for segment in self._stored]
        self.committed()
        self._builder = self._new_builder()
        return keys
