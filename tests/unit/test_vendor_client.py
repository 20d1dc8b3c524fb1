"""One fetch: what is sent, where credentials go, and what a failure tells."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.connectors.client import Failed, GotPage, VendorClient
from app.connectors.model import Action
from app.connectors.spec import load_connector
from app.errors import InvalidInputError
from app.http_client import Beat, Headers, Request, Response, TransportError
from tests.fakes.list_vendor import document
from tests.fakes.sending import Deferred

SECRET = "s3cr3t/+&"


@dataclass
class Recorder(Deferred):
    """Answers every call alike and keeps the requests."""

    status: int = 200
    body: bytes = b'{"records":[{"id":1}]}'
    headers: tuple[tuple[str, str], ...] = ()
    error: TransportError | None = None
    requests: list[Request] = field(default_factory=list)

    def request(self, request: Request, beat: Beat | None = None) -> Response:  # noqa: ARG002 - as the client
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return Response(self.status, Headers(self.headers), self.body, request.url, 0.0)


def fetch(http: Recorder, name: str = "cursor", cursor: Any = None, **sections: Any) -> GotPage | Failed:
    connector = load_connector({**document(name), **sections})
    secrets = dict.fromkeys(connector.secret_names, SECRET)
    return VendorClient(connector, "records", {"username": "me"}, secrets, http).fetch(cursor, 10)


def sent(auth: dict[str, Any]) -> Request:
    http = Recorder()
    fetch(http, auth=auth)
    return http.requests[0]


def test_basic() -> None:
    header = dict(sent({"kind": "basic"}).headers)["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"me:{SECRET}"


def test_bearer_and_its_prefix() -> None:
    assert dict(sent({"kind": "bearer"}).headers)["Authorization"] == f"Bearer {SECRET}"
    assert dict(sent({"kind": "bearer", "prefix": "Token"}).headers)["Authorization"] == f"Token {SECRET}"


def test_api_key_in_a_header() -> None:
    assert dict(sent({"kind": "api_key"}).headers)["X-API-Key"] == SECRET
    assert dict(sent({"kind": "api_key", "name": "X-K", "prefix": "k"}).headers)["X-K"] == f"k {SECRET}"


def test_api_key_in_the_query() -> None:
    request = sent({"kind": "api_key", "in": "query", "name": "key"})
    assert request.url == "https://vendor.test/list?size=10&key=s3cr3t%2F%2B%26"


def test_no_auth_sends_nothing() -> None:
    assert dict(sent({"kind": "none"}).headers) == {"Accept": "application/json"}


def test_a_credential_with_a_line_break_is_a_failure_and_not_sent() -> None:
    http = Recorder()
    connector = load_connector({**document("cursor"), "auth": {"kind": "bearer"}})
    result = VendorClient(connector, "records", {}, {"token": "a\r\nX: y"}, http).fetch(None, 1)
    assert isinstance(result, Failed)
    assert result.verdict.action is Action.FAIL
    assert http.requests == []


def test_a_key_echoed_in_the_next_link_is_not_stored_in_the_cursor() -> None:
    body = b'{"records":[{"id":1}],"next":"/list?skip=1&key=s3cr3t%2F%2B%26"}'
    auth = {"kind": "api_key", "in": "query", "name": "key"}
    http = Recorder(body=body)
    result = fetch(http, "next_url", auth=auth)
    assert isinstance(result, GotPage)
    assert "s3cr3t" not in str(result.next.cursor)
    fetch(http, "next_url", result.next.cursor, auth=auth)
    assert http.requests[1].url.count("key=s3cr3t") == 1


def test_a_next_link_to_a_stranger_is_refused_for_good() -> None:
    result = fetch(Recorder(body=b'{"records":[{"id":1}],"next":"https://evil.test/"}'), "next_url")
    assert isinstance(result, Failed)
    assert result.verdict.action is Action.FAIL
    assert "https://evil.test" in result.verdict.message


def test_a_stored_link_is_not_followed_once_the_instance_lives_elsewhere() -> None:
    http = Recorder()
    result = fetch(http, "next_url", {"url": "https://old.test/list"})
    assert isinstance(result, Failed)
    assert http.requests == []


@pytest.mark.parametrize("text", [SECRET, "s3cr3t%2F%2B%26"])
def test_a_vendor_that_echoes_the_secret_does_not_get_it_into_a_message(text: str) -> None:
    for http in (
        Recorder(status=500, body=f"bad token {text}".encode()),
        Recorder(body=f"bad token {text}".encode()),
        Recorder(error=TransportError("cut", f"bad {text}")),
    ):
        result = fetch(http, auth={"kind": "bearer"})
        assert isinstance(result, Failed)
        assert text not in result.detail + result.verdict.message
        assert "***" in result.detail + result.verdict.message


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        ({"kind": "bearer"}, "eyJ" + "q9Zx7" * 60),
        ({"kind": "basic"}, "eyJ" + "q9Zx7" * 60),
        ({"kind": "basic"}, "q9Zx7"),
        ({"kind": "bearer"}, 'q9Z"x7\\<b>&'),
    ],
)
@pytest.mark.parametrize("spell", [str, json.dumps, html.escape])
def test_no_piece_of_an_echoed_header_gets_into_a_message(
    auth: dict[str, Any], secret: str, spell: Callable[[str], str]
) -> None:
    connector = load_connector({**document("cursor"), "auth": auth})
    secrets = dict.fromkeys(connector.secret_names, secret)
    for status in (200, 403):
        http = Recorder()
        client = VendorClient(connector, "records", {"username": "me"}, secrets, http)
        client.fetch(None, 10)
        echo = spell(dict(http.requests[0].headers)["Authorization"])
        http.status, http.body = status, f"<html>bad {echo}".encode()
        result = client.fetch(None, 10)
        assert isinstance(result, Failed)
        told = f"{result.detail} {result.verdict.message}"
        assert "***" in told
        sent_value = dict(http.requests[0].headers)["Authorization"].partition(" ")[2]
        assert not any(piece in told for piece in (secret[:3], sent_value[:5]))


def test_what_the_vendor_said_is_readable_and_short() -> None:
    page = b"<html><style>p{}</style><body><h1>Down</h1>\r\n\x00<p>for maintenance</p>" + b"x" * 5000
    result = fetch(Recorder(status=503, body=page))
    assert isinstance(result, Failed)
    assert result.detail.startswith("Down for maintenance")
    assert len(result.detail) <= 200


def test_html_with_status_200_is_a_failure_that_is_tried_again() -> None:
    result = fetch(Recorder(body=b"<html>sign in"))
    assert isinstance(result, Failed)
    assert result.verdict.action is Action.RETRY
    assert "HTML" in result.verdict.message


def test_no_content_is_an_empty_page_and_the_end() -> None:
    result = fetch(Recorder(status=204, body=b""))
    assert isinstance(result, GotPage)
    assert result.page.count == 0
    assert result.next.is_exhausted


@pytest.mark.parametrize("do", ["stop", "empty"])
def test_a_declared_end_is_an_empty_page(do: str) -> None:
    result = fetch(Recorder(status=404), errors=[{"when": {"status": 404}, "do": do}])
    assert isinstance(result, GotPage)
    assert result.next.is_exhausted


def test_the_total_may_stand_in_a_header() -> None:
    connector = load_connector(document("cursor", total_header="X-Total"))
    http = Recorder(headers=(("X-Total", "42"),))
    result = VendorClient(connector, "records", {}, {}, http).fetch(None, 10)
    assert isinstance(result, GotPage)
    assert result.total == 42


def test_params_headers_and_query_are_laid_over_each_other() -> None:
    http = Recorder()
    sections = document("cursor", params={"a": "list", "b": "list"}, headers={"X-H": "list"})
    sections["defaults"] = {"params": {"a": "default", "c": "{config.gone}"}, "headers": {"X-H": "default", "X-D": "d"}}
    sections["config"] = {"gone": {"required": False}}
    VendorClient(load_connector(sections), "records", {}, {}, http).fetch(None, 5, {"b": "job", "$q": "x y"})
    assert http.requests[0].url == "https://vendor.test/list?a=list&b=job&$q=x%20y&size=5"
    assert dict(http.requests[0].headers) == {"Accept": "application/json", "X-H": "list", "X-D": "d"}


def test_fields_that_are_asked_for_include_those_that_we_read_ourselves() -> None:
    deleted = {"at": "/meta/gone", "do": "drop"}
    sections = document("keyset", select={"param": "fields", "nested": "dotted"}, deleted=deleted)
    client = VendorClient(load_connector(sections), "records", {}, {}, Recorder())
    assert client.field_params(["name"]) == {"fields": "name,id,meta.gone"}
    assert client.field_params([]) == {}


def test_the_declared_timeout_is_that_of_the_call() -> None:
    http = Recorder()
    VendorClient(load_connector(document("cursor", read_timeout="3m")), "records", {}, {}, http).fetch(None, 1)
    assert http.requests[0].read_timeout_s == 180


def test_an_unknown_object_is_answered_with_the_known_ones() -> None:
    connector = load_connector(document("cursor"))
    with pytest.raises(InvalidInputError, match="accepted: records"):
        VendorClient(connector, "Records", {}, {}, Recorder())


@pytest.mark.parametrize("name", ["*", "", "..", ".hidden", "a/b", "a?b", "a#b", "a%2fb", "a\nb", "x" * 129])
def test_a_wildcard_object_does_not_take_names_that_leave_the_path(name: str) -> None:
    sections = document("cursor", path="/{object}.json")
    sections["objects"] = {"*": sections["objects"]["records"]}
    with pytest.raises(InvalidInputError):
        VendorClient(load_connector(sections), name, {}, {}, Recorder())


def test_a_wildcard_object_puts_the_name_into_the_path() -> None:
    sections = document("cursor", path="/{object}.json")
    sections["objects"] = {"*": sections["objects"]["records"]}
    http = Recorder()
    VendorClient(load_connector(sections), "my table", {}, {}, http).fetch(None, 1)
    assert http.requests[0].url == "https://vendor.test/my%20table.json?size=1"


def test_the_page_size_is_capped_by_the_declaration() -> None:
    connector = load_connector(document("cursor", page={"size": 50, "size_max": 100}))
    client = VendorClient(connector, "records", {}, {}, Recorder())
    assert [client.page_size(asked) for asked in (None, 10, 500)] == [50, 10, 100]
