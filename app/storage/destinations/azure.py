"""Containers of Azure Blob Storage.

A block that is not committed belongs to its blob, whoever sent it: the next list that anybody commits to that blob
drops it, and nobody can delete it alone. So a large object is sent to a blob of its attempt's own name, which can be
deleted, and which is committed in `publish`. From there Azure copies it to its place by itself, as blocks that count
once their list is committed: under the condition that what is there is still what was seen. A small object is sent when
it is published, in one call under that condition.

Sources: learn.microsoft.com/rest/api/storageservices, "Put Block List", "Put Block From URL", "Get Block List",
"Specifying conditional headers for Blob service operations"; "Scalability targets for Blob Storage" for the limits.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from app.errors import HaulageError, StorageError, StorageUnavailableError
from app.storage.destinations.azure_account import read_account
from app.storage.destinations.azure_container import AzureContainer, block_id
from app.storage.destinations.model import Destination, Given, Note, ReplacedMeanwhileError, Writing
from app.storage.destinations.names import object_name, part_name, read_prefix

BLOCK_BYTES = 8 * 1024 * 1024
COPY_BYTES = 64 * 1024 * 1024
"""Azure copies so much within the time limit of a call."""
MOST_BLOCKS = 50_000
MOST_OBJECT_BYTES = MOST_BLOCKS * 4000 * 1024 * 1024
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: those of `catalog/azure-blob.yaml`. Raises InvalidInputError, AddressRefusedError."""
    account = read_account(given)
    return AzureDestination(AzureContainer(account, given.policy), read_prefix(given.config))


def block_bytes(usual: int, most_bytes: int) -> int:
    """Length of each block but the last, so that there are not too many of them."""
    return max(usual, -(-most_bytes // MOST_BLOCKS))


class AzureDestination(Destination):
    """Block blobs of one container below a prefix."""

    def __init__(self, container: AzureContainer, prefix: str) -> None:
        self.place = container.url + prefix
        self._container = container
        self._prefix = prefix

    def check(self) -> None:
        """All that a push may need is tried: to create, to copy, to read and to delete."""
        nonce = secrets.token_hex(8)
        name, part = object_name(self._prefix, f"haulage-check-{nonce}.txt"), part_name(self._prefix, nonce)
        try:
            self._container.put(part, _CHECKED, etag=None)
            self._container.copy(part, len(_CHECKED), name, nonce, block=COPY_BYTES, etag=None)
            if self._container.read(name, len(_CHECKED) + 1) != _CHECKED:
                raise StorageError(f"{self.place} gives back other bytes than were written")
        finally:
            self._container.delete(part)
            self._container.delete(name)

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - the nonce is enough
        name = object_name(self._prefix, path)
        if most_bytes > MOST_OBJECT_BYTES:
            raise StorageError(f"{self.place}{path}: {most_bytes} bytes are more than a blob may have")
        return AzureWriting(self._container, name, part_name(self._prefix, nonce), nonce, most_bytes)

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002 - none are made
        object_name(self._prefix, path)
        self._container.discard(part_name(self._prefix, nonce))

    def close(self) -> None:
        self._container.close()


class AzureWriting(Writing):
    """`part`: the name of the blob that a large object is sent to."""

    def __init__(self, container: AzureContainer, name: str, part: str, nonce: str, most_bytes: int) -> None:
        self._container = container
        self._name = name
        self._part = part
        self._nonce = nonce
        self._block_bytes = block_bytes(BLOCK_BYTES, most_bytes)
        self._buffer = bytearray()
        self._blocks: list[str] = []
        self._sent_bytes = 0
        self._is_part_whole = False

    def write(self, chunk: bytes) -> None:
        """One block after the other: one still on its way when its attempt is discarded would come back to life."""
        self._buffer += chunk
        while len(self._buffer) > self._block_bytes:
            block = bytes(memoryview(self._buffer)[: self._block_bytes])
            del self._buffer[: self._block_bytes]
            self._send(block)

    def _send(self, block: bytes) -> None:
        self._blocks.append(block_id(self._nonce, len(self._blocks)))
        self._container.stage(self._part, self._blocks[-1], block)
        self._sent_bytes += len(block)

    def state(self) -> Any:
        """Its ETag, which is another one after each change; None: there is no blob."""
        return self._container.etag(self._name)

    def publish(self, state: Any) -> None:
        if not self._blocks:
            self._container.put(self._name, bytes(self._buffer), etag=state)
            return
        if not self._is_part_whole:
            self._finish()
        block = block_bytes(COPY_BYTES, self._sent_bytes)
        self._container.copy(self._part, self._sent_bytes, self._name, self._nonce, block=block, etag=state)
        self._container.delete(self._part)
        self._blocks = []

    def _finish(self) -> None:
        self._send(bytes(self._buffer))
        try:
            self._container.commit(self._part, self._blocks)
        except ReplacedMeanwhileError as error:
            raise StorageUnavailableError(f"blob {self._name}: its upload was removed meanwhile") from error
        self._is_part_whole = True

    def abandon(self) -> None:
        if self._blocks:
            with suppress(HaulageError):
                self._container.discard(self._part)
        self._blocks = []
