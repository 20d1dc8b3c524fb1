"""What `haulage sandbox` says to a command line that it cannot serve."""

import socket

import pytest

from app.sandbox import SandboxServer
from app.sandbox.__main__ import main


@pytest.mark.parametrize(
    ("option", "text", "accepted"),
    [
        ("--port", "99999", "0 to 65535"),
        ("--port", "http", "0 to 65535"),
        ("--records", "-1", "0 to 100000000"),
        ("--seed", "x", "0 to 9223372036854775807"),
        ("--page-max", "0", "1 to 1000000"),
    ],
)
def test_a_number_that_is_none_is_named(
    option: str, text: str, accepted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([f"{option}={text}"])
    assert f"{option}: {text!r} is not accepted: a whole number from {accepted}" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_a_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"--port={port}"]) == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; try --port 0" in capsys.readouterr().err


def test_a_host_that_has_no_address_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(server: SandboxServer) -> None:
        raise OSError(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(SandboxServer, "start", start)
    assert main(["--host=nowhere.test", "--port=0"]) == 1
    assert capsys.readouterr().err == "cannot listen on nowhere.test:0: Name or service not known\n"
