"""Credentials of the sandbox: each kind right and wrong, and what refusals look like."""

from collections.abc import Iterator, Mapping

import pytest

from app.sandbox import SandboxServer
from tests.fakes.naive_client import NaiveClient, basic, bearer

KEY = "X-API-Key"


@pytest.fixture(name="sandbox", scope="module")
def start_sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(records=5) as server:
        yield server


@pytest.fixture(name="client")
def open_client(sandbox: SandboxServer) -> Iterator[NaiveClient]:
    with NaiveClient(sandbox.url) as client:
        yield client


GOOD = [
    ("none", "/page/records", {}, "public"),
    ("basic", "/page/records", basic("basil", "any"), "basil"),
    ("basic", "/page/records", basic("basil", ""), "basil"),
    ("bearer", "/page/records", bearer("bea.secret"), "bea"),
    ("header", "/page/records", {KEY: "hedy.secret"}, "hedy"),
    ("query", "/page/records?api_key=quinn.secret", {}, "quinn"),
    ("basic", "/auth/basic/page/records", basic("basil", "any"), "basil"),
    ("bearer", "/auth/bearer/link/records", bearer("bea.secret"), "bea"),
    ("header", "/auth/header/cursor/records", {KEY: "hedy.secret"}, "hedy"),
    ("query", "/auth/query/odata/records?api_key=quinn.secret", {}, "quinn"),
]


@pytest.mark.parametrize(("kind", "target", "headers", "account"), GOOD)
def test_a_credential_names_the_account(
    sandbox: SandboxServer, client: NaiveClient, kind: str, target: str, headers: Mapping[str, str], account: str
) -> None:
    before = sandbox.account(account).calls
    assert client.get(target, headers).status == 200
    assert sandbox.account(account).calls == before + 1
    assert sandbox.account(account).log()[-1].auth == kind


WRONG = [
    ("/page/records", basic("basil", "wrong")),
    ("/page/records", basic("no such name", "x")),
    ("/page/records", {"Authorization": "Basic ###"}),
    ("/page/records", bearer("bea.wrong")),
    ("/page/records", bearer("bea")),
    ("/page/records", {KEY: "hedy.wrong"}),
    ("/page/records?api_key=quinn.wrong", {}),
    ("/page/records?api_key=quinn", {}),
    ("/auth/basic/page/records", {}),
    ("/auth/basic/page/records", bearer("bea.secret")),
    ("/auth/bearer/page/records", basic("basil", "any")),
    ("/auth/header/page/records", bearer("bea.secret")),
    ("/auth/query/page/records", {KEY: "hedy.secret"}),
]


@pytest.mark.parametrize(("target", "headers"), WRONG)
def test_a_wrong_credential_is_refused(client: NaiveClient, target: str, headers: Mapping[str, str]) -> None:
    reply = client.get(target, headers)
    assert reply.status == 401
    assert reply.json["error"]["code"] == "unauthorized"
    assert "www-authenticate" in reply.headers


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ("401", 401, b'{"error"'),
        ("401_html", 401, b"<!DOCTYPE html>"),
        ("401_empty", 401, b""),
        ("403", 403, b'{"error"'),
        ("200_empty", 200, b'{"data":[],"total":0,"pages":0}'),
    ],
)
def test_refusals_look_as_the_habit_has_it(
    sandbox: SandboxServer, client: NaiveClient, form: str, status: int, body: bytes
) -> None:
    sandbox.account("forms").configure(habits={"wrong_auth": form})
    reply = client.get("/page/records", bearer("forms.wrong"))
    assert reply.status == status
    assert reply.body.startswith(body)
    assert bool(reply.body) == bool(body)


def test_a_wrong_password_may_get_public_data_only(sandbox: SandboxServer, client: NaiveClient) -> None:
    account = sandbox.account("half")
    account.configure(records=50, habits={"wrong_auth": "200_public"})
    reply = client.get("/page/records?per_page=50", basic("half", "wrong"))
    assert reply.headers["x-user"] == "anonymous"
    seen = reply.records("data")
    assert seen == list(account.expected(group="a"))
    assert 0 < len(seen) < 50


@pytest.mark.parametrize(("form", "status"), [("401", 401), ("200_empty", 200)])
def test_a_secret_expires_after_its_calls_and_another_works(
    sandbox: SandboxServer, client: NaiveClient, form: str, status: int
) -> None:
    account = sandbox.account("shortlived")
    account.configure(records=50, habits={"token_calls": 2, "token_expired": form})
    assert [len(client.get("/page0/records", bearer("shortlived.one")).records()) for _ in range(2)] == [50, 50]
    expired = client.get("/page0/records", bearer("shortlived.one"))
    assert expired.status == status
    assert status == 401 or expired.records() == []
    assert len(client.get("/page0/records", bearer("shortlived.two")).records()) == 50


def test_an_expired_token_says_total_zero(sandbox: SandboxServer, client: NaiveClient) -> None:
    sandbox.account("zero").configure(habits={"token_calls": 1, "token_expired": "200_empty"})
    client.get("/page/records?page=1", bearer("zero.one"))
    assert client.get("/page/records?page=2", bearer("zero.one")).json == {"data": [], "total": 0, "pages": 0}


def test_the_log_and_next_links_hide_the_key(sandbox: SandboxServer, client: NaiveClient) -> None:
    reply = client.get("/next-url/records?limit=2&api_key=quinn.topsecret")
    assert "topsecret" not in reply.json["links"]["next"]
    assert sandbox.account("quinn").log()[-1].query == "limit=2&api_key=***"
