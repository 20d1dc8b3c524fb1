"""Connector documents: what is accepted, and that everything wrong is named with its place."""

from __future__ import annotations

import copy
import re
from functools import partial
from typing import Any

import pytest

from app.connectors.model import AuthKind, PageKind
from app.connectors.objects import find_object
from app.connectors.registry import catalogue, parse_document
from app.connectors.spec import (
    ConnectorInvalidError,
    SettingsInvalidError,
    digest,
    dump_connector,
    load_connector,
    render_base_url,
    resolve_settings,
)
from app.errors import InvalidInputError
from tests.fakes.documents import edited, problems

SMALLEST = """
format: 1
key: pets
base_url: https://api.pets.test/v1
auth: {kind: bearer}
objects:
  pets: {id: /id, list: {path: /pets, records: /data, page: {kind: next_url, at: /links/next}}}
"""


changed = partial(edited, SMALLEST)


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_connector_of_the_catalogue_is_valid_and_named_after_its_key(key: str) -> None:
    connector = load_connector(catalogue()[key])
    assert connector.key == key
    assert bool(connector.objects) != bool(connector.destination)


def test_a_place_for_outputs_says_that_it_has_nothing_to_read() -> None:
    with pytest.raises(InvalidInputError, match=r"accepted: an instance of a vendor; .* place for outputs"):
        find_object(load_connector(catalogue()["file"]), "records")


def test_the_smallest_connector_has_defaults_for_everything_else() -> None:
    connector = load_connector(parse_document(SMALLEST))
    assert (connector.name, connector.hub, connector.auth.kind) == ("pets", "general", AuthKind.BEARER)
    assert connector.secret_names == {"token"}
    assert connector.objects[0].list.page.kind is PageKind.NEXT_URL


def test_json_and_yaml_are_the_same_document() -> None:
    import json

    document = parse_document(SMALLEST)
    assert parse_document(json.dumps(document)) == document


@pytest.mark.parametrize(
    "word", ["no", "off", "Yes", "y", "012", "1:30", "0x1f", "1_000", ".5", "2026-11-22", "=", "nan", "+1", "1."]
)
def test_words_that_json_does_not_know_stay_text(word: str) -> None:
    assert parse_document(f"{word}: {word}") == {word: word}


def test_yaml_reads_what_json_knows() -> None:
    document = parse_document("{a: true, b: False, c: null, d: ~, e: , f: -12, g: 1.5, h: 2e3}")
    assert document == {"a": True, "b": False, "c": None, "d": None, "e": None, "f": -12, "g": 1.5, "h": 2000.0}


@pytest.mark.parametrize("key", ["12", "true", "~", "1.0", "[1, 2]"])
def test_a_key_that_is_no_text_is_refused_with_its_line(key: str) -> None:
    with pytest.raises(
        ConnectorInvalidError, match=rf"line 2: the key '?{re.escape(key)}'? is no text; write it in quotes"
    ):
        parse_document(f"a: 1\n{key}: 2\n")


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(ConnectorInvalidError, match="line 3: the key 'a' stands twice"):
        parse_document("a: 1\nb: 2\na: 3\n")


def test_a_document_comes_back_as_it_was_given_and_its_digest_ignores_order() -> None:
    document = parse_document(SMALLEST)
    assert dump_connector(load_connector(document)) == document
    assert digest(dict(reversed(document.items()))) == digest(document)
    assert digest({**document, "name": "Other"}) != digest(document)


def test_a_connector_does_not_change_with_the_document_it_came_from() -> None:
    document = parse_document(SMALLEST)
    connector, before = load_connector(document), copy.deepcopy(document)
    document["objects"]["pets"]["list"]["path"] = "/changed"
    assert dump_connector(connector) == before


@pytest.mark.parametrize("name", ["key", "base_url", "auth", "objects", "format"])
def test_what_is_missing_is_named_without_the_document(name: str) -> None:
    document = parse_document(SMALLEST)
    del document[name]
    with pytest.raises(ConnectorInvalidError) as caught:
        load_connector(document)
    assert caught.value.message == f"The connector is not valid.\n/{name}: is required"


@pytest.mark.parametrize(
    ("path", "value", "pointer", "text"),
    [
        ("/format", 2, "/format", "accepted: 1"),
        ("/key", "Pets!", "/key", "a-z"),
        (
            "/objects/pets/list/page/size_param",
            "",
            "/objects/pets/list/page/size_param",
            "accepted: a text that is not",
        ),
        ("/key", None, "/key", "is required"),
        ("/auth/kind", "oauth", "/auth/kind", "accepted: none, basic, bearer, api_key"),
        ("/auth/kind", "oauth2_code", "/auth/kind", "not supported yet"),
        ("/auth/in", "query", "/auth/in", "not used by kind bearer"),
        ("/limits", [], "/limits", "an object"),
        ("/native", {}, "/native", "not supported yet"),
        ("/colour", "red", "/colour", "is not a key here; accepted: auth, base_url"),
        ("/base_url", "ftp://x", "/base_url", "https://"),
        ("/base_url", "https://{config.sub}.test", "/base_url", "is not declared; add it under `config`"),
        ("/base_url", "https://{secret.token}.test", "/base_url", "secrets do not belong"),
        ("/base_url", "https://{conf.sub}.test", "/base_url", "unknown placeholder"),
        ("/base_url", "https://{config.sub|upper}.test", "/base_url", "unknown filter 'upper'"),
        ("/base_url", "https://{.test", "/base_url", "a lone '{'"),
        ("/origins", ["https://x.test/path"], "/origins/0", "no origin"),
        ("/objects", {}, "/objects", "needs an object"),
        ("/objects/pets/list/changed", {}, "/objects/pets/list/changed", "not supported yet"),
        ("/objects/pets/list/order", {}, "/objects/pets/list/order", "not supported yet"),
        ("/objects/pets/list/path", "pets", "/objects/pets/list/path", "begins with '/'"),
        ("/objects/pets/list/path", "/pets?a=1", "/objects/pets/list/path", "use `params`"),
        ("/objects/pets/list/path", "/{object}", "/objects/pets/list/path", "only known inside the object '*'"),
        ("/objects/pets/list/records", "data", "/objects/pets/list/records", "no JSON Pointer"),
        ("/objects/pets/list/records", None, "/objects/pets/list/records", "is required"),
        ("/objects/pets/list/total", "/data/total", "/objects/pets/list/total", "lies inside `records`"),
        ("/objects/pets/list/total_is", "sure", "/objects/pets/list/total_is", "exact, estimate"),
        ("/objects/pets/list/read_timeout", "soon", "/objects/pets/list/read_timeout", "no duration"),
        ("/objects/pets/list/deleted", {"at": "/x"}, "/objects/pets/list/deleted/do", "is required"),
        ("/objects/pets/list/deleted", {"at": "/x", "do": "hide"}, "/objects/pets/list/deleted/do", "keep, drop, mark"),
        ("/objects/pets/list/deleted", {"at": "x", "do": "drop"}, "/objects/pets/list/deleted/at", "no JSON Pointer"),
        ("/objects/pets/list/deleted", {"at": "/_deleted", "do": "mark"}, "/objects/pets/list/deleted/do", "a second"),
        ("/objects/pets/list/record", "contact", "/objects/pets/list/record", "no JSON Pointer"),
        ("/objects/pets/list/page/kind", "pages", "/objects/pets/list/page/kind", "accepted: none, page"),
        ("/objects/pets/list/page/param", "p", "/objects/pets/list/page/param", "not used by kind next_url"),
        ("/objects/pets/list/page/header", "X", "/objects/pets/list/page/at", "not both"),
        ("/objects/pets/list/page/size", 0, "/objects/pets/list/page/size", "1 to 1000000"),
        ("/objects/pets/list/page/size", "ten", "/objects/pets/list/page/size", "whole number"),
        ("/objects/pets/list/page/tie", "/id", "/objects/pets/list/page/tie", "not supported yet"),
        ("/errors", [{"when": {}, "do": "retry"}], "/errors/0/when", "needs a condition"),
        ("/errors", [{"when": {"status": 404}, "do": "skip_record"}], "/errors/0/do", "not supported yet"),
        ("/errors", [{"when": {"status": 404}, "do": "restart_cursor"}], "/errors/0/do", "not supported yet"),
        ("/errors", [{"when": {"status": "teapot"}, "do": "fail"}], "/errors/0/when/status", "no status"),
        (
            "/errors",
            [{"when": {"status": 404, "matches": "x"}, "do": "fail"}],
            "/errors/0/when/matches",
            "not supported",
        ),
        ("/defaults/headers", {"X Y": "1"}, "/defaults/headers/X Y", "no header name"),
        ("/defaults/headers", {"X-Y": "1\n2"}, "/defaults/headers/X-Y", "control character"),
        ("/config", {"token": {}}, "/secret/token", "one name has one value"),
        ("/config", {"region": {"default": "x", "enum": ["eu"]}}, "/config/region/default", "accepted: eu"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(path: str, value: Any, pointer: str, text: str) -> None:
    found = problems(changed(path, value))
    assert text in found.get(pointer, f"nothing at {pointer}, but {found}")


NOTES = {
    "list": {"path": "/pets/{parent.id}/notes", "parent": "pets", "records": "", "page": {"kind": "none"}},
    "get": {"path": "/notes", "params": {"id": "{id}"}, "record": "/data"},
}


def with_notes(section: str, **changes: Any) -> dict[str, str]:
    document = copy.deepcopy(parse_document(SMALLEST))
    document["objects"]["notes"] = {**NOTES, section: {**NOTES[section], **changes}}
    return problems(document)


@pytest.mark.parametrize(
    ("section", "changes", "pointer", "text"),
    [
        ("list", {"parent": "dogs"}, "/objects/notes/list/parent", "accepted: an object with a list of its own (pets)"),
        ("list", {"parent": "notes"}, "/objects/notes/list/parent", "(pets)"),
        ("list", {"path": "/notes"}, "/objects/notes/list", "needs {parent.id}"),
        ("list", {"path": "/{id}/{parent.id}"}, "/objects/notes/list/path", "only known in path and params of `get`"),
        ("list", {"headers": {"X": "{parent.id}"}}, "/objects/notes/list/headers/X", "path and params of a `list`"),
        ("get", {"params": {}}, "/objects/notes/get", "needs {id}"),
        ("get", {"path": "notes/{id}"}, "/objects/notes/get/path", "begins with '/'"),
        ("get", {"path": "/{parent.id}"}, "/objects/notes/get/path", "`list` with `parent`"),
        ("get", {"path": "/{secret.token}/{id}"}, "/objects/notes/get/path", "secrets do not belong"),
        ("get", {"page": {}}, "/objects/notes/get/page", "is not a key here"),
    ],
)
def test_what_is_wrong_about_children_is_named(section: str, changes: dict[str, Any], pointer: str, text: str) -> None:
    found = with_notes(section, **changes)
    assert text in found.get(pointer, f"nothing at {pointer}, but {found}")


def test_children_may_be_declared_in_both_ways() -> None:
    document = copy.deepcopy(parse_document(SMALLEST))
    document["objects"]["notes"] = NOTES
    pets, notes = load_connector(document).objects
    assert (pets.get, notes.list.parent) == (None, "pets")
    assert notes.get is not None
    assert (notes.get.is_single, notes.get.records) == (True, "/data")


def test_a_page_size_of_odata_may_not_be_top() -> None:
    page = {"kind": "odata", "size_param": "$top"}
    assert (
        "limits the whole answer"
        in problems(changed("/objects/pets/list/page", page))["/objects/pets/list/page/size_param"]
    )


@pytest.mark.parametrize("name", ["$top", "$skip"])
def test_what_limits_the_whole_list_of_odata_may_not_stand_in_its_parameters(name: str) -> None:
    document = changed("/objects/pets/list/page", {"kind": "odata"})
    document["objects"]["pets"]["list"]["params"] = {name: "100"}
    assert f"{name} limits the whole answer" in problems(document)["/objects/pets/list/params"]
    document["objects"]["pets"]["list"]["page"] = {"kind": "next_url", "at": "/@odata.nextLink"}
    assert load_connector(document).object_names == ("pets",)


def test_a_vendor_may_take_longer_than_a_minute_for_a_page() -> None:
    document = parse_document(SMALLEST)
    assert load_connector(document).objects[0].list.read_timeout_s >= 60
    document["defaults"] = {"read_timeout": "5m"}
    assert load_connector(document).objects[0].list.read_timeout_s == 300


def test_every_problem_is_listed_at_once() -> None:
    document = changed("/objects/pets/list/page", {"kind": "page", "colour": 1}) | {"key": "NO", "limits": []}
    assert problems(document).keys() == {
        "/key",
        "/limits",
        "/objects/pets/list/page/colour",
        "/objects/pets/list/page/param",
    }


@pytest.mark.parametrize("text", ["a: [", "- 1", "key: 1\nkey: 2", "\t", "", "{", "? [a]\n: b"])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ConnectorInvalidError):
        parse_document(text)


def test_a_date_stays_text() -> None:
    assert parse_document("verified: {date: 2026-11-22}")["verified"] == {"date": "2026-11-22"}


TEMPLATED = changed("/base_url", "https://{config.subdomain}.pets.test/{config.region}") | {
    "config": {"subdomain": {}, "region": {"default": "eu", "enum": ["eu", "us"]}},
}


def test_settings_are_sorted_into_config_and_secrets_with_defaults() -> None:
    settings = resolve_settings(load_connector(TEMPLATED), {"subdomain": "acme", "token": "t", "other": "x"})
    assert settings.config == {"subdomain": "acme", "region": "eu"}
    assert settings.secrets == {"token": "t"}
    assert "'t'" not in repr(settings)
    assert render_base_url(load_connector(TEMPLATED), settings.config) == "https://acme.pets.test/eu"


def test_every_setting_that_is_missing_or_wrong_is_named() -> None:
    with pytest.raises(SettingsInvalidError) as caught:
        resolve_settings(load_connector(TEMPLATED), {"region": "mars"})
    assert {each.pointer: each.message for each in caught.value.problems} == {
        "/subdomain": "is required",
        "/region": "accepted: eu, us",
        "/token": "is required",
    }
    assert str(caught.value) == (
        "These settings do not fit the connector: subdomain: is required; region: accepted: eu, us; token: is required."
    )


@pytest.mark.parametrize("value", ["evil.test/", "evil.test#", "a@b", "..", "a b", "a?b", "a:1", "é"])
def test_a_setting_cannot_leave_its_place_in_the_base_url(value: str) -> None:
    with pytest.raises(SettingsInvalidError):
        resolve_settings(load_connector(TEMPLATED), {"subdomain": value, "token": "t"})


@pytest.mark.parametrize(
    "value", ["ftp://x", "x", "https://", "https://u:p@x", "https://x?a", "https://x#a", "https://x:y"]
)
def test_a_base_url_given_by_an_instance_must_be_one(value: str) -> None:
    document = changed("/base_url", "{config.base_url}") | {"config": {"base_url": {}}}
    with pytest.raises(SettingsInvalidError):
        resolve_settings(load_connector(document), {"base_url": value, "token": "t"})
