"""What breaks the product in chaos tests must itself strike where and when it was told to."""

import errno
from collections import Counter
from pathlib import Path

import pytest

from app.domain.segments import segment_key
from tests.fakes import sabotage


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    armed = tmp_path / "sabotage"
    armed.mkdir()
    monkeypatch.setenv("SABOTAGE_FOLDER", str(armed))
    monkeypatch.setenv("SABOTAGE_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setattr(sabotage, "_passes", Counter())
    return armed


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    strikes: list[str] = []
    monkeypatch.setattr(sabotage, "_strike", lambda armed, action: strikes.append(f"{armed.name} {action}"))
    return strikes


def test_a_step_strikes_at_the_pass_that_was_armed(folder: Path, struck: list[str]) -> None:
    sabotage.arm(folder, "fetch.before", at=3)
    for strikes in (0, 0, 1):
        sabotage.reach("fetch.before")
        assert len(struck) == strikes
    sabotage.reach("fetch.after")
    assert struck == ["any.fetch.before kill"]


@pytest.mark.parametrize(("scope", "strikes"), [(7, 1), (8, 0), ("worker", 1), ("sweeper", 0), ("any", 1)])
def test_a_step_strikes_only_whom_it_is_meant_for(
    folder: Path, struck: list[str], scope: int | str, strikes: int
) -> None:
    sabotage.arm(folder, "put.before", scope=scope, action="stop")
    sabotage.reach("put.before", 7)
    assert len(struck) == strikes


def test_the_slice_of_an_object_is_known_by_its_key_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sabotage, "_slice_ids", {("12", 2, 1): 34})
    assert sabotage._slice_of(segment_key(12, 2, 1, 0, 5, "a1b2", encoding="deflate")) == 34
    assert sabotage._slice_of(segment_key(12, 3, 1, 0, 5, "a1b2", encoding="deflate")) is None


def test_a_disk_that_fills_up_fails_once_it_holds_so_much(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "storage"
    root.mkdir()
    sabotage._here.root = root
    broken = sabotage.break_disk(folder, "ENOSPC", holds_bytes=100)
    assert sabotage._disk_error() is None
    (root / "object").write_bytes(b"x" * 100)
    assert sabotage._disk_error() == errno.ENOSPC
    broken.unlink()
    assert sabotage._disk_error() is None


def test_a_disk_that_refuses_fails_at_once(folder: Path) -> None:
    sabotage.break_disk(folder, "EACCES")
    assert sabotage._disk_error() == errno.EACCES


def test_the_ledger_has_a_line_for_each_event(folder: Path, tmp_path: Path) -> None:
    for event in ("lost", "sent", "lost"):
        sabotage.note(event)
    assert (tmp_path / "ledger").read_text().splitlines() == ["lost", "sent", "lost"]
