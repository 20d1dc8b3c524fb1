"""Objects as files under one folder."""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from app.errors import ConfigError, ObjectMissingError
from app.storage.chunks import in_batches
from app.storage.folders import FolderTree
from app.storage.keys import checked_key, checked_prefix
from app.storage.objects import ObjectStore, folder_prefix

_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.part")
_BUFFER_BYTES = 256 * 1024
_BATCH_BYTES = 1024 * 1024


def root_folder(storage_url: str) -> Path:
    """The folder that `file:///absolute/folder` means, links resolved; ConfigError for anything else."""
    parts = urlsplit(storage_url)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or parts.query or not path.startswith("/") or "\0" in path:
        raise ConfigError(f"STORAGE_URL {storage_url!r} must be file:///absolute/folder")
    return Path(path).resolve()


class FileStore(ObjectStore):
    """Files of mode 0600 in folders of mode 0700. No symbolic link under the root is followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = root.as_uri()
        self._tree = FolderTree(root, shown=self.url)

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        *folders, name = checked_key(key).split("/")
        temporary = f".{name}.{secrets.token_hex(8)}.part"
        with self._tree.folder(folders, key, create=True) as folder:
            try:
                self._write(folder, temporary, key, chunks)
                with self._tree.translated(key, writing=True):
                    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            with self._tree.translated(key, writing=True):
                os.fsync(folder)

    def _write(self, folder: int, name: str, key: str, chunks: Iterable[bytes]) -> None:
        """Faults of the disk become ours; those of whoever makes the chunks pass through as they are."""
        with self._tree.make_file(folder, name, key) as file:
            for batch in in_batches(chunks, _BATCH_BYTES):
                self._tree.write(file, batch, key)
            self._tree.sync(file, key)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        *folders, name = checked_key(key).split("/")
        with self._tree.folder(folders, key) as folder, self._tree.translated(key):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            file = _TranslatedFile(self._tree, key, descriptor)
            os.lseek(descriptor, offset, os.SEEK_SET)
            return io.BufferedReader(file, _BUFFER_BYTES)

    def size(self, key: str) -> int:
        *folders, name = checked_key(key).split("/")
        with self._tree.folder(folders, key) as folder, self._tree.translated(key):
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size

    def delete(self, key: str) -> None:
        *folders, name = checked_key(key).split("/")
        with suppress(ObjectMissingError), self._tree.folder(folders, key) as folder, self._tree.translated(key):
            os.unlink(name, dir_fd=folder)

    def delete_prefix(self, prefix: str) -> None:
        *folders, name = checked_key(folder_prefix(prefix).removesuffix("/")).split("/")
        with suppress(ObjectMissingError), self._tree.folder(folders, prefix) as folder, self._tree.translated(prefix):
            shutil.rmtree(name, dir_fd=folder)

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = checked_prefix(prefix).rpartition("/")[0]
        return (key for key in self._walk(folder) if key.startswith(prefix) and not _is_hidden(key))

    def unfinished(self, prefix: str) -> dict[str, str]:
        found = {}
        for path in self._walk(checked_prefix(folder_prefix(prefix)).removesuffix("/")):
            folder, _, name = path.rpartition("/")
            if written := _UNFINISHED.fullmatch(name):
                found[path] = f"{folder}/{written['name']}"
        return found

    def discard(self, name: str) -> None:
        *folders, file = name.split("/")
        with suppress(ObjectMissingError), self._tree.folder(folders, name) as folder, self._tree.translated(name):
            os.unlink(file, dir_fd=folder)

    def _walk(self, folder: str) -> Iterator[str]:
        """Paths of all files below a folder, hidden ones too."""
        try:
            with self._tree.translated(folder), os.scandir(self.root / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
        except ObjectMissingError:
            return
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(key)
            elif entry.is_file(follow_symlinks=False):
                yield key

    def free_bytes(self) -> int | None:
        with self._tree.folder([], "", create=True) as folder, self._tree.translated(""):
            state = os.fstatvfs(folder)
        return state.f_bavail * state.f_frsize


class _TranslatedFile(io.RawIOBase):
    """A file whose read faults are ours."""

    def __init__(self, tree: FolderTree, key: str, descriptor: int) -> None:
        self._tree = tree
        self._key = key
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: Any, /) -> int:
        try:
            return os.readv(self._descriptor, [buffer])
        except OSError as error:
            raise self._tree.translate(error, self._key) from error

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")
