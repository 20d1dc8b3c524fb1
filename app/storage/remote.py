"""What stores behind an SDK have in common: a client for each process, reads by windows, deletion of many keys.

The SDKs' own readers and batches bring retries that sleep longer than a worker may wait; single calls do not.
"""

from __future__ import annotations

import io
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

from app.errors import HaulageError, StorageError
from app.storage.keys import checked_key
from app.storage.objects import ObjectStore, folder_prefix

SINGLE_PUT_BYTES = 8 * 1024 * 1024
"""An object up to this size goes up in one call."""

PART_BYTES = 8 * 1024 * 1024
"""Of a larger one. Azure takes 50,000 parts, Google any number of them; it wants multiples of 256 KiB."""

WINDOW_BYTES = 2 * 1024 * 1024
"""What one call reads: most stored segments as a whole. So much memory does a reader take."""

_BUFFER_BYTES = 256 * 1024
_DELETERS = 8
_DELETE_BATCH = 1000


class RemoteStore(ObjectStore):
    """A store whose client is made at the first use in each process: a connection must not be shared across a fork."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self._prefix = prefix
        self._client: Any = None
        self._client_pid = 0
        self._lock = threading.Lock()

    @abstractmethod
    def fetch(self, name: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of an object by its full name, fewer where it ends before. Raises the SDK's errors."""

    @abstractmethod
    def translate(self, error: Exception, key: str) -> HaulageError:
        """Our error for one of the SDK's."""

    @abstractmethod
    def _connect(self) -> Any:
        """A client of the SDK."""

    @contextmanager
    @abstractmethod
    def _translated(self, key: str) -> Iterator[None]:
        """Errors of the SDK within the block become ours."""
        yield

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        body = _Windows(self, key, self._name(key), offset)
        body.begin()
        return io.BufferedReader(body, _BUFFER_BYTES)

    def read_window(self, key: str, name: str, start: int, end: int) -> bytes:
        """`fetch` with our errors."""
        with self._translated(key):
            return self.fetch(name, start, end)

    def read(self, key: str, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        data = self.read_window(key, self._name(key), start, end)
        if len(data) != end - start:
            raise StorageError(
                f"object {key} in {self.url} is shorter than expected: {start + len(data)} < {end} bytes"
            )
        return data

    def delete_prefix(self, prefix: str) -> None:
        keys = self.list(folder_prefix(prefix))
        with ThreadPoolExecutor(_DELETERS) as pool:
            while batch := list(islice(keys, _DELETE_BATCH)):
                list(pool.map(self.delete, batch))

    def free_bytes(self) -> int | None:
        return None

    def name_in_bucket(self, key: str) -> str:
        return self._name(key)

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _sdk(self) -> Any:
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client = self._connect()
                self._client_pid = os.getpid()
            return self._client


class _Windows(io.RawIOBase):
    """The rest of an object, a window at a time."""

    def __init__(self, store: RemoteStore, key: str, name: str, offset: int) -> None:
        self._store = store
        self._key = key
        self._name = name
        self._offset = offset
        self._window = memoryview(b"")
        self._is_last = False

    def begin(self) -> None:
        """Read the first window, so that a missing object shows at once."""
        end = self._offset + WINDOW_BYTES
        self._window = memoryview(self._store.read_window(self._key, self._name, self._offset, end))
        self._offset += len(self._window)
        self._is_last = len(self._window) < WINDOW_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._window and not self._is_last:
            self.begin()
        size = min(len(buffer), len(self._window))
        buffer[:size] = self._window[:size]
        self._window = self._window[size:]
        return size
