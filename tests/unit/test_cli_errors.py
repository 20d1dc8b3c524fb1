"""What `haulage` says when it cannot begin: one sentence, and what to do next."""

import pytest
from click.testing import CliRunner

from app import cli
from app.local import ports

_SETTINGS = {
    "BROKER_URL": "redis://127.0.0.1:1",
    "STORAGE_URL": "file:///nowhere",
    "HAULAGE_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "HAULAGE_ID_KEY": "0" * 64,
}


@pytest.mark.parametrize("command", [["release"], ["org", "list"]])
def test_without_postgresql_it_says_how_to_start_one(command: list[str]) -> None:
    url = f"postgresql://you@127.0.0.1:{ports.free_port()}/none"
    result = CliRunner().invoke(cli.main, command, env={**_SETTINGS, "DATABASE_URL": url})
    assert result.exit_code == 1
    assert "Connection refused" in result.output
    assert "make up" in result.output
    assert "Traceback" not in result.output


def test_without_settings_it_names_them_and_the_file_that_has_them() -> None:
    result = CliRunner().invoke(cli.main, ["org", "list"], env=dict.fromkeys([*_SETTINGS, "DATABASE_URL"]))
    assert result.exit_code == 1
    assert "Set DATABASE_URL" in result.output
    assert "running.env" in result.output
