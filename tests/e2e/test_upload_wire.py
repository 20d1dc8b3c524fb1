"""Uploads over real sockets: what clients send, what they are told, and what is left of those that break off."""

import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fixtures.customer import PREFIX
from tests.fixtures.forms import CSV, END, FORM, about, part
from tests.fixtures.processes import PRODUCT
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

MOST = 30_000_000


@pytest.fixture(scope="module")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Without a worker: jobs stay as they were submitted."""
    with Stack(tmp_path_factory.mktemp("stack"), HAULAGE_UPLOAD_MAX_BYTES=str(MOST)) as started:
        yield started


@pytest.fixture
def stack(request: pytest.FixtureRequest, _stack: Stack) -> Stack:
    request.node.stash[PRODUCT] = _stack.product
    return _stack


@pytest.fixture
def element(stack: Stack) -> str:
    return stack.customer.connect(stack.vendor.account("uploads"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Larger than any buffer on the way, and with bytes of every kind."""
    path = tmp_path / "people.csv"
    path.write_bytes(CSV * 100_000 + os.urandom(3_000_001))
    return path


def curl(stack: Stack, element: str, *words: str, name: str = "people", status: int = 200) -> dict[str, Any]:
    if shutil.which("curl") is None:
        pytest.fail("curl is not installed; the end-to-end tests need it", pytrace=False)
    url = f"{stack.web.url}{PREFIX}/bulk/{name}"
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: {element}", *words, url]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    body, _, code = done.stdout.decode().rpartition("\n")
    assert (done.returncode, code) == (0, str(status)), (done.stderr, body)
    document: dict[str, Any] = json.loads(body)
    return document


def by_http_client(stack: Stack, element: str, body: bytes, name: str, status: int) -> dict[str, Any]:
    """Python's own client sends all of the body before it looks for an answer."""
    address = urlsplit(stack.web.url)
    client = HTTPConnection(address.hostname or "", address.port, timeout=60)
    with closing(client):
        client.request("POST", f"{PREFIX}/bulk/{name}", body, {"Authorization": element, "Content-Type": FORM})
        answer = client.getresponse()
        assert answer.status == status
        document: dict[str, Any] = json.loads(answer.read())
        return document


def stored(stack: Stack, job_id: int) -> bytes:
    with stack.rows() as connection:
        row = connection.execute("select object_key, input_bytes from uploads where job_id = %s", (job_id,)).fetchone()
    assert row is not None
    content = Path(stack.storage, row["object_key"]).read_bytes()
    assert len(content) == row["input_bytes"]
    return content


def nothing_is_left(stack: Stack) -> bool:
    folders = {path.name for path in (stack.storage / "uploads").glob("*")}
    with stack.rows() as connection:
        rows = connection.execute("select split_part(object_key, '/', 2) as folder from uploads").fetchall()
    return stack.number("select count(*) from intakes") == 0 and folders == {row["folder"] for row in rows}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-H", "Expect: 100-continue"),
        ("-H", "Expect:"),
        ("-H", "Transfer-Encoding: chunked"),
        ("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"),
    ],
    ids=["as it is", "expect", "no expect", "chunked", "chunked, expect"],
)
def test_curl_sends_a_form(stack: Stack, element: str, file: Path, words: tuple[str, ...]) -> None:
    options = 'metaData={"action":"upsert","identifierFieldName":"email"}'
    answer = curl(stack, element, *words, "-F", f"file=@{file};type=text/csv", "-F", options)
    assert answer["status"] == "CREATED"
    assert stored(stack, int(answer["id"])) == file.read_bytes()
    assert nothing_is_left(stack)
    shown = stack.customer.call("GET", f"/bulk/{answer['id']}/status", element).json()
    assert shown["jobDirection"] == "UPLOAD"
    assert shown["jobCriteria"]["metaData"]["identifierFieldName"] == "email"


@pytest.mark.parametrize("by", ["curl", "http.client"])
@pytest.mark.parametrize(
    ("name", "bad_element", "extra", "status"),
    [
        ("nothing", False, {}, 400),
        ("people", True, {}, 401),
        ("people", False, {"action": "none"}, 400),
        ("people", False, {"x": "y" * 70_000}, 413),
    ],
)
def test_a_refusal_is_read_by_a_client_that_is_still_sending(
    stack: Stack, element: str, file: Path, by: str, name: str, bad_element: bool, extra: dict[str, str], status: int
) -> None:
    """The connection is not reset over the answer, however early it is."""
    with file.open("ab") as grown:
        grown.write(b"x" * 15_000_000)
    element += "x" * bad_element
    if by == "curl":
        (file.parent / "options").write_text(json.dumps(extra))
        options = f"metaData=<{file.parent}/options"
        told = curl(stack, element, "-F", options, "-F", f"file=@{file}", name=name, status=status)
    else:
        told = by_http_client(stack, element, about(**extra) + part("file", file.read_bytes()) + END, name, status)
    assert told["message"]
    assert nothing_is_left(stack)


def test_a_file_that_is_too_large_is_told_so(stack: Stack, element: str, file: Path) -> None:
    with file.open("ab") as grown:
        grown.write(b"x" * MOST)
    for words in ((), ("-H", "Transfer-Encoding: chunked")):
        told = curl(stack, element, *words, "-F", f"file=@{file}", status=413)
        assert "HAULAGE_UPLOAD_MAX_BYTES" in told["message"]
    assert nothing_is_left(stack)


_WHOLE = about(action="create") + part("file", CSV * 20_000) + END


def head(stack: Stack, element: str, *headers: str) -> bytes:
    lines = [
        f"POST {PREFIX}/bulk/people HTTP/1.1",
        "Host: localhost",
        f"Authorization: {element}",
        f"Content-Type: {FORM}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def exchange(stack: Stack, sent: bytes, *, is_reset: bool = False, reads: bool = True) -> bytes:
    """Send this, and no more; the answer, if there is one."""
    address = urlsplit(stack.web.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(sent)
        if is_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while reads and (piece := client.recv(65_536)):
            answer += piece
        return answer


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("is_reset", [True, False])
def test_a_client_that_breaks_off_leaves_nothing(stack: Stack, element: str, share: float, is_reset: bool) -> None:
    before = stack.number("select count(*) from jobs")
    sent = _WHOLE[: int(len(_WHOLE) * share)]
    answer = exchange(stack, head(stack, element, f"Content-Length: {len(_WHOLE)}") + sent, is_reset=is_reset)
    if not is_reset:
        assert answer.startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: nothing_is_left(stack), "the intake to be discarded", 30)
    assert stack.number("select count(*) from jobs") == before


@pytest.mark.parametrize(
    "coded",
    [
        b"zz\r\n",
        b"fffffffffffffffff\r\nx",
        b"-5\r\nhello\r\n",
        b"5\r\nhelloXX",
        b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
        b"%x\r\n%s\r\n0\r\nbad trailer\r\n\r\n" % (len(_WHOLE), _WHOLE),
        b"%x\r\n%s\r\n" % (len(_WHOLE) // 2, _WHOLE[: len(_WHOLE) // 2]),
    ],
)
def test_a_transfer_coding_that_is_broken_is_no_crash(stack: Stack, element: str, coded: bytes) -> None:
    before = stack.number("select count(*) from jobs")
    answer = exchange(stack, head(stack, element, "Transfer-Encoding: chunked") + coded)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")), answer
    wait_until(lambda: nothing_is_left(stack), "the intake to be discarded", 30)
    assert stack.number("select count(*) from jobs") == before


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: many"],
        ["Content-Length: 0"],
        ["Content-Length: 10"],
        [],
        [f"X-{n}: {'y' * 8000}" for n in range(100)] + ["Content-Length: 0"],
        [f"X: {'y' * 100_000}", "Content-Length: 0"],
    ],
)
def test_headers_that_lie_are_refused(stack: Stack, element: str, headers: list[str]) -> None:
    before = stack.number("select count(*) from jobs")
    answer = exchange(stack, head(stack, element, *headers) + _WHOLE[:10])
    assert answer[:10] == b"HTTP/1.1 4", answer[:200]
    assert stack.number("select count(*) from jobs") == before
    assert nothing_is_left(stack)


def test_a_door_that_is_killed_leaves_a_row_that_the_sweeper_follows(stack: Stack, element: str) -> None:
    address = urlsplit(stack.web.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(head(stack, element, f"Content-Length: {len(_WHOLE)}") + _WHOLE[:-100])
        wait_until(
            lambda: list((stack.storage / "uploads").glob("*/.input.*.part")) != [], "the file to be written", 30
        )
        stack.web.kill()
    wait_until(lambda: stack.web.alive, "web to be started again", 30)
    assert stack.number("select count(*) from intakes") == 1
    with stack.rows() as connection:
        connection.execute("update intakes set created_at = now() - interval '3 hours'")
    wait_until(lambda: nothing_is_left(stack), "the sweeper to remove it", 30)
