"""The write side of the sandbox, judged by a client without any of our code."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

import pytest

from app.sandbox import Account, SandboxServer
from app.sandbox.writes import BATCH_MAX
from tests.fakes.naive_client import NaiveClient, Reply

ADA = {"email": "ada@x.test", "age": 36, "name": "Ada"}


def send(client: NaiveClient, method: str, path: str, document: Any = None, **headers: str) -> Reply:
    body = None if document is None else json.dumps(document).encode()
    return client.send(method, path, {"Content-Type": "application/json", **headers}, body)


def test_one_person_from_its_birth_to_its_end(client: NaiveClient) -> None:
    assert send(client, "POST", "/people", ADA).json == {"id": 1, **ADA}
    assert send(client, "GET", "/people/1").json == {"id": 1, **ADA}
    assert send(client, "PATCH", "/people/1", {"age": 37}).json == {"id": 1, **ADA, "age": 37}
    assert send(client, "DELETE", "/people/1").status == 204
    assert [send(client, method, "/people/1", {}).status for method in ("GET", "PATCH", "DELETE")] == [404, 404, 404]


def test_an_upsert_makes_or_changes(client: NaiveClient) -> None:
    made = send(client, "PUT", "/people/by-email/ada%40x.test", {"age": 1})
    changed = send(client, "PUT", "/people/by-email/ada@x.test", {"age": 2})
    assert (made.status, changed.status) == (201, 200)
    assert changed.json == {"email": "ada@x.test", "age": 2, "id": 1}


def test_people_are_listed_by_id_and_found_by_email(client: NaiveClient) -> None:
    for number in range(5):
        send(client, "POST", "/people", {"email": f"{number}@x"})
    page = send(client, "GET", "/people?after_id=1&limit=2").json
    assert ([each["id"] for each in page["people"]], page["total"]) == ([2, 3], 5)
    assert send(client, "GET", "/people?email=3%40x").json == {"people": [{"id": 4, "email": "3@x"}], "total": 1}
    assert send(client, "GET", "/people?email=no").json == {"people": [], "total": 0}
    assert send(client, "GET", "/people?limit=x").status == 400


@pytest.mark.parametrize(
    ("habit", "status", "body"),
    [
        ("409", 409, b"duplicate key"),
        ("422", 422, b"duplicate key"),
        ("400", 400, b"duplicate key"),
        ("500_html", 500, b"<h1>duplicate key"),
        ("200", 200, b'"age": 36'),
        ("accept", 201, b'"id": 2'),
    ],
)
def test_a_duplicate_gets_what_the_habit_says(
    client: NaiveClient, account: Account, habit: str, status: int, body: bytes
) -> None:
    account.change(habits={"duplicates": habit})
    send(client, "POST", "/people", ADA)
    reply = send(client, "POST", "/people", {**ADA, "age": 99})
    assert (reply.status, body in reply.body) == (status, True)
    assert account.people.created == {"ada@x.test": 2 if habit == "accept" else 1}


@pytest.mark.parametrize("record", [{"email": "nobody"}, {"age": "7"}, {"age": True}, [], "text", None])
def test_what_is_invalid_is_refused(client: NaiveClient, account: Account, record: Any) -> None:
    assert send(client, "POST", "/people", record).status == 422
    assert account.people.rows() == []


def test_a_body_that_is_no_json_is_refused(client: NaiveClient) -> None:
    assert client.send("POST", "/people", {"Content-Type": "application/json"}, b"{").status == 400


def test_a_partial_batch_answers_for_each(client: NaiveClient, account: Account) -> None:
    reply = send(client, "POST", "/people/batch", {"people": [ADA, ADA, {"email": "x"}, {"email": "b@x"}]})
    assert reply.status == 200
    assert [each["status"] for each in reply.json["results"]] == [201, 409, 422, 201]
    assert [each.get("id") for each in reply.json["results"]] == [1, None, None, 2]
    gone = send(client, "POST", "/people/batch-delete", {"ids": [1, "2", 3]})
    assert [each["status"] for each in gone.json["results"]] == [204, 204, 404]
    assert account.people.rows() == []


def test_an_import_is_all_or_nothing(client: NaiveClient, account: Account) -> None:
    send(client, "POST", "/people", ADA)
    for bad in (ADA, {"email": "x"}):
        reply = send(client, "POST", "/people/import", {"people": [{"email": "a@x"}, bad]})
        assert reply.status in {409, 422}
    twice = send(client, "POST", "/people/import", {"people": [{"email": "a@x"}, {"email": "a@x"}]})
    assert (twice.status, len(account.people.rows())) == (409, 1)
    assert send(client, "POST", "/people/import", {"people": [{"email": "a@x"}, {}]}).json == {"ids": [2, 3]}


def test_an_import_takes_doubles_where_they_are_accepted(client: NaiveClient, account: Account) -> None:
    account.change(habits={"duplicates": "accept"})
    for _ in range(2):
        assert send(client, "POST", "/people/import", {"people": [ADA, ADA]}).status == 201
    assert account.people.created == {ADA["email"]: 4}


@pytest.mark.parametrize("path", ["/people/batch", "/people/import"])
def test_batches_have_a_maximum(client: NaiveClient, path: str) -> None:
    assert send(client, "POST", path, {"people": [{}] * (BATCH_MAX + 1)}).status == 413
    assert send(client, "POST", path, {"rows": []}).status == 400


def test_an_idempotency_key_is_remembered(client: NaiveClient, account: Account) -> None:
    account.change(habits={"duplicates": "accept"})
    key = {"Idempotency-Key": "k1"}
    first, again = send(client, "POST", "/people", ADA, **key), send(client, "POST", "/people", ADA, **key)
    assert (first.status, again.body) == (201, first.body)
    assert send(client, "POST", "/people", {**ADA, "age": 1}, **key).status == 422
    assert account.people.created == {"ada@x.test": 1}


def test_a_csrf_token_is_good_for_its_writes_and_with_its_cookie_only(client: NaiveClient, account: Account) -> None:
    account.change(habits={"csrf_calls": 1})
    refused = send(client, "POST", "/people", ADA)
    assert (refused.status, refused.headers["x-csrf-token"]) == (403, "Required")
    given = send(client, "GET", "/people", **{"X-CSRF-Token": "Fetch"}).headers
    token, cookie = given["x-csrf-token"], given["set-cookie"].partition(";")[0]
    assert send(client, "POST", "/people", ADA, **{"X-CSRF-Token": token}).status == 403
    both = {"X-CSRF-Token": token, "Cookie": cookie}
    assert [send(client, "POST", "/people", ADA, **both).status for _ in range(2)] == [201, 403]


def test_forms_and_wrappers(client: NaiveClient, account: Account) -> None:
    account.change(habits={"write_wrap": "data"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"data[email]=a%40x&data[age]=7&data[tags][]=a&data[tags][]=b&data[at][city]=Oslo"
    record = {"id": 1, "email": "a@x", "age": 7, "tags": ["a", "b"], "at": {"city": "Oslo"}}
    assert client.send("POST", "/people", form, body).json == {"data": record}
    assert send(client, "GET", "/people").json["people"] == [{"data": record}]


@pytest.mark.parametrize(("habit", "body"), [("id", b'{"id": 1}\n'), ("empty", b"")])
def test_a_good_write_may_say_little(client: NaiveClient, account: Account, habit: str, body: bytes) -> None:
    account.change(habits={"written": habit})
    reply = send(client, "POST", "/people", ADA)
    assert (reply.status, reply.body) == (201, body)


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ({"do": "status", "status": 500}, 0),
        ({"do": "status", "status": 500, "commits": True}, 1),
        ({"do": "status", "status": 429}, 0),
        ({"do": "html_200"}, 0),
        ({"do": "cut"}, 1),
        ({"do": "truncated_json"}, 1),
    ],
)
def test_a_fault_says_whether_the_write_is_carried_out(
    client: NaiveClient, account: Account, fault: dict[str, Any], count: int
) -> None:
    account.change(faults=[fault])
    with contextlib.suppress(http.client.IncompleteRead):
        send(client, "POST", "/people", ADA)
    account.wait_until_idle()
    assert len(account.people.rows()) == count


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("do", ["drop", "hang"])
def test_a_silent_end_may_come_before_or_after_the_commit(
    sandbox: SandboxServer, account: Account, do: str, commits: bool
) -> None:
    account.change(faults=[{"do": do, "commits": commits, **({"seconds": 0} if do == "hang" else {})}])
    body = json.dumps(ADA).encode()
    head = f"POST /people HTTP/1.1\r\nAuthorization: Bearer {account.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(1) == b""
    assert len(account.people.rows()) == int(commits)


def test_a_write_may_be_carried_out_after_its_client_has_left(sandbox: SandboxServer, account: Account) -> None:
    account.change(faults=[{"do": "delay", "seconds": 0.05, "first": True}])
    body = json.dumps(ADA).encode()
    head = f"POST /people HTTP/1.1\r\nAuthorization: Bearer {account.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(head.encode() + body)
        account.wait_for_calls(1)
    account.wait_until_idle()
    assert account.people.created == {"ada@x.test": 1}


def test_control_shows_and_clears_what_was_written(
    client: NaiveClient, sandbox: SandboxServer, account: Account
) -> None:
    send(client, "POST", "/people", ADA)
    path = f"/_control/accounts/{account.name}/people"
    with NaiveClient(sandbox.url) as control:
        assert control.get(path).json == {"rows": [{"id": 1, **ADA}], "created": {"ada@x.test": 1}}
        assert control.send("DELETE", path).status == 204
        assert control.get(path).json == {"rows": [], "created": {}}
    assert send(client, "POST", "/people", ADA).json["id"] == 2


def test_a_wrong_credential_writes_nothing(client: NaiveClient, account: Account) -> None:
    wrong = {"Authorization": f"Bearer {account.name}.wrong"}
    assert send(client, "POST", "/people", ADA, **wrong).status == 401
    assert account.people.rows() == []


def test_an_unknown_path_names_the_known_ones(client: NaiveClient) -> None:
    reply = send(client, "PUT", "/people/1/2/3", {})
    assert reply.status == 404
    assert "POST /people/import" in reply.json["error"]["message"]
