"""The operating system's calls to a disk, watched or made to fail."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest


def watched_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk from now on: `sync file`, `sync folder`, `name`, in order."""
    events: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_sync(descriptor)

    def replace(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        events.append("name")
        real_replace(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    return events


def failing(code: int) -> Callable[..., None]:
    """A call that fails with this error number."""

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail
