"""The folder of a laptop's Haulage: keys made once, kept private, one user at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.local.errors import LocalError
from app.local.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as made:
        yield made


def test_keys_are_made_once_and_kept(home: Home) -> None:
    made = home.settings()
    Fernet(made["HAULAGE_ENCRYPTION_KEYS"])
    assert made["FLOWER_BASIC_AUTH"].startswith("haulage:")
    assert home.settings() == made


def test_a_line_added_by_hand_is_kept(tmp_path: Path, home: Home) -> None:
    (tmp_path / "env").write_text("# mine\nHAULAGE_LEASE_S='20'\n\nHAULAGE_ID_KEY=abc\n")
    settings = home.settings()
    assert settings["HAULAGE_LEASE_S"] == "20"
    assert settings["HAULAGE_ID_KEY"] == "abc"
    assert "HAULAGE_LEASE_S=20" in (tmp_path / "env").read_text()


def test_secrets_are_for_the_owner_only(tmp_path: Path, home: Home) -> None:
    home.settings()
    home.write_running({"DATABASE_URL": "postgresql://user:secret@host/x y"})
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("env", "running.env")} == {0o600}
    assert (tmp_path / "running.env").read_text() == "DATABASE_URL='postgresql://user:secret@host/x y'\n"


def test_a_bad_line_is_named(tmp_path: Path, home: Home) -> None:
    (tmp_path / "env").write_text("HAULAGE_LEASE_S=20\nHAULAGE_ID_KEY\n")
    with pytest.raises(LocalError, match="line 2 is not NAME=value: 'HAULAGE_ID_KEY'"):
        home.settings()


@pytest.mark.parametrize("line", ["export HAULAGE_LEASE_S=5", "HAULAGE-LEASE=5", "=5"])
def test_a_line_whose_name_is_none_is_named(tmp_path: Path, home: Home, line: str) -> None:
    (tmp_path / "env").write_text(f"{line}\n")
    with pytest.raises(LocalError, match="line 1 is not NAME=value"):
        home.settings()


def test_a_misspelled_setting_is_refused_with_the_right_one(tmp_path: Path, home: Home) -> None:
    (tmp_path / "env").write_text("HAULAGE_LEAS_S=5\n")
    with pytest.raises(LocalError, match=r"line 1: there is no setting HAULAGE_LEAS_S; .* HAULAGE_LEASE_S\?"):
        home.settings()


@pytest.mark.parametrize("name", ["HAULAGE_ID_KEY_FILE", "HAULAGE_CALLBACK_SLOTS", "WEB_HOST", "AWS_PROFILE"])
def test_what_the_procfile_and_others_read_is_kept(tmp_path: Path, home: Home, name: str) -> None:
    (tmp_path / "env").write_text(f"{name}=x\n")
    assert home.settings()[name] == "x"


def test_two_cannot_use_one_folder(tmp_path: Path, home: Home) -> None:
    with pytest.raises(LocalError, match="already runs"):
        Home(tmp_path)
    assert home.folder == tmp_path


def test_a_closed_one_lets_the_next_in(tmp_path: Path) -> None:
    for _ in range(2):
        with Home(tmp_path) as home:
            assert home.logs.is_dir()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="HAULAGE_HOME"):
        Home(tmp_path / "file" / "home")


def test_wiping_leaves_the_keys_and_the_folder(home: Home) -> None:
    kept = home.settings()
    (home.storage / "segments").mkdir(parents=True)
    home.wipe()
    assert not home.storage.exists()
    assert home.logs.is_dir()
    assert home.settings() == kept
