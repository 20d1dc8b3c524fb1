"""Each fault of the sandbox, when it strikes and what it does; rate limits too."""

import http.client
import re
import socket
import threading
import time
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain

import msgspec
import pytest

from app.sandbox import Account, SandboxServer
from app.sandbox.limits import Limit, Meter
from tests.fakes.naive_client import NaiveClient, Reply, bearer, walk

PAGE = "/page/records?page=2&per_page=10"


def statuses(client: NaiveClient, count: int, target: str = PAGE) -> list[int]:
    return [client.get(target).status for _ in range(count)]


# When


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({"calls": 2}, [2]),
        ({"calls": "2"}, [2]),
        ({"calls": "3..5"}, [3, 4, 5]),
        ({"calls": "6.."}, [6, 7, 8]),
        ({"every": 3}, [3, 6]),
        ({"calls": "4..", "times": 2}, [4, 5]),
        ({"path": "/link/"}, []),
        ({"path": "/page/", "times": 1}, [1]),
        ({"rate": 0}, []),
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_a_rule_strikes_its_calls(
    client: NaiveClient, account: Account, when: dict[str, object], struck: list[int]
) -> None:
    account.configure(faults=[{**when, "do": "status", "status": 503}])
    assert [i for i, status in enumerate(statuses(client, 8), 1) if status == 503] == struck
    assert [entry.number for entry in account.log() if entry.fault == "status"] == struck
    assert account.counters["fault_status"] == len(struck)


def test_a_rate_is_drawn_the_same_way_again(client: NaiveClient, account: Account) -> None:
    def run(seed: int) -> list[int]:
        account.configure(faults=[{"rate": 0.2, "seed": seed, "do": "status"}])
        return statuses(client, 500)

    first = run(7)
    assert run(7) == first
    assert run(8) != first
    assert 60 < first.count(503) < 140


def test_the_first_rule_that_fits_strikes(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"calls": 2, "do": "status", "status": 500}, {"do": "status", "status": 502}])
    assert statuses(client, 3) == [502, 500, 502]


# Instead of the page


@pytest.mark.parametrize(("body", "start"), [("json", b'{"error"'), ("html", b"<!DOCTYPE"), ("empty", b"")])
def test_an_error_status(client: NaiveClient, account: Account, body: str, start: bytes) -> None:
    account.configure(faults=[{"do": "status", "status": 502, "body": body, "code": "cursor_expired"}])
    reply = client.get(PAGE)
    assert reply.status == 502
    assert reply.body.startswith(start)
    assert (b"cursor_expired" in reply.body) == (body == "json")


def wait_of(reply: Reply) -> float:
    """Seconds that a 429 asks for, whatever its form; none told is 0."""
    now_s = time.time()
    if told := reply.headers.get("retry-after"):
        return float(told) if told.isdigit() else parsedate_to_datetime(told).timestamp() - now_s
    reset = reply.headers.get("x-ratelimit-reset", "0")
    if not reset.isdigit():
        return datetime.fromisoformat(reset).replace(tzinfo=UTC).timestamp() - now_s
    scale, zero_s = {10: (1, now_s), 13: (1000, now_s)}.get(len(reset), (1, 0.0))
    return int(reset) / scale - zero_s


@pytest.mark.parametrize(
    ("tell", "pattern"),
    [
        ("nothing", None),
        ("retry_after", r"90"),
        ("retry_after_date", r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT"),
        ("reset_seconds", r"90"),
        ("reset_epoch", r"\d{10}"),
        ("reset_epoch_ms", r"\d{13}"),
        ("reset_iso", r"[\d-]{10}T[\d:]{8}Z"),
    ],
)
def test_429_tells_the_wait(client: NaiveClient, account: Account, tell: str, pattern: str | None) -> None:
    account.configure(faults=[{"do": "status", "status": 429, "wait_s": 90, "tell": tell}])
    reply = client.get(PAGE)
    told = reply.headers.get("retry-after" if tell.startswith("retry") else "x-ratelimit-reset")
    assert reply.status == 429
    if pattern is None:
        assert told is None
        assert "retry-after" not in reply.headers
    else:
        assert re.fullmatch(pattern, told or "")
        assert 60 < wait_of(reply) < 92


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_html_with_status_200(client: NaiveClient, account: Account, content_type: str) -> None:
    account.configure(faults=[{"do": "html_200", "content_type": content_type}])
    reply = client.get(PAGE)
    assert (reply.status, reply.headers["content-type"]) == (200, content_type)
    assert reply.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("to", ["", "http://10.0.0.1/secrets"])
def test_a_redirect(client: NaiveClient, account: Account, to: str) -> None:
    account.configure(faults=[{"do": "redirect", "status": 307, "to": to}])
    reply = client.get(PAGE)
    assert (reply.status, reply.headers["location"]) == (307, to or PAGE)


# The page itself


def test_an_empty_page_with_total_zero(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"calls": 2, "do": "empty_ok"}])
    first, second, third = (client.get(PAGE) for _ in range(3))
    assert second.json == {"data": [], "total": 0, "pages": 0}
    assert first.body == third.body != second.body


@pytest.mark.parametrize("kind", ["page", "page0", "offset", "keyset", "cursor", "cursor-header", "next-url", "link"])
def test_the_page_before_comes_again(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(faults=[{"calls": 2, "do": "repeat_page"}])
    list_client = iter(walk(client, kind, 10))
    first, second = next(list_client), next(list_client)
    assert first == second


def test_the_page_before_comes_under_the_right_cursor(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"calls": 2, "do": "repeat_page"}])
    pages = walk(client, "cursor", 10)
    expected = list(account.expected())
    assert pages == [expected[:10], expected[:10], expected[20:]]


def test_the_same_cursor_comes_back(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"calls": 2, "do": "same_cursor"}])
    pages = walk(client, "cursor-header", 10)
    assert len(pages) == 4
    assert pages[1] == pages[2]
    queries = [entry.query for entry in account.log()]
    assert queries[1] == queries[2] != queries[3]


# On the wire


def test_a_late_answer_is_right(client: NaiveClient, account: Account) -> None:
    plain = client.get(PAGE).body
    account.configure(faults=[{"do": "delay", "seconds": 0.05}])
    began = time.monotonic()
    assert client.get(PAGE).body == plain
    assert time.monotonic() - began >= 0.05


def test_latency_of_every_answer(client: NaiveClient, account: Account) -> None:
    account.configure(latency_ms=50)
    began = time.monotonic()
    assert statuses(client, 2) == [200, 200]
    assert time.monotonic() - began >= 0.1


def test_a_hang_ends_when_the_client_leaves(sandbox: SandboxServer, account: Account) -> None:
    account.configure(faults=[{"do": "hang"}])
    with NaiveClient(sandbox.url, bearer(account.token), timeout_s=0.1) as impatient, pytest.raises(TimeoutError):
        impatient.get(PAGE)
    account.wait_until_idle()
    assert not account.log()[-1].complete


def test_a_hang_ends_by_closing(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"do": "hang", "seconds": 0.01}])
    with pytest.raises(http.client.RemoteDisconnected):
        client.get(PAGE)


def test_a_held_call_goes_on_when_released(sandbox: SandboxServer, account: Account) -> None:
    account.configure(faults=[{"calls": 1, "do": "hold"}])
    replies: list[Reply] = []

    def call() -> None:
        with NaiveClient(sandbox.url, bearer(account.token)) as client:
            replies.append(client.get(PAGE))

    caller = threading.Thread(target=call)
    caller.start()
    account.wait_for_held()
    assert not replies
    account.release()
    caller.join(30)
    assert [reply.status for reply in replies] == [200]


def test_a_dripping_body_arrives_whole(client: NaiveClient, account: Account) -> None:
    plain = client.get(PAGE).body
    account.configure(faults=[{"do": "drip", "piece_bytes": 500, "pause_s": 0.001}])
    assert client.get(PAGE).body == plain


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_body(client: NaiveClient, account: Account, chunked: bool) -> None:
    plain = client.get(PAGE).body
    account.configure(habits={"chunked": chunked}, faults=[{"calls": 1, "do": "cut", "share": 0.25}])
    with pytest.raises(http.client.IncompleteRead) as cut:
        client.get(PAGE)
    assert plain.startswith(cut.value.partial)
    account.wait_until_idle()
    assert not account.log()[-1].complete
    client.close()
    assert client.get(PAGE).body == plain


@pytest.mark.parametrize("fault", ["cut", "drop"])
def test_a_reset_connection(client: NaiveClient, account: Account, fault: str) -> None:
    account.configure(faults=[{"do": fault, "reset": True}])
    with pytest.raises(ConnectionResetError):
        client.get(PAGE)


def test_a_dropped_connection(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"do": "drop"}])
    with pytest.raises(http.client.RemoteDisconnected):
        client.get(PAGE)


def test_garbage_instead_of_http(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"do": "garbage"}])
    with pytest.raises(http.client.BadStatusLine):
        client.get(PAGE)


@pytest.mark.parametrize("packing", ["never", "always"])
def test_a_truncated_gzip_body_under_a_right_length(client: NaiveClient, account: Account, packing: str) -> None:
    plain = client.get(PAGE).body
    account.configure(habits={"gzip": packing}, faults=[{"do": "truncated_gzip"}])
    reply = client.get(PAGE)
    unpacker = zlib.decompressobj(wbits=31)
    assert plain.startswith(unpacker.decompress(reply.body))
    assert not unpacker.eof
    assert reply.headers["content-encoding"] == "gzip"


def test_truncated_json_under_a_right_length(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"do": "truncated_json"}])
    reply = client.get(PAGE)
    with pytest.raises(msgspec.DecodeError):
        assert reply.json


def test_invalid_utf8(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"do": "invalid_utf8"}])
    with pytest.raises(UnicodeDecodeError):
        client.get(PAGE).body.decode()


def test_a_fault_that_passes_leaves_the_list_whole(client: NaiveClient, account: Account) -> None:
    account.configure(faults=[{"rate": 0.5, "seed": 3, "do": "status"}])
    seen: list[bytes] = []
    page = 1
    while page <= 3:
        reply = client.get(f"/page/records?page={page}&per_page=10")
        if reply.status == 200:
            seen += reply.records("data")
            page += 1
    assert seen == list(account.expected())
    assert account.counters["fault_status"] == account.calls - 3


# Limits


@pytest.mark.parametrize("window", ["sliding", "fixed"])
def test_calls_above_the_limit_get_429(client: NaiveClient, account: Account, window: str) -> None:
    account.configure(limits=[{"calls": 3, "per_s": 3600, "window": window}])
    assert statuses(client, 5) == [200, 200, 200, 429, 429]
    refused = client.get(PAGE)
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert account.counters["status_429"] == 3


@pytest.mark.parametrize(
    ("window", "waits_s"), [("sliding", [0, 0, 4, 0, 3, 0]), ("fixed", [0, 0, 4, 0, 0, 5])], ids=["sliding", "fixed"]
)
def test_a_limit_lets_calls_pass_again(window: str, waits_s: list[float]) -> None:
    meter = Meter(Limit(calls=2, per_s=10, window=window))
    seen = []
    for now in (100.0, 103.0, 106.0, 110.0, 110.0, 115.0):
        seen.append(meter.wait_s(now))
        if not seen[-1]:
            meter.accept(now)
    assert seen == waits_s


def test_the_daily_quota_stands_beside_the_burst(client: NaiveClient, account: Account) -> None:
    account.configure(
        limits=[{"calls": 100, "per_s": 1}, {"calls": 2, "per_s": 86_400, "status": 403, "tell": "reset_epoch"}]
    )
    first = client.get(PAGE)
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("2", "1")
    assert 86_000 < wait_of(first) <= 86_401
    assert statuses(client, 2) == [200, 403]
    assert account.log()[-1].records == 0


def test_too_many_calls_at_once_get_429(sandbox: SandboxServer, client: NaiveClient, account: Account) -> None:
    account.configure(concurrent_max=1, faults=[{"calls": 1, "do": "hold"}])
    with socket.create_connection(("127.0.0.1", sandbox.port)) as other:
        other.sendall(f"GET {PAGE} HTTP/1.1\r\nAuthorization: Bearer {account.token}\r\n\r\n".encode())
        account.wait_for_held()
        assert client.get(PAGE).status == 429
        assert account.log()[-1].concurrency == 2
        assert account.counters["concurrency_max"] == 2
        account.release()
        assert other.recv(12) == b"HTTP/1.1 200"


def test_refused_calls_do_not_move_the_list(client: NaiveClient, account: Account) -> None:
    account.configure(limits=[{"calls": 2, "per_s": 0.02}])
    pages = []
    for page in (1, 2, 3):
        while (reply := client.get(f"/page0/records?page={page - 1}&per_page=10")).status == 429:
            pass
        pages.append(reply.records())
    assert list(chain(*pages)) == list(account.expected())
