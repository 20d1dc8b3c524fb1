"""What was used last, within so many bytes."""

from __future__ import annotations

from collections import OrderedDict

_ENTRY_BYTES = 200
"""What an entry takes beside its text, about."""


class Recent:
    """Texts by name; the one that was not used for longest goes first. None is a text that is known not to be."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes | None] = OrderedDict()
        self.size_bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def get(self, name: str) -> bytes | None:
        """It is used now. Raises KeyError."""
        self._kept.move_to_end(name)
        return self._kept[name]

    def put(self, name: str, text: bytes | None) -> None:
        """Keep it, if it is no larger than all that may be kept."""
        if name in self._kept:
            self.size_bytes -= _size(name, self._kept.pop(name))
        self._kept[name] = text
        self.size_bytes += _size(name, text)
        while self.size_bytes > self._most_bytes:
            self.size_bytes -= _size(*self._kept.popitem(last=False))


def _size(name: str, text: bytes | None) -> int:
    return _ENTRY_BYTES + len(name) + len(text or b"")
