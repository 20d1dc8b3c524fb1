"""What is particular to destinations of files; what all do is in tests/conformance/test_destinations.py."""

from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.addresses import AddressPolicy
from app.errors import ConfigError, InvalidInputError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations import Destination, Given, open_destination
from app.storage.destinations.model import ReplacedMeanwhileError, Writing
from tests.fakes.disk import failing, watched_disk
from tests.unit.test_storage_keys import HOSTILE

NONCE = "0123456789abcdef"


def opened(root: Path | None, **config: str) -> Destination:
    return open_destination("file", Given(config=config, secrets={}, policy=AddressPolicy(), local_root=root))


def begun(place: Destination, path: str, nonce: str = NONCE) -> Writing:
    return place.begin(path, nonce=nonce, most_bytes=1000, note=lambda _name: None)


def pushed(place: Destination, path: str, content: bytes, nonce: str = NONCE) -> None:
    writing = begun(place, path, nonce)
    writing.write(content)
    writing.publish(writing.state())


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_nobody_writes_files_where_the_operator_names_no_folder() -> None:
    with pytest.raises(InvalidInputError, match="HAULAGE_PUSH_ROOT") as caught:
        opened(None, folder="exports")
    assert caught.value.field == "/configuration/folder"


def test_the_operators_folder_must_not_depend_on_where_a_worker_starts() -> None:
    with pytest.raises(ConfigError, match=r"HAULAGE_PUSH_ROOT .* absolute"):
        opened(Path("exports"))


@pytest.mark.parametrize("setting", ["folder", "prefix"])
@pytest.mark.parametrize("value", [name for name in HOSTILE if name and name != "a/"])
def test_settings_that_lead_elsewhere_are_refused_by_name(tmp_path: Path, setting: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^{setting}: .*Accepted: names") as caught:
        opened(tmp_path, **{setting: value})
    assert caught.value.field == f"/configuration/{setting}"


def test_an_object_is_folder_and_prefix_and_path(tmp_path: Path) -> None:
    pushed(opened(tmp_path, folder="exports", prefix="daily/all-"), "flights.csv", b"a")
    pushed(opened(tmp_path, folder="exports/"), "b", b"b")
    pushed(opened(tmp_path), "c", b"c")
    assert everything(tmp_path) == ["c", "exports/b", "exports/daily/all-flights.csv"]


_NAMES = st.text(st.sampled_from("ab./\\%2e~\0 \n"), max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=_NAMES, prefix=_NAMES, path=_NAMES)
def test_nothing_leaves_root_and_prefix(tmp_path: Path, folder: str, prefix: str, path: str) -> None:
    root = tmp_path / "outer" / "root"
    root.mkdir(parents=True, exist_ok=True)
    try:
        pushed(opened(root, folder=folder, prefix=prefix), path, b"x")
    except (InvalidInputError, StorageError):
        return
    allowed = f"{folder.strip('/')}/{prefix}" if folder else prefix
    assert ".." not in f"{allowed}{path}".split("/")
    assert (root / f"{allowed}{path}").read_bytes() == b"x"
    assert everything(tmp_path / "outer") == sorted(f"root/{name}" for name in everything(root))


@pytest.mark.parametrize("swapped", ["exports", "exports/daily"])
def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path, swapped: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "daily").mkdir(parents=True)
    writing = begun(opened(root, folder="exports"), "daily/a")
    writing.write(b"x")
    (root / swapped).rename(tmp_path / "away")
    (root / swapped).symlink_to(outside)
    for call in (writing.state, lambda: writing.publish(None)):
        with pytest.raises(StorageError, match="symbolic link"):
            call()
    writing.abandon()
    assert everything(outside) == []


def test_a_link_at_the_path_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"kept")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "secret")
    pushed(opened(tmp_path / "root"), "a", b"x")
    assert (tmp_path / "secret").read_bytes() == b"kept"
    assert not (tmp_path / "root/a").is_symlink()


def test_other_programs_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        pushed(opened(tmp_path / "root"), "daily/a", b"x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "root" / name).stat().st_mode) for name in ("", "daily", "daily/a")]
    assert modes == [0o750, 0o750, 0o640]


def test_a_share_that_is_gone_is_a_passing_fault_and_nothing_is_made_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="HAULAGE_PUSH_ROOT"):
        begun(opened(tmp_path / "share" / "root"), "a")
    assert list(tmp_path.iterdir()) == []


def test_content_is_synced_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = begun(opened(tmp_path), "a")
    writing.write(b"x")
    events = watched_disk(monkeypatch)
    writing.publish(None)
    assert events[-3:] == ["sync file", "name", "sync folder"]


def test_an_object_of_the_same_length_in_the_same_second_is_seen(tmp_path: Path) -> None:
    place = opened(tmp_path)
    pushed(place, "a", b"1")
    slow = begun(place, "a", "f" * 16)
    slow.write(b"2")
    seen = slow.state()
    pushed(place, "a", b"3")
    with pytest.raises(ReplacedMeanwhileError):
        slow.publish(seen)
    assert (tmp_path / "a").read_bytes() == b"3"
    slow.abandon()


def test_a_full_disk_is_a_passing_fault_and_leaves_nothing(tmp_path: Path) -> None:
    writing = begun(opened(tmp_path), "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        writing.write(b"x" * 80_000)
        with pytest.raises(StorageFullError, match="bytes are free"):
            writing.write(b"x" * 80_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writing.abandon()
    assert everything(tmp_path) == []


def test_the_check_says_what_is_wrong_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = opened(tmp_path / "root", folder="exports")
    place.check()
    monkeypatch.setattr(os, "replace", failing(errno.EACCES))
    with pytest.raises(StorageError, match=r"check that the process's user owns file:exports/ and may write there"):
        place.check()
    assert everything(tmp_path) == []


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "exports").write_bytes(b"")
    with pytest.raises(StorageError, match=r"exports.* no folder"):
        opened(tmp_path, folder="exports").check()
