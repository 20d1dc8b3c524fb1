"""Only checked addresses are dialled, whatever a name resolves to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError
from app.storage.checked_sockets import create_checked_connection


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses from now on; addresses have themselves."""
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **options: object) -> object:
        if host[0].isdigit() or ":" in host:
            return real(host, *rest, **options)  # type: ignore[arg-type]
        return [entry for address in addresses for entry in real(address, *rest, **options)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_an_allowed_address_is_dialled(port: int) -> None:
    with create_checked_connection(
        AddressPolicy.parse(f"127.0.0.1/32:{port}"), "127.0.0.1", port, "sftp", 5
    ) as dialled:
        assert dialled.getpeername() == ("127.0.0.1", port)
        assert dialled.gettimeout() == 5


def test_a_name_that_resolves_to_a_private_address_is_not_dialled(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(AddressRefusedError) as caught:
        create_checked_connection(AddressPolicy(), "files.example.org", port, "sftp", 5)
    assert f"files.example.org:{port}" in caught.value.message
    assert f"may add 127.0.0.1/32:{port} to HAULAGE_ALLOW_NETWORKS" in caught.value.message


def test_of_several_addresses_only_the_allowed_is_dialled(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    policy = AddressPolicy.parse(f"http://127.0.0.1/32:{port}")
    with create_checked_connection(policy, "files.example.org", port, "http", 5) as dialled:
        assert dialled.getpeername() == ("127.0.0.1", port)


def test_the_next_address_is_tried_where_one_does_not_answer(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    with create_checked_connection(
        AddressPolicy.parse("127.0.0.0/8"), "files.example.org", port, "https", 5
    ) as dialled:
        assert dialled.getpeername() == ("127.0.0.1", port)


def test_a_refused_connection_is_an_error_of_the_system(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        create_checked_connection(AddressPolicy.parse("127.0.0.0/8"), "127.0.0.2", port, "sftp", 5)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test"])
def test_a_name_that_cannot_be_asked_for_is_unknown(host: str) -> None:
    with pytest.raises(socket.gaierror):
        create_checked_connection(AddressPolicy(), host, 22, "sftp", 5)
