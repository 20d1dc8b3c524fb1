"""Many calls of one thread at once, as uploads make them: when they leave, and what memory is kept of them."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from app.addresses import AddressPolicy
from app.http_client import HttpClient, Request, Sent
from tests.fakes.hostile_server import HostileServer, Wire

LOOPBACK = AddressPolicy.parse("http://127.0.0.0/8")


@pytest.fixture(name="http")
def make_http() -> Iterator[HttpClient]:
    client = HttpClient(LOOPBACK, user_agent="haulage-test")
    yield client
    client.close()


class Echo:
    """Answers with the path; `paths`: those that came."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []

    def __call__(self, wire: Wire) -> None:
        while request := wire.read_request():
            path = request.split(b" ")[1]
            self.paths.append(path)
            wire.answer(path)


def begin_and_fail(http: HttpClient, url: str) -> list[Sent]:
    begun: list[Sent] = []
    with suppress(LookupError), http.together():
        begun += [http.start(Request("GET", url)) for _ in range(3)]
        raise LookupError
    return begun


def test_calls_begun_together_leave_together(http: HttpClient) -> None:
    echo = Echo()
    with HostileServer(echo) as server:
        assert http.request(Request("GET", server.url + "/first")).body == b"/first"
        with http.together():
            begun = [http.start(Request("GET", f"{server.url}/{number}")) for number in range(5)]
            assert not any(each.is_sent for each in begun)
        while not all(each.is_over for each in begun):
            http.wait()
        assert [each.result().body for each in begun] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert sorted(echo.paths) == [b"/0", b"/1", b"/2", b"/3", b"/4", b"/first"]


def test_nothing_leaves_where_that_ends_with_an_exception(http: HttpClient) -> None:
    echo = Echo()
    with HostileServer(echo) as server:
        http.request(Request("GET", server.url + "/first"))
        begun = begin_and_fail(http, server.url + "/lost")
        for each in begun:
            each.abandon()
        assert http.request(Request("GET", server.url + "/later")).body == b"/later"
        assert http.start(Request("GET", server.url + "/last")).result().body == b"/last"
    assert echo.paths == [b"/first", b"/later", b"/last"]


def test_a_call_tells_whether_it_was_sent(http: HttpClient) -> None:
    def answers_once(wire: Wire) -> None:
        wire.read_request()
        wire.answer(b"")
        wire.hang()  # an answer that came at once would leave a kept connection to the call after it

    with HostileServer(answers_once) as server:
        http.request(Request("GET", server.url))  # the next one goes over the kept connection, at once
        sent = http.start(Request("GET", server.url))
        assert sent.is_sent
        sent.abandon()
        with http.together():
            begun = http.start(Request("GET", server.url))
            assert not begun.is_sent
            begun.abandon()
        assert not begun.is_sent
        assert not http.start(Request("GET", "http://10.0.0.1/")).is_sent


def test_bodies_are_let_go_with_their_calls(http: HttpClient) -> None:
    body = b"x" * 100_000
    before = sys.getrefcount(body)
    with HostileServer(Echo()) as server:
        assert http.request(Request("POST", server.url + "/p", (), body)).body == b"/p"
        assert sys.getrefcount(body) == before
        assert http.request(Request("POST", server.url + "/q", (), b"")).body == b"/q"


def test_handles_are_let_go_and_connections_kept(http: HttpClient) -> None:
    with HostileServer(Echo()) as server:
        for _ in range(3):
            begun = [http.start(Request("GET", f"{server.url}/{number}")) for number in range(4)]
            handles = [weakref.ref(each._transfer) for each in begun]
            assert [each.result().body for each in begun] == [b"/0", b"/1", b"/2", b"/3"]
            http.let_handles_go()
            assert [each() for each in handles] == [None] * 4
        assert server.connection_count <= 4


@pytest.mark.parametrize("is_next_leg", [False, True])
def test_no_call_goes_over_a_connection_that_the_other_side_has_closed(http: HttpClient, is_next_leg: bool) -> None:
    """libcurl takes any idle connection, not the one that the handle had before: each would be a row in doubt."""

    def play(wire: Wire) -> None:
        while wire.read_request():
            wire.answer(b"x")
            if wire.number == 1:
                return

    with HostileServer(play) as server:
        for number in range(5):
            assert http.start(Request("POST", server.url, (), b"row")).result().body == b"x"
            if number == 0:
                server.wait_for_close()
            if is_next_leg:
                http.let_handles_go()
