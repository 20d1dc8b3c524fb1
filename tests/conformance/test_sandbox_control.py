"""Control of the sandbox from outside and inside, its log, its command line, and how it survives its clients."""

import json
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.sandbox import BadDocumentError, SandboxServer
from app.sandbox.accounts import ACCOUNTS_MAX, LOG_LINES
from app.sandbox.faults import When
from app.sandbox.habits import Habits
from app.sandbox.limits import Limit
from app.sandbox.settings import Plain
from app.sandbox.troubles import TROUBLES
from app.sandbox.vocabulary import describe
from tests.fakes.naive_client import NaiveClient, bearer


@pytest.fixture(name="client")
def open_client(sandbox: SandboxServer) -> Iterator[NaiveClient]:
    with NaiveClient(sandbox.url) as client:
        yield client


def put(client: NaiveClient, name: str, document: object, method: str = "PUT") -> tuple[int, Any]:
    reply = client.send(method, f"/_control/accounts/{name}", body=json.dumps(document).encode())
    return reply.status, reply.json


def test_put_replaces_and_patch_changes(client: NaiveClient) -> None:
    settings = {"records": 7, "habits": {"total": "absent"}}
    assert put(client, "c1", settings)[1]["settings"] == settings
    assert put(client, "c1", {"records": 8}, "PATCH")[1]["settings"] == {**settings, "records": 8}
    assert client.get("/page/records", bearer("c1.s")).json.keys() == {"data"}
    put(client, "c1", {})
    assert client.get("/page/records", bearer("c1.s")).json["total"] == 25


def test_accounts_do_not_meet(client: NaiveClient, sandbox: SandboxServer) -> None:
    sandbox.account("left").configure(records=1)
    sandbox.account("right").configure(records=2, faults=[{"calls": 2, "do": "status"}])
    seen = [client.get("/page/records", bearer(f"{name}.s")) for name in ("left", "right", "left", "right")]
    assert [reply.status for reply in seen] == [200, 200, 200, 503]
    assert (seen[0].json["total"], seen[1].json["total"]) == (1, 2)
    assert (sandbox.account("left").calls, sandbox.account("right").calls) == (2, 2)


@pytest.mark.parametrize(
    ("document", "named", "accepted"),
    [
        ({"recods": 5}, "account.recods: 5", "records, seed"),
        ({"records": -1}, "account.records: -1", "a whole number from 0"),
        ({"records": True}, "account.records: True", "a whole number from 0"),
        ({"habits": {"past_end": "explode"}}, "habits.past_end: 'explode'", '"repeat_last"'),
        ({"habits": {"nice": 1}}, "habits.nice: 1", "past_end, total"),
        ({"habits": []}, "habits: []", "an object with the keys"),
        ({"habits": {"next_links": 'http://x"y'}}, "habits.next_links", "an origin such as"),
        ({"limits": {}}, "limits: {}", "an array"),
        ({"limits": [{"per_s": 0}]}, "limits[0].per_s: 0", "a number from 0.001"),
        ({"faults": 3}, "faults: 3", "an array of fault rules"),
        ({"faults": [{"do": "explode"}]}, "faults[0].do: 'explode'", '"html_200"'),
        ({"faults": [{}]}, "faults[0].do: None", '"html_200"'),
        ({"faults": ["cut"]}, "faults[0].do: 'cut'", '"html_200"'),
        ({"faults": [{"do": ["cut"]}]}, "faults[0].do: ['cut']", '"html_200"'),
        ({"faults": [{"do": "cut", "status": 5}]}, "faults[0].status: 5", "do, calls, every"),
        ({"faults": [{"do": "cut", "calls": "a..b"}]}, "faults[0].calls: 'a..b'", '"3..5"'),
        ({"faults": [{"do": "status", "status": 200}]}, "faults[0].status: 200", "from 300 to 599"),
        ([], "body: []", "a JSON object"),
        ({"self": 1}, "account.self: 1", "records, seed"),
    ],
)
def test_a_bad_document_is_refused_by_name(client: NaiveClient, document: object, named: str, accepted: str) -> None:
    status, reply = put(client, "c2", document)
    message = reply["error"]["message"]
    assert status == 400
    assert message.startswith(named)
    assert accepted in message.partition("accepted: ")[2]


def test_a_refused_document_changes_nothing(sandbox: SandboxServer) -> None:
    account = sandbox.account("c3")
    account.configure(records=3)
    with pytest.raises(BadDocumentError):
        account.configure(records=4, habits={"total": "no"})
    assert account.settings.plain.records == 3


def test_bodies_that_are_no_json_are_refused(client: NaiveClient) -> None:
    for body in (b"{", b"", b"\xff"):
        assert client.send("PUT", "/_control/accounts/c4", body=body).status == 400
    assert client.send("PUT", "/_control/accounts/bad.name", body=b"{}").status == 400
    assert client.send("PUT", "/_control/nothing", body=b"{}").status == 404


def test_the_log_tells_each_call(sandbox: SandboxServer, client: NaiveClient) -> None:
    account = sandbox.account("c5")
    first = client.get("/offset/records?offset=5&limit=10", bearer("c5.s"))
    client.get("/offset/records?offset=bad", {**bearer("c5.s"), "Prefer": "odata.maxpagesize=3"})
    account.wait_until_idle()
    lines = [json.loads(line) for line in client.get("/_control/accounts/c5/log").body.splitlines()]
    assert lines == [entry.document() for entry in account.log()]
    assert [
        (line["number"], line["method"], line["path"], line["query"], line["status"], line["records"]) for line in lines
    ] == [
        (1, "GET", "/offset/records", "offset=5&limit=10", 200, 10),
        (2, "GET", "/offset/records", "offset=bad", 400, 0),
    ]
    assert (lines[0]["first_id"], lines[0]["last_id"], lines[0]["bytes"]) == (6, 15, len(first.body))
    assert lines[0]["complete"] is True
    assert lines[0]["monotonic_s"] <= lines[1]["monotonic_s"]
    assert lines[1]["headers"]["prefer"] == "odata.maxpagesize=3"


def test_the_log_can_be_read_on_and_cleared(sandbox: SandboxServer, client: NaiveClient) -> None:
    for _ in range(3):
        client.get("/page/records", bearer("c6.s"))
    later = client.get("/_control/accounts/c6/log?after=2").body.splitlines()
    assert [json.loads(line)["number"] for line in later] == [3]
    assert client.get("/_control/accounts/c6/log?after=x").status == 400
    assert client.send("DELETE", "/_control/accounts/c6/log").status == 204
    assert (sandbox.account("c6").calls, sandbox.account("c6").log()) == (0, [])


def test_the_log_is_a_ring_and_the_counters_are_not(sandbox: SandboxServer, client: NaiveClient) -> None:
    account = sandbox.account("c7")
    account.configure(records=1)
    for _ in range(LOG_LINES + 5):
        client.get("/page0/records", bearer("c7.s"))
    assert len(account.log()) == LOG_LINES
    assert account.log()[-1].number == account.calls == account.counters["records"] == LOG_LINES + 5


def test_an_account_can_be_forgotten(sandbox: SandboxServer, client: NaiveClient) -> None:
    put(client, "c8", {"records": 3})
    assert client.send("DELETE", "/_control/accounts/c8").status == 204
    assert "c8" not in client.get("/_control/accounts").json["accounts"]
    assert client.get("/_control/accounts/c8").json["settings"] == {}


def test_the_number_of_accounts_is_bounded() -> None:
    with SandboxServer() as server, NaiveClient(server.url) as client:
        for i in range(ACCOUNTS_MAX):
            server.account(f"a{i}")
        assert client.get("/page/records", bearer("one-more.s")).status == 503
        client.close()
        assert client.get("/page/records", bearer("a1.s")).status == 200


def test_the_manual_names_every_word(client: NaiveClient) -> None:
    manual = client.get("/").body.decode()
    document = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    words = [row["key"] for table in (Plain, Habits, Limit, When, *TROUBLES.values()) for row in describe(table)]
    assert [word for word in (*words, *TROUBLES) if word not in manual] == []
    assert [word for word in (*words, *TROUBLES) if f"`{word}`" not in document] == []
    assert client.get("/_control/vocabulary").json["faults"]["do"].keys() == TROUBLES.keys()


def test_a_control_release_frees_a_held_call(sandbox: SandboxServer, client: NaiveClient) -> None:
    put(client, "c9", {"faults": [{"do": "hold"}]})
    with socket.create_connection(("127.0.0.1", sandbox.port)) as held:
        held.sendall(b"GET /page/records HTTP/1.1\r\nAuthorization: Bearer c9.s\r\n\r\n")
        sandbox.account("c9").wait_for_held()
        assert client.get("/_control/accounts/c9").json["held"] == 1
        assert client.send("POST", "/_control/accounts/c9/release").status == 204
        assert held.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"PUT / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
def test_bytes_that_are_no_request_are_answered(sandbox: SandboxServer, request_bytes: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(12) == b"HTTP/1.1 " + status


def test_http_1_0_connections_close(sandbox: SandboxServer) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(b"GET /page/records HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")


def test_clients_that_vanish_leave_nothing_behind(sandbox: SandboxServer, client: NaiveClient) -> None:
    account = sandbox.account("c10")
    account.configure(habits={"pad_bytes": 1_000_000})
    for sent in (b"GET /pa", b"GET /none/records HTTP/1.1\r\nAuthorization: Bearer c10.s\r\n\r\n"):
        connection = socket.create_connection(("127.0.0.1", sandbox.port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(sent)
        if b"none" in sent:
            account.wait_for_calls(1)
        connection.close()
    account.wait_until_idle()
    assert not account.log()[0].complete
    assert client.get("/page/records").status == 200


def test_stop_ends_every_call(client: NaiveClient) -> None:
    server = SandboxServer().start()
    server.account("c11").configure(faults=[{"do": "hang"}])
    with socket.create_connection(("127.0.0.1", server.port)) as hanging:
        hanging.sendall(b"GET /page/records HTTP/1.1\r\nAuthorization: Bearer c11.s\r\n\r\n")
        server.account("c11").wait_for_calls(1)
        server.stop()
        assert hanging.recv(1) == b""
    server.account("c11").wait_until_idle()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_the_command_line_serves_until_told_to_stop() -> None:
    command = [sys.executable, "-m", "app.sandbox", "--port", "0", "--records", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline().split()
        assert first[:3] == ["sandbox", "listening", "on"]
        assert process.stdout.readline().strip().startswith(f"curl '{first[3]}/page/records")
        with NaiveClient(first[3]) as client:
            assert len(client.get("/none/records").records()) == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_taken_port_is_told_in_one_line(sandbox: SandboxServer) -> None:
    command = [sys.executable, "-m", "app.sandbox", "--port", str(sandbox.port)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 1
    assert finished.stderr == f"cannot listen on 127.0.0.1:{sandbox.port}: Address already in use; try --port 0\n"
