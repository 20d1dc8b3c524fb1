"""Objects as files under one folder."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from app.errors import (
    ConfigError,
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.keys import checked_key, checked_prefix
from app.storage.objects import ObjectStore, folder_prefix

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_LINK = {errno.ELOOP, errno.ENOTDIR}
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.part")
_BUFFER_BYTES = 256 * 1024
_MOST_KNOWN_FOLDERS = 10_000


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
        self._durable_folders: set[tuple[str, ...]] = set()

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        *folders, name = checked_key(key).split("/")
        temporary = f".{name}.{secrets.token_hex(8)}.part"
        with self._folder(folders, key, create=True) as folder:
            try:
                self._write(folder, temporary, key, chunks)
                with self._translated(key, writing=True):
                    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            with self._translated(key, writing=True):
                os.fsync(folder)

    def _write(self, folder: int, name: str, key: str, chunks: Iterable[bytes]) -> None:
        """Faults of the disk become ours; those of whoever makes the chunks pass through as they are."""
        with self._translated(key, writing=True):
            file = io.FileIO(os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=folder), "wb")
        with file:
            for chunk in chunks:
                with self._translated(key, writing=True, needed=len(chunk)):
                    _write_all(file, chunk)
            with self._translated(key, writing=True):
                os.fsync(file.fileno())

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        *folders, name = checked_key(key).split("/")
        with self._folder(folders, key) as folder, self._translated(key):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            file = _TranslatedFile(self, key, descriptor)
            os.lseek(descriptor, offset, os.SEEK_SET)
            return io.BufferedReader(file, _BUFFER_BYTES)

    def size(self, key: str) -> int:
        *folders, name = checked_key(key).split("/")
        with self._folder(folders, key) as folder, self._translated(key):
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size

    def delete(self, key: str) -> None:
        *folders, name = checked_key(key).split("/")
        with suppress(ObjectMissingError), self._folder(folders, key) as folder, self._translated(key):
            os.unlink(name, dir_fd=folder)

    def delete_prefix(self, prefix: str) -> None:
        *folders, name = checked_key(folder_prefix(prefix).removesuffix("/")).split("/")
        with suppress(ObjectMissingError), self._folder(folders, prefix) as folder, self._translated(prefix):
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
        with suppress(ObjectMissingError), self._folder(folders, name) as folder, self._translated(name):
            os.unlink(file, dir_fd=folder)

    def _walk(self, folder: str) -> Iterator[str]:
        """Paths of all files below a folder, hidden ones too."""
        try:
            with self._translated(folder), os.scandir(self.root / folder) as found:
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
        with self._folder([], "", create=True) as folder, self._translated(""):
            state = os.fstatvfs(folder)
        return state.f_bavail * state.f_frsize

    @contextmanager
    def _folder(self, names: Sequence[str], key: str, *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder, reached from the root without following a link."""
        with self._translated(key, writing=create):
            descriptor = self._descend(tuple(names), create=create)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _descend(self, names: tuple[str, ...], *, create: bool) -> int:
        create = create and names not in self._durable_folders
        if create:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self.root.parent)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in names:
            outer = descriptor
            try:
                if create:
                    _make_folder(outer, name)
                descriptor = os.open(name, _FOLDER_FLAGS, dir_fd=outer)
            finally:
                os.close(outer)
        if create:
            self._remember(names)
        return descriptor

    def _remember(self, names: tuple[str, ...]) -> None:
        if len(self._durable_folders) >= _MOST_KNOWN_FOLDERS:
            self._durable_folders.clear()
        self._durable_folders.add(names)

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False, needed: int = 0) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if writing and error.errno == errno.ENOENT:
                self._durable_folders.clear()
                raise StorageUnavailableError(f"the folder of {key} in {self.url} was deleted meanwhile") from error
            raise self.translate(error, key, needed) from error

    def translate(self, error: OSError, key: str, needed: int = 0) -> HaulageError:
        """Our error for one of the operating system's."""
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            need = f"{needed} bytes more are needed for {key}" if needed else f"{key} cannot be written"
            return StorageFullError(f"store {self.url} is full: {need}, {_room(self.root)} ({reason})")
        what = f"{key or 'the folder'} in {self.url}"
        if error.errno == errno.ENOENT:
            return ObjectMissingError(f"object {what} is missing")
        if error.errno in _LINK:
            return StorageError(f"{what}: a part of the path is a symbolic link or no folder, which is not followed")
        if error.errno in _REFUSED:
            return StorageError(f"{what}: {reason}; check that the process's user owns {self.root} and may write there")
        if error.errno in _PASSING:
            return StorageUnavailableError(f"{what}: {reason}")
        return StorageError(f"{what}: {reason}")


class _TranslatedFile(io.RawIOBase):
    """A file whose read faults are ours."""

    def __init__(self, store: FileStore, key: str, descriptor: int) -> None:
        self._store = store
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
            raise self._store.translate(error, self._key) from error

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")


def _write_all(file: io.FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _make_folder(outer: int, name: str) -> None:
    """Also where it is there already: whoever made it may not have synced it yet, and a power cut would lose it."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=outer)
    os.fsync(outer)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _room(root: Path) -> str:
    try:
        state = os.statvfs(root)
    except OSError:
        return "room unknown"
    return f"{state.f_bavail * state.f_frsize} bytes are free"
