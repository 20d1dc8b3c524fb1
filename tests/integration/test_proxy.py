"""The proxy that breaks links, tried between real clients and servers."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.proxy import MakeProxy, Proxy
from tests.fixtures.waiting import wait_until


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo_port) as made:
        yield made


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def echo(client: socket.socket, sent: bytes) -> bytes:
    client.sendall(sent)
    received = b""
    while len(received) < len(sent) and (piece := client.recv(65536)):
        received += piece
    return received


def test_bytes_pass_both_ways_and_the_end_is_passed_on(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert echo(client, b"x" * 100_000) == b"x" * 100_000
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_refused_connections_work_again_once_accepted(proxy: Proxy) -> None:
    with dial(proxy) as old:
        assert echo(old, b"open") == b"open"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        assert echo(old, b"still open") == b"still open"
    proxy.accept()
    with dial(proxy) as client:
        assert echo(client, b"back") == b"back"


def test_reset_ends_open_connections_with_rst(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert echo(client, b"a") == b"a"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_blackhole_swallows_open_connections_and_spares_new_ones(proxy: Proxy) -> None:
    with dial(proxy) as old, dial(proxy) as new:
        assert echo(old, b"a") == b"a"
        proxy.blackhole()
        old.sendall(b"lost")
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            old.recv(1)
        new.close()
        with dial(proxy) as later:
            assert echo(later, b"b") == b"b"


def test_a_link_is_cut_after_so_many_bytes_of_the_answer(proxy: Proxy) -> None:
    proxy.cut_after(1000)
    with dial(proxy) as client, pytest.raises(ConnectionResetError):
        echo(client, b"y" * 5000)
    with dial(proxy) as client:
        assert echo(client, b"y" * 999) == b"y" * 999


def test_a_delayed_answer_is_whole(proxy: Proxy) -> None:
    proxy.delay_s = 0.01
    with dial(proxy) as client:
        assert echo(client, b"slow") == b"slow"


@pytest.mark.parametrize("prepare", [False, True])
def test_a_statement_whose_reply_is_cut_was_carried_out(
    database_url: str, make_proxy: MakeProxy, *, prepare: bool
) -> None:
    proxy = make_proxy(database_url)
    with psycopg.connect(database_url, autocommit=True) as direct:
        direct.execute("create table marks (n int)")
        with psycopg.connect(proxy.url(database_url), autocommit=True) as client:
            client.execute("insert into marks values (%s)", (1,), prepare=prepare)
            proxy.cut_replies("insert into marks")
            with pytest.raises(psycopg.OperationalError):
                client.execute("insert into marks values (%s)", (2,), prepare=prepare)
        assert direct.execute("select n from marks order by n").fetchall() == [(1,), (2,)]
    assert proxy.cuts == ["insert into marks"]


def test_a_commit_whose_reply_is_cut_stands(database_url: str, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(database_url)
    with psycopg.connect(database_url, autocommit=True) as direct:
        direct.execute("create table marks (n int)")
        with psycopg.connect(proxy.url(database_url)) as client:
            client.execute("insert into marks values (1)")
            proxy.cut_replies("COMMIT")
            with pytest.raises(psycopg.OperationalError):
                client.commit()
        assert direct.execute("select n from marks").fetchall() == [(1,)]


def test_a_statement_whose_request_is_cut_was_not_carried_out(database_url: str, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(database_url)
    with psycopg.connect(database_url, autocommit=True) as direct:
        direct.execute("create table marks (n int)")
        with psycopg.connect(proxy.url(database_url), autocommit=True) as client:
            proxy.cut_requests("insert into marks")
            with pytest.raises(psycopg.OperationalError):
                client.execute("insert into marks values (1)")
        wait_until(lambda: direct.execute("select count(*) from marks").fetchone() == (0,), "no row")
        with psycopg.connect(proxy.url(database_url), autocommit=True) as client:
            client.execute("insert into marks values (3)")
