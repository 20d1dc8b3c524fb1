"""Clients that stall do not keep the threads of the API."""

import socket
import threading
from collections.abc import Iterator

import pytest

from app.api.server import break_off_stalled
from app.local.procfile import commands


@pytest.fixture(name="pair")
def make_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client, and the server's side of its connection, accepted by a listener with a limit of a second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        break_off_stalled(listener, 1)
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            accepted.setblocking(True)  # as gunicorn does
            yield client, accepted


def test_a_client_that_reads_nothing_is_broken_off(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(BlockingIOError):
        pair[1].sendall(b"x" * 50_000_000)


def test_a_client_that_sends_nothing_is_broken_off(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_a_client_that_reads_gets_everything(pair: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = pair
    sender = threading.Thread(target=accepted.sendall, args=(b"x" * 5_000_000,))
    sender.start()
    received = 0
    while received < 5_000_000:
        received += len(client.recv(1_000_000))
    sender.join()


def test_the_web_process_is_started_with_these_limits() -> None:
    assert "--config python:app.api.server" in commands()["web"]
