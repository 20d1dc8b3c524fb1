"""Every limit of a call can be evaded by a byte now and then: one limit for all calls to a place cannot."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from app.addresses import AddressPolicy
from app.errors import HaulageError
from app.storage.checked_requests import make_session
from app.storage.checked_sockets import create_checked_connection
from app.storage.time_limits import TimeLimit
from tests.conformance.test_http_client_tls import make_certificate  # noqa: F401 - a fixture
from tests.fakes.hostile_server import HostileServer, Wire
from tests.fixtures.waiting import wait_until
from tests.unit.test_strange_answers import KINDS, LOOPBACK, open_at

SOON_S = 0.2
PAUSE_S = 0.05


def drip_head(wire: Wire) -> None:
    wire.read_request()
    wire.send(b"HTTP/1.1 200 OK\r\n")
    wire.drip(b"X", PAUSE_S)


def drip_body(wire: Wire) -> None:
    wire.read_request()
    wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n")
    wire.drip(b"X", PAUSE_S)


@pytest.mark.parametrize("play", [drip_head, drip_body])
@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_drips_is_left_in_time(kind: str, play: Callable[[Wire], None]) -> None:
    limit = TimeLimit(SOON_S)
    with HostileServer(play) as server, closing(open_at(kind, server.url, limit.over(LOOPBACK))) as place:
        with limit, pytest.raises(HaulageError):
            place.check()
        assert limit.is_over
        assert server.connection_count == 1


def test_a_line_under_tls_is_cut_as_well(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    policy = AddressPolicy.parse("127.0.0.0/8")
    with HostileServer(drip_body, tls=context) as server, TimeLimit(SOON_S) as limit:
        with make_session(limit.over(policy)) as session, pytest.raises(requests.RequestException):
            session.get(server.url, verify=str(certificate))
        assert limit.is_over


def test_a_bare_line_is_cut_and_none_is_dialled_afterwards() -> None:
    with HostileServer(Wire.hang) as server, TimeLimit(SOON_S) as limit:
        host, port = str(urlsplit(server.url).hostname), urlsplit(server.url).port or 0

        def dial() -> bytes:
            with create_checked_connection(limit.over(LOOPBACK), host, port, "http", 30.0) as line:
                return line.recv(1)

        assert dial() == b""
        with pytest.raises(TimeoutError):
            dial()
        assert server.connection_count == 1


def test_who_makes_progress_has_more_time() -> None:
    with TimeLimit(SOON_S) as going_on, TimeLimit(2 * SOON_S) as clock:
        going_on._seconds = 3600.0
        going_on.extend()
        wait_until(lambda: clock.is_over, "the other limit")
        assert not going_on.is_over
