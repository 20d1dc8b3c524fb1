"""Objects by key: what every store can do, and which store a URL means."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO
from urllib.parse import urlsplit

from app.errors import ConfigError, ObjectMissingError, StorageError
from app.storage.places import Bucket


class ObjectStore(ABC):
    """A flat set of immutable objects under one URL. Safe to share between threads, and across a fork.

    Every method raises StorageUnavailableError (passing fault), StorageFullError (no room, retry later),
    ObjectMissingError or StorageError (permanent; the message says what to check).
    """

    url: str
    bucket: Bucket | None = None
    """Where the objects lie, for stores whose service can copy among them by itself."""

    @staticmethod
    def from_url(storage_url: str, options: Mapping[str, str] | None = None) -> ObjectStore:
        """`file:///folder`, or `s3://`, `gs://` or `azure://` with `bucket/prefix?option=value`.

        `options` overrides the query and may carry what a URL must not: access_key_id, secret_access_key,
        session_token (s3); service_account (gs); connection_string, account_key, sas_token (azure). Raises ConfigError.
        """
        scheme = urlsplit(storage_url).scheme
        if scheme == "file":
            from app.storage.files import FileStore, root_folder

            return FileStore(root_folder(storage_url))
        if scheme == "s3":
            from app.storage.s3 import S3Store, s3_place

            return S3Store(s3_place(storage_url, options or {}))
        if scheme == "gs":
            from app.storage.gcs import GcsStore, gcs_place

            return GcsStore(gcs_place(storage_url, options or {}))
        if scheme == "azure":
            from app.storage.azure import AzureStore, azure_place

            return AzureStore(azure_place(storage_url, options or {}))
        raise ConfigError(
            f"STORAGE_URL scheme {scheme!r} is not one of file, s3, gs, azure (file:///folder or s3://bucket/prefix)"
        )

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        """Store the chunks as one object, durably and at once: until this returns no reader sees any of it.

        If a chunk cannot be had (the iterable raises), nothing is stored and that exception passes through.
        """

    @abstractmethod
    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """Read from `offset` to the end. The caller closes it."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of the object."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete one object; a missing one is fine."""

    @abstractmethod
    def delete_prefix(self, prefix: str) -> None:
        """Delete every object of a folder, with what unfinished writes left there. The prefix must end in `/`."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with `prefix`, in the order of their names."""

    def unfinished(self, prefix: str) -> dict[str, str]:  # noqa: ARG002
        """What writers have half written below a folder, living or dead: a name for `discard` -> the key it is for.

        Empty for stores that show nothing of it. (A bucket whose user may not list multipart uploads needs a lifecycle
        rule that aborts them.)
        """
        return {}

    def discard(self, name: str) -> None:
        """Delete one of `unfinished`; should its writer live after all, its `put` fails."""
        raise NotImplementedError(name)

    def name_in_bucket(self, key: str) -> str:
        """The name by which other clients of `bucket` ask for the object."""
        raise NotImplementedError(key)

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Room left, where the store can tell."""

    def read(self, key: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of the object; StorageError if it is shorter."""
        if end <= start:
            return b""
        with self.open(key, start) as source:
            data = source.read(end - start)
        if len(data) != end - start:
            raise StorageError(
                f"object {key} in {self.url} is shorter than expected: {start + len(data)} < {end} bytes"
            )
        return data

    def check(self) -> None:
        """Write, read back and delete a small object, so that a wrong setting shows at the start and not in a job."""
        key = f"probe/{secrets.token_hex(8)}"
        content = secrets.token_bytes(32)
        self.put(key, [content])
        try:
            found = self.read(key, 0, len(content))
        except ObjectMissingError as error:
            raise StorageError(f"store {self.url} accepts objects but does not give them back") from error
        finally:
            self.delete(key)
        if found != content:
            raise StorageError(f"store {self.url} gives back other bytes than were written")


def folder_prefix(prefix: str) -> str:
    """The prefix, if it names a folder: `jobs/1` would take job 12 along."""
    if len(prefix) < 2 or not prefix.endswith("/"):  # noqa: PLR2004 - a name and its slash
        raise StorageError(f"prefix {prefix!r} does not name a folder: it must end in a slash")
    return prefix
