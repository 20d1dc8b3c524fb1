"""Files below a folder that the operator allows (HAULAGE_PUSH_ROOT): a disk, or a share that is mounted there.

Other programs are to read what is written, so modes are those of any program: 0666 and 0777 less the process's umask.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from app.errors import (
    ConfigError,
    HaulageError,
    InvalidInputError,
    ObjectMissingError,
    StorageError,
    StorageUnavailableError,
)
from app.storage.destinations.model import Destination, Given, Note, ReplacedMeanwhileError, Writing
from app.storage.destinations.names import object_name, read_prefix
from app.storage.folders import FolderTree

SETTING = "HAULAGE_PUSH_ROOT"
_FILE_MODE = 0o666
_FOLDER_MODE = 0o777
_SYNC_BYTES = 64 * 1024 * 1024
_CHECKED = b"Haulage tests whether it may write here.\n"


def make(given: Given) -> Destination:
    """Settings: `folder` below the root, `prefix`. Raises InvalidInputError, ConfigError."""
    if given.local_root is None:
        raise InvalidInputError(
            f"folder: nobody may write files here. An operator names the folder for that in {SETTING}.",
            field="/configuration/folder",
        )
    if not given.local_root.is_absolute():
        raise ConfigError(f"{SETTING} must be the absolute path of a folder: workers start in different ones.")
    folder = read_prefix(given.config, "folder").removesuffix("/")
    prefix = (f"{folder}/" if folder else "") + read_prefix(given.config)
    place = f"file:{prefix}"
    tree = FolderTree(given.local_root, shown=place, file_mode=_FILE_MODE, folder_mode=_FOLDER_MODE)
    return FileDestination(tree, prefix, place)


class FileDestination(Destination):
    """Objects are files; what is unfinished is a hidden file beside its object."""

    def __init__(self, tree: FolderTree, prefix: str, place: str) -> None:
        self.place = place
        self._tree = tree
        self._prefix = prefix

    def check(self) -> None:
        nonce = secrets.token_hex(8)
        path = f"haulage-check-{nonce}.txt"
        writing = self._begin(path, nonce)
        try:
            writing.write(_CHECKED)
            writing.publish(None)
            writing.check_content(_CHECKED)
        finally:
            writing.abandon()
            writing.remove()

    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:  # noqa: ARG002 - a disk needs neither
        return self._begin(path, nonce)

    def _begin(self, path: str, nonce: str) -> FileWriting:
        *folders, name = object_name(self._prefix, path).split("/")
        self._require_root()
        return FileWriting(self._tree, folders, name, nonce)

    def _require_root(self) -> None:
        """Above the root nothing is made: a share that is not mounted would be written into its mount point's disk."""
        if not self._tree.root.parent.is_dir():
            raise StorageUnavailableError(
                f"{self.place}: the folder that {SETTING} names is not there. An operator makes or mounts it."
            )

    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:  # noqa: ARG002 - none are made
        *folders, name = object_name(self._prefix, path).split("/")
        with suppress(ObjectMissingError), self._tree.folder(folders, path) as folder, self._tree.translated(path):
            os.unlink(_part_name(name, nonce), dir_fd=folder)


class FileWriting(Writing):
    """Each step walks from the root anew: a folder that became a link meanwhile is not followed."""

    def __init__(self, tree: FolderTree, folders: Sequence[str], name: str, nonce: str) -> None:
        self._tree = tree
        self._folders = folders
        self._name = name
        self._shown = "/".join([*folders, name])
        self._part = _part_name(name, nonce)
        self._unsynced = 0
        with tree.folder(folders, self._shown, create=True) as folder:
            self._file = tree.make_file(folder, self._part, self._shown)

    def write(self, chunk: bytes) -> None:
        self._tree.write(self._file, [chunk], self._shown)
        self._unsynced += len(chunk)
        if self._unsynced >= _SYNC_BYTES:  # little is left for `publish`, which is waited for
            self._tree.sync(self._file, self._shown)
            self._unsynced = 0

    def state(self) -> Any:
        """Inode, length and time of the last change: a file that was put there since has another inode."""
        try:
            with self._tree.folder(self._folders, self._shown) as folder, self._tree.translated(self._shown):
                return self._state_in(folder)
        except ObjectMissingError:
            return None

    def publish(self, state: Any) -> None:
        """Files know no condition: between comparing and renaming are some microseconds."""
        self._tree.sync(self._file, self._shown)
        at_place = self._tree.folder(self._folders, self._shown, create=True)
        with at_place as folder, self._tree.translated(self._shown, writing=True):
            if self._state_in(folder) != state:
                raise ReplacedMeanwhileError(f"{self._shown} was written by somebody else meanwhile")
            os.replace(self._part, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        self._file.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(HaulageError):
            self._remove(self._part)

    def __del__(self) -> None:
        with suppress(Exception):  # it may not have come as far as to have a file
            self._file.close()

    def check_content(self, expected: bytes) -> None:
        """Raises StorageError unless the published file holds exactly these bytes."""
        with self._tree.folder(self._folders, self._shown) as folder, self._tree.translated(self._shown):
            descriptor = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                found = os.read(descriptor, len(expected) + 1)
            finally:
                os.close(descriptor)
        if found != expected:
            raise StorageError(f"{self._shown} holds other bytes than were written to it")

    def remove(self) -> None:
        """Remove the published file, if it is there."""
        self._remove(self._name)

    def _remove(self, name: str) -> None:
        at_place = self._tree.folder(self._folders, self._shown)
        with suppress(ObjectMissingError), at_place as folder, self._tree.translated(self._shown):
            os.unlink(name, dir_fd=folder)

    def _state_in(self, folder: int) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _part_name(name: str, nonce: str) -> str:
    return f".{name}.{nonce}.part"
