"""Destinations at clouds dial addresses that were checked, whatever their names meant when the instance was made."""

from __future__ import annotations

import socket

import pytest
from requests.exceptions import ReadTimeout

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError
from app.storage.checked_requests import make_session
from app.storage.destinations import Given, open_destination


@pytest.mark.parametrize(
    ("kind", "config", "secrets", "host"),
    [
        ("gcs", {"bucket": "bucket", "endpoint_url": "https://gcs.example.com"}, {}, "gcs.example.com"),
        ("azure", {"account_name": "name", "container": "box"}, {"account_key": "a2V5"}, "name.blob.core.windows.net"),
    ],
)
def test_destinations_of_clouds_dial_so(
    kind: str, config: dict[str, str], secrets: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = open_destination(kind, Given(config, secrets, AddressPolicy()))
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: private)
    for call in (destination.check, lambda: destination.discard("x", nonce="0" * 16, notes=[])):
        with pytest.raises(AddressRefusedError) as caught:
            call()
        assert f"{host}:443" in caught.value.message
    destination.close()


def test_the_time_limit_of_a_call_is_the_sdks_own() -> None:
    policy = AddressPolicy.parse("http://127.0.0.0/8")
    with socket.create_server(("127.0.0.1", 0)) as silent, make_session(policy, is_bounded=True) as session:
        port = silent.getsockname()[1]
        with pytest.raises(ReadTimeout):
            session.get(f"http://127.0.0.1:{port}/", timeout=(5, 0.2))
