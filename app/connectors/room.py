"""How many rows go into one call."""

from __future__ import annotations

from app.connectors.write_bodies import UnsendableError, batch_body, batch_item, have_same_fields
from app.connectors.write_model import BatchSpec
from app.connectors.write_results import OutRow

_BETWEEN_ITEMS = 1


class Room:
    """What one call can still take. `spec` None: one row."""

    def __init__(self, spec: BatchSpec | None, identifier: str) -> None:
        self._spec, self._identifier = spec, identifier
        self._first: OutRow | None = None
        self._rows = spec.most_rows if spec is not None else 1
        self._bytes = _BETWEEN_ITEMS  # nothing stands before the first item
        if spec is not None:
            self._bytes += spec.most_bytes - len(batch_body(spec, (), identifier))

    def takes(self, row: OutRow) -> bool:
        """Whether `row` goes in behind those that were taken; then it is taken. The first one always does."""
        spec, first = self._spec, self._first
        size = _BETWEEN_ITEMS + (self._size(spec, row) if spec is not None else 0)
        if first is not None and not (self._rows > 0 and size <= self._bytes and self._is_alike(first, row)):
            return False
        self._first = first or row
        self._rows -= 1
        self._bytes -= size
        return True

    def _is_alike(self, first: OutRow, row: OutRow) -> bool:
        is_asked = self._spec is not None and self._spec.needs_same_fields
        return not is_asked or have_same_fields(first.record, row.record)

    def _size(self, spec: BatchSpec, row: OutRow) -> int:
        try:
            return len(batch_item(spec, row.record, self._identifier))
        except UnsendableError:
            return len(row.record)
