"""The ports that `make up` takes."""

from pathlib import Path

import pytest

from app.local import kept, ports
from app.local.errors import LocalError
from app.local.home import Home
from app.local.stack import Stack

_ANY = {"postgres": 0, "valkey": 0}


def test_the_ports_of_the_kept_settings_are_used_and_shown(tmp_path: Path) -> None:
    api, flower = ports.free_port(), ports.free_port()
    (tmp_path / "env").write_text(f"PORT={api}\nFLOWER_PORT={flower}\n")
    with Home(tmp_path) as home:
        stack = Stack(home, {}, print, wanted_ports=_ANY)
    assert (stack.api_url, stack.flower_url) == (f"http://127.0.0.1:{api}", f"http://127.0.0.1:{flower}")


@pytest.mark.parametrize("text", ["0", "65536", "8080/tcp", "-1", "٣"])
def test_a_port_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "env").write_text(f"PORT='{text}'\n")
    with Home(tmp_path) as home, pytest.raises(LocalError, match=r"PORT=.* is not accepted: a port from 1 to 65535"):
        Stack(home, {}, print, wanted_ports=_ANY)


def test_the_end_of_a_log_leaves_out_what_earlier_starts_wrote(tmp_path: Path) -> None:
    log = tmp_path / "release.log"
    assert (kept.size_of(log), kept.tail(log)) == (0, "")
    log.write_text("released\n")
    began = kept.size_of(log)
    with log.open("a") as more:
        more.write("Error: HAULAGE_LEASE_S='abc' is not accepted\n")
    assert kept.tail(log, since=began) == "Error: HAULAGE_LEASE_S='abc' is not accepted"
    assert kept.tail(log, lines=2).startswith("released")


def test_a_release_that_fails_tells_this_start_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.local.procfile.shell_command", lambda _: ["/bin/sh", "-c", "echo refused; exit 1"])
    with Home(tmp_path) as home:
        (home.logs / "release.log").write_text("of last week\n")
        stack = Stack(home, {}, print, wanted_ports=_ANY)
        with pytest.raises(LocalError) as caught:
            stack._release()
    assert caught.value.message.endswith("release.log:\nrefused")
