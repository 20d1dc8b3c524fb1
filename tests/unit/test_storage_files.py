"""What is particular to files; what every store does is in tests/conformance/test_storage_objects.py."""

import errno
import io
import os
import resource
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.errors import (
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage import folders
from app.storage.files import FileStore
from app.storage.folders import FolderTree
from tests.fakes.disk import failing, watched_disk
from tests.unit.test_storage_keys import HOSTILE


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "root")


def everything(store: FileStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_files_and_folders_are_private(store: FileStore) -> None:
    store.put("a/b/c", [b"x"])
    assert stat.S_IMODE((store.root / "a/b/c").stat().st_mode) == 0o600
    assert {stat.S_IMODE((store.root / part).stat().st_mode) for part in ("", "a", "a/b")} == {0o700}


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_key_is_refused_by_every_method(store: FileStore, key: str) -> None:
    for call in (lambda: store.put(key, [b""]), lambda: store.open(key), lambda: store.delete(key)):
        with pytest.raises(StorageError, match="refused"):
            call()
    assert not store.root.exists()


def test_symbolic_links_below_the_root_are_not_followed(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("a/b", [b"x"])
    (store.root / "link").symlink_to(outside)
    (store.root / "file").symlink_to(outside / "secret")
    for call in (
        lambda: store.open("link/secret"),
        lambda: store.open("file"),
        lambda: store.put("link/new", [b"x"]),
        lambda: store.delete("link/secret"),
    ):
        with pytest.raises(StorageError, match="symbolic link"):
            call()
    assert list(store.list()) == ["a/b"]
    store.put("file", [b"own"])
    assert (outside / "secret").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_deleting_a_folder_does_not_follow_links_in_it(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"")
    store.put("jobs/1/a", [b"x"])
    (store.root / "jobs/1/link").symlink_to(outside)
    store.delete_prefix("jobs/1/")
    assert (outside / "kept").exists()
    assert not (store.root / "jobs/1").exists()


def test_content_is_synced_before_its_name_and_the_name_before_the_return(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = watched_disk(monkeypatch)
    store.put("a/b/c", [b"x"])
    assert events == ["sync folder"] * 3 + ["sync file", "name", "sync folder"]
    events.clear()
    store.put("a/b/d", [b"x"])
    assert events == ["sync file", "name", "sync folder"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_found_at_the_sync_leaves_nothing_and_says_which_store(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store.put("a/before", [b"x"])
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(StorageFullError, match=rf"{store.url} is full.*bytes are free"):
        store.put("a/after", [b"x" * 1000])
    assert everything(store) == [store.root / "a/before"]


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """No file of this process may grow beyond it: the kernel itself refuses the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_write_refused_by_the_kernel_leaves_nothing_and_says_how_much_is_needed(
    store: FileStore, file_size_limit: int
) -> None:
    with pytest.raises(StorageFullError, match="160000 bytes more are needed for a/b"):
        store.put("a/b", [b"x" * 80_000, b"y" * 80_000])
    assert everything(store) == []


def test_any_number_of_pieces_is_written_in_few_calls(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    writev = os.writev

    def counted(descriptor: int, pieces: Sequence[bytes]) -> int:
        calls.append(len(pieces))
        return writev(descriptor, [piece[:1] for piece in pieces[:2]] if len(calls) == 1 else pieces)

    monkeypatch.setattr(os, "writev", counted)
    pieces = [bytes([number % 251]) * (number % 7) for number in range(5000)] + [b"z" * 3_000_000, b"end"]
    store.put("a/b", iter(pieces))
    assert store.read("a/b", 0, store.size("a/b")) == b"".join(pieces)
    assert len(calls) < 8


def test_device_without_room_is_full() -> None:
    with io.FileIO("/dev/full", "wb") as device, pytest.raises(OSError, match="No space") as caught:
        folders.write_all(device, [b"x"])  # the very call of a put
    assert isinstance(FolderTree(Path("/dev"), shown="/dev").translate(caught.value, "full", 1), StorageFullError)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EIO, StorageUnavailableError),
        (errno.ESTALE, StorageUnavailableError),
        (errno.EROFS, StorageError),
        (errno.EACCES, StorageError),
        (errno.ENAMETOOLONG, StorageError),
        (errno.ENOENT, StorageUnavailableError),
    ],
)
def test_fault_while_writing_is_passing_or_permanent(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(expected) as caught:
        store.put("a/b", [b"x"])
    assert type(caught.value) is expected
    assert everything(store) == []


def test_refused_access_says_what_to_check(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", failing(errno.EACCES))
    with pytest.raises(StorageError, match=r"check that the process's user owns .*root"):
        store.put("a/b", [b"x"])


def test_fault_while_reading_is_ours(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a", [b"x"])
    reader = store.open("a")
    os.close(reader.fileno())
    with pytest.raises(StorageError, match=r"a in file:.*Bad file descriptor"):
        reader.read()
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.close()


def test_folder_deleted_by_another_process_is_made_again(store: FileStore) -> None:
    store.put("a/b/c", [b"x"])
    other = FileStore(store.root)
    other.delete_prefix("a/")
    with pytest.raises(StorageUnavailableError, match="deleted meanwhile"):
        store.put("a/b/d", [b"x"])
    store.put("a/b/d", [b"x"])
    assert list(store.list()) == ["a/b/d"]


def test_unfinished_write_of_a_killed_process_is_not_listed_and_goes_with_its_folder(store: FileStore) -> None:
    store.put("jobs/1/a", [b"x"])
    (store.root / "jobs/1/.0123.part").write_bytes(b"half")
    assert list(store.list()) == ["jobs/1/a"]
    store.delete_prefix("jobs/1/")
    assert everything(store) == []


def test_unfinished_writes_are_told_by_the_key_they_are_for_and_can_be_discarded(store: FileStore) -> None:
    store.put("jobs/1/a", [b"x"])
    store.put("jobs/2/b", [b"x"])

    def dies() -> Iterator[bytes]:
        yield b"half"
        [(name, key)] = store.unfinished("jobs/1/").items()
        assert key == "jobs/1/new"
        store.discard(name)
        store.discard(name)
        yield b"rest"

    with pytest.raises(StorageUnavailableError):
        store.put("jobs/1/new", dies())
    assert store.unfinished("jobs/1/") == store.unfinished("jobs/3/") == {}
    assert list(store.list()) == ["jobs/1/a", "jobs/2/b"]


def test_free_bytes_are_known(store: FileStore) -> None:
    free = store.free_bytes()
    assert free is not None
    assert free > 0


def test_reading_from_a_root_that_is_not_there_finds_nothing(store: FileStore) -> None:
    assert list(store.list()) == []
    store.delete("a")
    store.delete_prefix("jobs/1/")
    with pytest.raises(ObjectMissingError):
        store.open("a")
    assert not store.root.exists()
