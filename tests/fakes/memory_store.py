"""Objects in a dict: for tests of what is stored, not of how."""

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from app.errors import ObjectMissingError
from app.storage.keys import checked_key
from app.storage.objects import ObjectStore, folder_prefix


class MemoryStore(ObjectStore):
    """Counts the bytes that readers took, so that a test can tell a seek from a scan."""

    url = "memory:"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.read_bytes = 0

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        self.objects[checked_key(key)] = b"".join(chunks)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        if key not in self.objects:
            raise ObjectMissingError(f"object {key} is missing")
        return _Counted(self, self.objects[key][offset:])

    def size(self, key: str) -> int:
        if key not in self.objects:
            raise ObjectMissingError(f"object {key} is missing")
        return len(self.objects[key])

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def delete_prefix(self, prefix: str) -> None:
        for key in list(self.list(folder_prefix(prefix))):
            del self.objects[key]

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def free_bytes(self) -> int | None:
        return None


class _Counted(io.BytesIO):
    def __init__(self, store: MemoryStore, content: bytes) -> None:
        super().__init__(content)
        self._store = store

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._store.read_bytes += len(data)
        return data
