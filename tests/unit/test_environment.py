"""What `make` says when `.venv` cannot be made."""

import subprocess
from pathlib import Path

import pytest

from app.local import environment


def test_a_failing_pip_is_told_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_environment: Path, lock: Path) -> None:
        raise subprocess.CalledProcessError(1, ["pip", "install", str(lock)])

    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    monkeypatch.setattr(environment, "made_from", lambda _: "x")
    monkeypatch.setattr(environment, "make", refuse)
    monkeypatch.setattr("sys.argv", ["environment.py", "some.lock"])
    assert environment.main() == 1
    told = capsys.readouterr().err
    assert "ended with 1" in told
    assert "PIP_INDEX_URL" in told
    assert not (tmp_path / ".venv" / "made-from").exists()
