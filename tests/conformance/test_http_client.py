"""The HTTP client against a server that misbehaves byte by byte."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from app.addresses import AddressPolicy
from app.errors import ConfigError, StopRequestedError
from app.http_client import BodyTooLarge, HttpClient, Interrupted, Request, Response, TransportError, _Lines
from tests.fakes.hostile_server import HostileServer, Play, Wire
from tests.fixtures.waiting import wait_until

LOOPBACK = AddressPolicy.parse("http://127.0.0.0/8,http://[::1/128]")
LIMIT_BYTES = 1_000_000
pack = partial(gzip.compress, mtime=0)  # the time would get into the tests' names, which must be alike in all runners


@pytest.fixture(name="http")
def make_http() -> Iterator[HttpClient]:
    client = HttpClient(LOOPBACK, user_agent="haulage-test", max_body_bytes=LIMIT_BYTES)
    yield client
    client.close()


def get(http: HttpClient, play: Play, path: str = "/list?api_key=secret", *, read_timeout_s: float = 20) -> Response:
    with HostileServer(play) as server:
        return http.request(Request("GET", server.url + path, read_timeout_s=read_timeout_s))


def failure(http: HttpClient, play: Play, *, read_timeout_s: float = 20) -> TransportError:
    with pytest.raises(TransportError) as caught:
        get(http, play, read_timeout_s=read_timeout_s)
    assert "secret" not in str(caught.value)
    return caught.value


def once(body: bytes, *headers: str, status: str = "200 OK") -> Play:
    def play(wire: Wire) -> None:
        while wire.read_request():
            wire.answer(body, *headers, status=status)

    return play


def raw(data: bytes) -> Play:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.send(data)

    return play


def test_a_whole_answer(http: HttpClient) -> None:
    response = get(http, once(b"body", "X-One: 1", "x-one: 2", "Empty:"))
    assert (response.status, response.body, response.wire_bytes) == (200, b"body", 4)
    assert response.headers.get("X-ONE") == "1"
    assert response.headers.get_all("X-One") == ("1", "2")
    assert response.headers.get("empty") == ""
    assert response.headers.get("none") is None


def test_what_is_sent(http: HttpClient) -> None:
    heads = []

    def play(wire: Wire) -> None:
        heads.append(wire.read_request())
        wire.answer(b"")

    with HostileServer(play) as server:
        http.request(Request("GET", f"{server.url}/a/../b?x=%24y", (("Authorization", "Bearer t"), ("X-Empty", ""))))
    head = heads[0].decode()
    assert head.startswith("GET /a/../b?x=%24y HTTP/1.1\r\n")
    for line in ("User-Agent: haulage-test", "Accept-Encoding: gzip", "Authorization: Bearer t", "X-Empty:"):
        assert f"\r\n{line}\r\n" in head


def test_a_body_is_sent_and_forgotten_again(http: HttpClient) -> None:
    seen = []

    def play(wire: Wire) -> None:
        while request := wire.read_request():
            seen.append(request)
            wire.answer(b"")

    with HostileServer(play) as server:
        http.request(Request("PUT", server.url, (), b"payload"))
        http.request(Request("GET", server.url))
        http.request(Request("DELETE", server.url))
    assert [each.split(b" ")[0] for each in seen] == [b"PUT", b"GET", b"DELETE"]
    assert [each.endswith(b"payload") for each in seen] == [True, False, False]


def test_connections_are_kept(http: HttpClient) -> None:
    with HostileServer(once(b"x")) as server:
        for _ in range(5):
            http.request(Request("GET", server.url))
        assert server.connection_count == 1


def test_each_thread_has_its_own_connection(http: HttpClient) -> None:
    barrier = threading.Barrier(2)

    def work(url: str) -> None:
        barrier.wait(10)
        http.request(Request("GET", url))
        http.close()

    with HostileServer(once(b"x")) as server:
        threads = [threading.Thread(target=work, args=(server.url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert server.connection_count == 2


def test_a_kept_connection_that_was_closed_meanwhile_goes_unnoticed(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.answer(b"%d" % wire.number)

    with HostileServer(play) as server:
        for number in range(1, 6):
            assert http.request(Request("GET", server.url)).body == b"%d" % number
            server.wait_for_close()


def test_a_request_that_died_on_a_kept_connection_is_not_sent_twice(http: HttpClient) -> None:
    requests = []

    def play(wire: Wire) -> None:
        while request := wire.read_request():
            requests.append(request)
            if len(requests) == 2:
                return
            wire.answer(b"x")

    with HostileServer(play) as server:
        http.request(Request("GET", server.url))
        with pytest.raises(TransportError) as caught:
            http.request(Request("GET", server.url))
        assert caught.value.kind == "stale"
        assert len(requests) == 2
        assert http.request(Request("GET", server.url)).body == b"x"


def test_redirects_are_answers_and_not_followed(http: HttpClient) -> None:
    assert get(http, once(b"", "Location: http://127.0.0.1:1/", status="302 Found")).status == 302


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found", "503 Busy", "299 Odd"])
def test_every_status_is_an_answer(http: HttpClient, status: str) -> None:
    assert get(http, raw(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())).status == int(status[:3])


def test_interim_answers_are_passed_over(http: HttpClient) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: <x>; rel=next\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    response = get(http, raw(answer))
    assert (response.status, response.body, response.headers.get("link")) == (200, b"x", None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
def test_a_cut_answer_is_never_taken_for_a_whole_one(http: HttpClient, data: bytes) -> None:
    assert failure(http, raw(data)).kind == "cut"


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/0.9 what\r\n\r\n", b"\x00\x01\x02" * 100])
def test_what_is_no_http_is_a_failure(http: HttpClient, data: bytes) -> None:
    assert failure(http, raw(data)).kind in {"cut", "decode"}


def test_endless_headers_end(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\n")
        wire.drip(b"X-Header: " + b"y" * 10_000 + b"\r\n", 0)

    failure(http, play)


def test_a_url_that_cannot_be_sent_is_a_failure(http: HttpClient) -> None:
    with pytest.raises(TransportError):
        get(http, once(b"body"), "/list?after=" + "x" * 9_000_000)


def test_silence_ends(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.hang()

    assert failure(http, play, read_timeout_s=1).kind == "timeout"


def test_a_drip_ends(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        wire.drip(b"x", 0.05)

    assert failure(http, play, read_timeout_s=1).kind == "timeout"


def test_a_port_that_nobody_listens_on(http: HttpClient) -> None:
    with HostileServer(once(b"")) as server:
        url = server.url
    with pytest.raises(TransportError) as caught:
        http.request(Request("GET", url))
    assert caught.value.kind == "connect"


def test_plain_http_where_tls_was_asked_for() -> None:
    http = HttpClient(AddressPolicy.parse("127.0.0.0/8"), user_agent="t")
    with (
        HostileServer(lambda wire: wire.send(b"HTTP/1.1 400 Bad\r\n\r\n")) as server,
        pytest.raises(TransportError) as caught,
    ):
        http.request(Request("GET", server.url.replace("http:", "https:")))
    assert caught.value.kind == "tls"


PAGE = b'{"records":[' + b'{"id":1},' * 5000 + b"{}]}"


@pytest.mark.parametrize(
    "packed",
    [
        pack(PAGE),
        pack(PAGE[:100]) + pack(PAGE[100:]),
        pack(b"") + pack(PAGE),
        pack(PAGE) + b"\0" * 10,
    ],
)
@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_gzip_of_one_or_many_members(http: HttpClient, packed: bytes, name: str) -> None:
    response = get(http, once(packed, f"Content-Encoding: {name}"))
    assert response.body == PAGE
    assert response.wire_bytes == len(packed)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "packed",
    [
        pack(PAGE)[:-4],
        pack(PAGE)[:100],
        pack(PAGE)[:5],
        pack(PAGE) + b"\x1f",
        pack(PAGE) + b"garbage",
        flipped(pack(PAGE)),
        pack(PAGE)[:-8] + b"\0\0\0\0" + pack(PAGE)[-4:],
        zlib.compress(PAGE),
        PAGE,
    ],
)
def test_damaged_or_truncated_gzip_is_never_taken_for_a_page(http: HttpClient, packed: bytes) -> None:
    assert failure(http, once(packed, "Content-Encoding: gzip")).kind == "decode"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate"])
def test_an_encoding_that_nobody_asked_for_is_a_failure(http: HttpClient, encoding: str) -> None:
    assert failure(http, once(b"x", f"Content-Encoding: {encoding}")).kind == "decode"


def test_no_body_needs_no_encoding(http: HttpClient) -> None:
    assert get(http, once(b"", "Content-Encoding: gzip", status="404 Not Found")).body == b""


@pytest.mark.parametrize("body", [b"x" * (LIMIT_BYTES + 1), pack(b"x" * 50 * LIMIT_BYTES)])
def test_a_body_over_the_limit_is_cut_off_and_named(http: HttpClient, body: bytes) -> None:
    headers = ["Content-Encoding: gzip"] if body.startswith(b"\x1f\x8b") else []
    error = failure(http, once(body, *headers))
    assert isinstance(error, BodyTooLarge)
    assert str(LIMIT_BYTES) in str(error)


def test_a_body_at_the_limit_is_read(http: HttpClient) -> None:
    assert len(get(http, once(b"x" * LIMIT_BYTES)).body) == LIMIT_BYTES
    packed = pack(b"x" * LIMIT_BYTES)
    assert len(get(http, once(packed, "Content-Encoding: gzip")).body) == LIMIT_BYTES


def test_a_body_without_end_is_cut_off(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                wire.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    assert isinstance(failure(http, play), BodyTooLarge)


def test_a_body_of_tiny_chunks_takes_no_more_memory_than_its_bytes(http: HttpClient) -> None:
    """Kept one by one, chunks of two bytes took sixty times as much: gigabytes for a page within the limit."""
    chunks = b"2\r\nab\r\n" * 10_000

    def play(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            wire.send(chunks)
        wire.send(b"0\r\n\r\n")

    tracemalloc.start()
    try:
        body = get(http, play).body
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert body == b"ab" * 400_000
    assert peak_bytes < 4 * len(body)


def test_lines_behind_the_body_are_no_headers(http: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-One: 2\r\n\r\n"
    response = get(http, raw(answer))
    assert (response.body, response.headers.get_all("x-one")) == (b"x", ("1",))


HEAD = b"HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\n"


def bodies() -> dict[str, Play]:
    """Answers whose bodies are useless, or worse."""

    def endless(wire: Wire) -> None:
        wire.read_request()
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                wire.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    def silent(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 9\r\n\r\nx")
        wire.hang()

    return {
        "whole": raw(HEAD + b"Content-Length: 2\r\n\r\nok"),
        "cut": raw(HEAD + b"Content-Length: 9\r\n\r\nx"),
        "damaged": raw(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"),
        "in an encoding that nobody knows": raw(HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nok"),
        "said to be too large": raw(HEAD + b"Content-Length: 99999999999\r\n\r\nx"),
        "no chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "endless": endless,
        "silent": silent,
    }


@pytest.mark.parametrize("body", bodies())
def test_where_only_the_head_counts_no_body_spoils_it(http: HttpClient, body: str) -> None:
    with HostileServer(bodies()[body]) as server:
        request = Request("POST", server.url, body=b"{}", is_body_wanted=False)
        response = http.request(request, lambda: False)
    assert (response.status, response.headers.get("retry-after"), response.body) == (202, "7", b"")
    assert get(http, once(b"and the next one is read")).body == b"and the next one is read"


def test_a_body_that_only_the_head_counts_of_takes_no_memory(http: HttpClient) -> None:
    """Each callback process has dozens of calls under way, whose receivers may be anybody's."""
    tracemalloc.start()
    try:
        with HostileServer(bodies()["endless"]) as server:
            for _ in range(2):
                http.request(Request("POST", server.url, body=b"{}", is_body_wanted=False))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < LIMIT_BYTES


def test_without_a_head_there_is_no_answer(http: HttpClient) -> None:
    for data in (b"HTTP/1.1 200 OK\r\nX: y", b"HTTP/1.1 100 Continue\r\n\r\n"):
        with HostileServer(raw(data)) as server, pytest.raises(TransportError):
            http.request(Request("POST", server.url, body=b"{}", is_body_wanted=False))


def test_a_call_is_on_its_way_before_anybody_asks_for_its_result(http: HttpClient) -> None:
    asked = threading.Semaphore(0)

    def play(wire: Wire) -> None:
        while wire.read_request():
            asked.release()
            wire.answer(b"body")

    with HostileServer(play) as server:
        assert http.request(Request("GET", server.url)).body == b"body"
        assert asked.acquire(timeout=10)
        sent = http.start(Request("GET", server.url))
        assert asked.acquire(timeout=10)
        assert sent.result().body == b"body"


def test_two_calls_are_under_way_in_one_thread(http: HttpClient) -> None:
    both = threading.Barrier(2)

    def play(wire: Wire) -> None:
        while request := wire.read_request():
            both.wait(10)
            wire.answer(request.split(b" ")[1])

    with HostileServer(play) as server:
        for _ in range(3):
            first, second = (http.start(Request("GET", server.url + path)) for path in ("/1", "/2"))
            assert (second.result().body, first.result().body) == (b"/2", b"/1")
        assert server.connection_count == 2


def test_an_abandoned_call_leaves_nothing_behind(http: HttpClient) -> None:
    def play(wire: Wire) -> None:
        while request := wire.read_request():
            wire.answer(request.split(b" ")[1])

    with HostileServer(play) as server:
        for _ in range(3):
            abandoned = http.start(Request("GET", server.url + "/old"))
            abandoned.abandon()
            abandoned.abandon()
            assert http.request(Request("GET", server.url + "/new")).body == b"/new"


@pytest.mark.parametrize(("size", "kept"), [(100_000, 100_000), (300_000, 0)])
def test_the_memory_of_a_large_answer_is_not_kept(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch, size: int, kept: int
) -> None:
    monkeypatch.setattr("app.http_transfer._KEPT_BODY_BYTES", 200_000)
    with HostileServer(once(b"x" * size)) as server:
        sent = http.start(Request("GET", server.url))
        assert sent._transfer is not None
        heads, body = sent._transfer._head_lines, sent._transfer._body  # the handle has hold of these
        assert len(sent.result().body) == size
    assert (heads, len(body.getvalue())) == ([], kept)


def test_a_shorter_answer_behind_a_longer_one_is_whole(http: HttpClient) -> None:
    for text in (b"a long answer", b"short", b""):
        with HostileServer(once(text)) as server:
            assert http.request(Request("GET", server.url)).body == text


def test_a_connection_that_was_only_begun_may_be_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent over it: when its time is up it is begun anew, and the vendor counts one call."""
    monkeypatch.setattr("app.http_client._LEFT_ALONE_S", 0.1)
    client = HttpClient(LOOPBACK, user_agent="haulage-test", connect_timeout_s=0.3)
    with HostileServer(once(b"body")) as server:
        sent = client.start(Request("GET", server.url))
        left_until = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > left_until, "the time limit of the connection to pass")
        assert sent.result().body == b"body"
    client.close()


def test_descriptors_beyond_those_of_select_are_waited_for_calmly(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def play(wire: Wire) -> None:
        while wire.read_request():
            asked.wait(10)
            wire.answer(b"late")

    wait, waits = _Lines._wait, count()
    monkeypatch.setattr(_Lines, "_wait", lambda lines: wait(lines) if next(waits) >= 0 else None)
    with HostileServer(play) as server, contextlib.ExitStack() as opened:
        for _ in range(1100):
            opened.enter_context(socket.socket())
        threading.Timer(0.3, asked.set).start()
        assert http.request(Request("GET", server.url)).body == b"late"
    assert next(waits) < 1000


def test_what_cannot_be_sent_is_told_with_the_result(http: HttpClient) -> None:
    refused = http.start(Request("GET", "http://10.0.0.1/"))
    with pytest.raises(TransportError) as caught:
        refused.result()
    assert caught.value.kind == "refused_address"
    refused.abandon()


def test_the_client_is_good_after_any_failure(http: HttpClient) -> None:
    for play in (raw(b""), once(b"x" * (LIMIT_BYTES + 1)), once(PAGE, "Content-Encoding: gzip")):
        failure(http, play)
        assert get(http, once(b"fine")).body == b"fine"


def test_the_beat_is_heard_while_nothing_arrives(http: HttpClient) -> None:
    beats = []

    def beat() -> bool:
        beats.append(time.monotonic())
        return len(beats) < 2

    def play(wire: Wire) -> None:
        wire.read_request()
        wire.hang()

    with HostileServer(play) as server, pytest.raises(Interrupted) as caught:
        http.request(Request("GET", server.url), beat)
    assert isinstance(caught.value, StopRequestedError)
    assert len(beats) == 2


def test_what_a_beat_raises_comes_out(http: HttpClient) -> None:
    def beat() -> bool:
        raise KeyError("lease")

    def play(wire: Wire) -> None:
        wire.read_request()
        wire.hang()

    with HostileServer(play) as server, pytest.raises(KeyError):
        http.request(Request("GET", server.url), beat)


def test_a_quick_answer_needs_no_beat(http: HttpClient) -> None:
    with HostileServer(once(b"x")) as server:
        assert http.request(Request("GET", server.url), lambda: False).body == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"])
def test_private_addresses_are_refused_before_a_byte_is_sent(host: str) -> None:
    heard = []

    def play(wire: Wire) -> None:
        heard.append(wire.read_request())

    http = HttpClient(AddressPolicy(), user_agent="t")
    with HostileServer(play) as server:
        url = server.url.replace("127.0.0.1", host)
        with pytest.raises(TransportError) as caught:
            http.request(Request("GET", url))
        assert server.connection_count == 0
    assert caught.value.kind == "refused_address"
    assert "HAULAGE_ALLOW_NETWORKS" in str(caught.value)


class Unwatchful(AddressPolicy):
    """A policy that lets every URL pass, as a name does that resolves to something else when it is dialled."""

    def check_url(self, url: str) -> None:
        """Nothing."""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0"])
def test_the_dialled_address_is_checked_whatever_the_name_said(host: str) -> None:
    http = HttpClient(Unwatchful(), user_agent="t")
    with HostileServer(once(b"x")) as server:
        with pytest.raises(TransportError) as caught:
            http.request(Request("GET", server.url.replace("127.0.0.1", host)))
        assert server.connection_count == 0
    assert caught.value.kind == "refused_address"


def test_the_environment_is_not_asked(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(http, once(b"direct")).body == b"direct"


def test_a_proxy_is_used_where_it_is_set() -> None:
    heads = []

    def play(wire: Wire) -> None:
        heads.append(wire.read_request())
        wire.answer(b"by proxy")

    with HostileServer(play) as server:
        http = HttpClient(LOOPBACK, user_agent="t", proxy_url=server.url)
        assert http.request(Request("GET", "http://127.0.0.1:9/x")).body == b"by proxy"
    assert heads[0].startswith(b"GET http://127.0.0.1:9/x ")


def test_no_cookie_is_kept(http: HttpClient) -> None:
    heads = []

    def play(wire: Wire) -> None:
        while head := wire.read_request():
            heads.append(head)
            wire.answer(b"", "Set-Cookie: a=b; Path=/")

    with HostileServer(play) as server:
        http.request(Request("GET", server.url))
        http.request(Request("GET", server.url))
    assert b"Cookie" not in heads[1]


@pytest.mark.parametrize("header", [("X-A", "b\r\nX-C: d"), ("X-A\r\nX-C", "b")])
def test_headers_cannot_be_smuggled(http: HttpClient, header: tuple[str, str]) -> None:
    with HostileServer(once(b"")) as server, pytest.raises(ConfigError):
        http.request(Request("GET", server.url, (header,)))
