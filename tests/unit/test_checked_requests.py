"""Sessions for vendors' SDKs: only checked addresses, nothing from the environment, few redirects."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError
from app.storage.checked_requests import make_session
from tests.fakes.file_host import Answer, Asked, FileHost

LOOPBACK = AddressPolicy.parse("http://127.0.0.1/32")


class Echo(FileHost):
    """Answers with the path, and what begins with /to/ by a redirect to the rest."""

    def serve(self, asked: Asked) -> Answer:
        if asked.path.startswith("/to/"):
            return Answer(302, b"", {"Location": asked.path.removeprefix("/to/")})
        return Answer(200, asked.path.encode())


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    with Echo(tmp_path) as host:
        yield host


def test_a_name_that_resolves_to_a_private_address_is_not_called(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(echo.url.rpartition(":")[2])
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **options: real("127.0.0.1", *rest, **options))
    with make_session(AddressPolicy()) as session, pytest.raises(AddressRefusedError, match=f"127.0.0.1/32:{port}"):
        session.get(f"http://api.example.org:{port}/")
    assert echo.asked == []
    with make_session(LOOPBACK) as session:
        assert session.get(f"http://api.example.org:{port}/a").content == b"/a"


def test_a_base_url_takes_every_call_and_is_checked(echo: Echo) -> None:
    with make_session(LOOPBACK, base_url=echo.url) as session:
        assert session.get("https://api.example.org/a?b=c").content == b"/a"
        assert session.post("https://upload.example.org/b").content == b"/b"
    assert echo.asked[0].query == {"b": "c"}
    with pytest.raises(AddressRefusedError):
        make_session(AddressPolicy(), base_url=echo.url)


def test_proxies_and_netrc_of_the_environment_are_not_used(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with make_session(LOOPBACK) as session:
        assert session.get(f"{echo.url}/a").content == b"/a"
    assert "authorization" not in echo.asked[0].headers


def test_redirects_are_counted_and_take_no_token_to_another_host(echo: Echo) -> None:
    elsewhere = echo.url.replace("127.0.0.1", "localhost")
    policy = AddressPolicy.parse("http://127.0.0.0/8,http://[::1/128]")
    headers = {"Authorization": "Bearer secret"}
    with make_session(policy) as session, pytest.raises(requests.TooManyRedirects):
        session.get(f"{echo.url}/to/{elsewhere}/a", headers=headers)
    with make_session(policy, redirects=1) as session:
        assert session.get(f"{echo.url}/to/{elsewhere}/a", headers=headers).content == b"/a"
        assert "authorization" not in echo.asked[-1].headers
        with pytest.raises(requests.TooManyRedirects):
            session.get(f"{echo.url}/to/{echo.url}/to/{echo.url}/a", headers=headers)


def test_a_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.checked_requests.SILENCE_TIMEOUT_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        make_session(LOOPBACK) as session,
        pytest.raises(requests.ReadTimeout),
    ):
        session.get(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=60)


def test_what_cannot_be_reached_is_an_error_of_requests(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_session(LOOPBACK) as session:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://127.0.0.1:{port}/")

        def unknown(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(requests.ConnectionError):
            session.get("http://nowhere.example.org/")
