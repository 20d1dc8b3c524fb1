"""What a connector may say about writing, and that everything wrong is named with its place and what is accepted."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest

from app.connectors.children import find_listed
from app.connectors.registry import parse_document
from app.connectors.spec import load_connector
from app.connectors.uploads import check_upload
from app.connectors.write_model import Meaning, ObjectWrites
from app.domain.uploads import UploadAction
from app.errors import InvalidInputError
from tests.fakes.documents import edited, problems

CREATE, UPDATE, UPSERT, DELETE = UploadAction

DOCUMENT = """
format: 1
key: pets
base_url: https://api.pets.test/v1
auth: {kind: bearer}
defaults: {read_timeout: 7s}
objects:
  pets:
    id: /id
    fields: {age: {type: integer}, "owner.since": {type: date}}
    create: {path: /pets, wrap: /pet, beside: {dry: false}, id_at: /pet/id}
    update: {path: "/pets/{id}", omit_id: true, read_timeout: 9s}
    upsert: {path: "/pets/{identifier}/{id}", method: POST}
    delete: {path: "/pets/{id}"}
    batch:
      create: {path: /pets/all, wrap: /pets, max: 50, mode: partial, results: /results, ok_at: /ok}
    verdicts: [{when: {status: 409}, is: existed, for: [create, upsert]}]
    look_up: {path: /pets, params: {"name": "{id}"}, by: name, records: /pets}
"""


changed = partial(edited, DOCUMENT)


def writes_of(document: dict[str, Any]) -> ObjectWrites:
    return load_connector(document).objects[0].writes


def test_methods_bodies_and_timeouts_have_defaults() -> None:
    writes = writes_of(parse_document(DOCUMENT))
    found = {action: (spec.method, spec.body, spec.read_timeout_s) for action, spec in writes.operations}
    assert found == {
        CREATE: ("POST", "json", 7.0),
        UPDATE: ("PATCH", "json", 9.0),
        UPSERT: ("POST", "json", 7.0),
        DELETE: ("DELETE", "none", 7.0),
    }
    batch = writes.batch(CREATE)
    assert batch is not None
    assert (batch.method, batch.most_rows, batch.match, batch.read_timeout_s) == ("POST", 50, "index", 7.0)
    assert writes.batch(UPDATE) is None
    assert (writes.fields, writes.look_up and writes.look_up.after_s) == (
        (("age", "integer"), ("owner.since", "date")),
        30.0,
    )
    assert (writes.verdicts[0].meaning, writes.verdicts[0].actions) == (Meaning.EXISTED, frozenset({CREATE, UPSERT}))
    assert writes.actions == (CREATE, UPDATE, UPSERT, DELETE)


def test_an_object_may_be_written_only() -> None:
    connector = load_connector(parse_document(DOCUMENT))
    assert not connector.objects[0].is_listed
    with pytest.raises(InvalidInputError, match="can only be written"):
        find_listed(connector, "pets")


def test_an_object_may_be_read_only() -> None:
    document = parse_document(DOCUMENT)
    document["objects"]["pets"] = {"list": {"path": "/pets", "records": "", "page": {"kind": "none"}}}
    assert writes_of(document).actions == ()
    with pytest.raises(InvalidInputError, match=r"does not say how 'pets' is written; accepted: none of its objects"):
        check_upload(load_connector(document), "pets", CREATE)


PETS = "/objects/pets"


@pytest.mark.parametrize(
    ("path", "value", "pointer", "text"),
    [
        (PETS, {"id": "/id"}, f"{PETS}/list", "unless there is one of create, update, upsert, delete, batch"),
        (PETS, {"batch": {}}, f"{PETS}/list", "unless there is one of"),
        (f"{PETS}/create", {}, f"{PETS}/create/path", "is required"),
        (f"{PETS}/create/path", "pets", f"{PETS}/create/path", "begins with '/'"),
        (f"{PETS}/create/path", "/pets?a=1", f"{PETS}/create/path", "use `params`"),
        (f"{PETS}/create/path", "/{parent.id}", f"{PETS}/create/path", "only known in path and params of a `list`"),
        (f"{PETS}/create/path", "/{secret.token}", f"{PETS}/create/path", "secrets do not belong"),
        (f"{PETS}/create/path", "/{object}", f"{PETS}/create/path", "only known inside the object '*'"),
        (f"{PETS}/batch/create/path", "/{id}", f"{PETS}/batch/create/path", "only known in path and params of `get`"),
        (f"{PETS}/create/headers", {"X": "{config.no}"}, f"{PETS}/create/headers/X", "add it under `config`"),
        (f"{PETS}/create/method", "GET", f"{PETS}/create/method", "accepted: POST, PUT, PATCH, DELETE"),
        (f"{PETS}/create/body", "xml", f"{PETS}/create/body", "accepted: json, form, none"),
        (f"{PETS}/create/body", "none", f"{PETS}/create/wrap", "is not used by `body: none`"),
        (f"{PETS}/create/wrap", "pet", f"{PETS}/create/wrap", "no JSON Pointer"),
        (f"{PETS}/create/wrap", None, f"{PETS}/create/beside", "needs `wrap`"),
        (f"{PETS}/create/wrap", "/dry", f"{PETS}/create/beside", "sets 'dry'"),
        (f"{PETS}/create/retries", 3, f"{PETS}/create/retries", "is not a key here; accepted: beside, body, by"),
        (f"{PETS}/create/idempotency", "a b", f"{PETS}/create/idempotency", "no header name"),
        (f"{PETS}/create/idempotency", "Key", f"{PETS}/batch/create", "declare one of the two"),
        (f"{PETS}/batch/replace", {}, f"{PETS}/batch/replace", "accepted: create, delete, update, upsert"),
        (f"{PETS}/batch/create/max", 1, f"{PETS}/batch/create/max", "accepted: 2 to 10000"),
        (f"{PETS}/batch/create/max", None, f"{PETS}/batch/create/max", "is required"),
        (f"{PETS}/batch/create/max_bytes", 3, f"{PETS}/batch/create/max_bytes", "accepted: 1024 to"),
        (f"{PETS}/batch/create/mode", "some", f"{PETS}/batch/create/mode", "accepted: partial, atomic"),
        (f"{PETS}/batch/create/mode", "atomic", f"{PETS}/batch/create/ok_at", "not used by `mode: atomic`"),
        (f"{PETS}/batch/create/results", None, f"{PETS}/batch/create/results", "required with `mode: partial`"),
        (f"{PETS}/batch/create/ok_at", None, f"{PETS}/batch/create/status_at", "`status_at` or `ok_at` is required"),
        (f"{PETS}/batch/create/match", "name", f"{PETS}/batch/create/match", "accepted: index, or a JSON Pointer"),
        (f"{PETS}/batch/create/items", "all", f"{PETS}/batch/create/items", "accepted: records, ids"),
        (f"{PETS}/batch/create/by", "name", f"{PETS}/batch/create/by", "both name one field"),
        (f"{PETS}/verdicts/0/is", "fine", f"{PETS}/verdicts/0/is", "accepted: created, updated, deleted, existed"),
        (f"{PETS}/verdicts/0/for", "insert", f"{PETS}/verdicts/0/for", "accepted: create, update, upsert, delete"),
        (f"{PETS}/verdicts/0/for", [], f"{PETS}/verdicts/0/for", "is no action"),
        (f"{PETS}/verdicts/0/when", {}, f"{PETS}/verdicts/0/when", "accepted: status, body, header, pointer, equals"),
        (f"{PETS}/verdicts/0/when/status", 99, f"{PETS}/verdicts/0/when/status", "2xx, 3xx, 4xx, 5xx"),
        (f"{PETS}/verdicts/0/when/network", "cut", f"{PETS}/verdicts/0/when/network", "is not a key here"),
        (f"{PETS}/look_up/params", {}, f"{PETS}/look_up/path", "needs {id} here or in params"),
        (f"{PETS}/look_up/by", None, f"{PETS}/look_up/by", "unless {identifier}"),
        (f"{PETS}/look_up/after", "soon", f"{PETS}/look_up/after", "is no duration"),
        (f"{PETS}/fields/age", {"type": "int"}, f"{PETS}/fields/age/type", "accepted: text, integer, number"),
        (f"{PETS}/fields/age", {}, f"{PETS}/fields/age/type", "is required"),
        ("/csrf", {"header": "X"}, "/csrf/path", "is required"),
        ("/csrf", {"path": "/{id}"}, "/csrf/path", "is only known"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(path: str, value: Any, pointer: str, text: str) -> None:
    found = problems(changed(path, value))
    assert pointer in found, found
    assert text in found[pointer]


@pytest.mark.parametrize("key", ["verdicts", "look_up", "upload"])
def test_what_helps_writing_needs_an_operation(key: str) -> None:
    document = parse_document(DOCUMENT)
    pets = document["objects"]["pets"]
    value = {"verdicts": pets["verdicts"], "look_up": pets["look_up"], "upload": False}[key]
    document["objects"]["pets"] = {
        "list": {"path": "/pets", "records": "", "page": {"kind": "none"}},
        key: copy.deepcopy(value),
    }
    assert "needs one of create, update, upsert, delete, batch beside it" in problems(document)[f"{PETS}/{key}"]


@pytest.mark.parametrize(
    ("action", "given", "expected"),
    [
        (CREATE, "", "id"),
        (CREATE, "mail", "mail"),
        (UPDATE, "", "id"),
        (UPDATE, "tag", "tag"),
        (UPSERT, "custom.111", "custom.111"),
    ],
)
def test_rows_are_told_by_the_job_or_by_the_object(action: UploadAction, given: str, expected: str) -> None:
    assert check_upload(load_connector(parse_document(DOCUMENT)), "pets", action, given) == expected


def test_an_operation_may_go_by_a_field_of_its_own() -> None:
    connector = load_connector(changed(f"{PETS}/upsert/by", "chip"))
    assert check_upload(connector, "pets", UPSERT) == "chip"
    with pytest.raises(InvalidInputError, match=r"'name' is not what 'upsert' of 'pets' goes by; accepted: chip"):
        check_upload(connector, "pets", UPSERT, "name")


def refusal(document: dict[str, Any], *asked: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        check_upload(load_connector(document), *asked)
    return caught.value


@pytest.mark.parametrize(
    ("path", "value", "asked", "field", "text"),
    [
        (f"{PETS}/label", "Pets", ("cats", CREATE), "objectName", "accepted: pets"),
        (f"{PETS}/upload", False, ("pets", CREATE), "objectName", "declares that 'pets' is not uploaded"),
        (f"{PETS}/upsert", None, ("pets", UPSERT), "/metaData/action", "accepted: create, update, delete"),
        (f"{PETS}/id", None, ("pets", UPDATE), "/metaData/identifierFieldName", "is required for action 'update'"),
        (f"{PETS}/create", None, ("pets", CREATE, "", "/a"), "/metaData/path", "declared for batches only"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_with_its_field(
    path: str, value: Any, asked: tuple[Any, ...], field: str, text: str
) -> None:
    error = refusal(changed(path, value), *asked)
    assert (error.field, text in error.message) == (field, True), error.message


@pytest.mark.parametrize(
    "path",
    ["x", "/a?b", "/a#b", "/../b", "/%2e%2E/b", "//evil.test", "/a\\b", "/a\nb", "/{secret.token}", "/{", "/a" * 2000],
)
def test_a_path_of_the_job_is_a_path_and_nothing_else(path: str) -> None:
    error = refusal(parse_document(DOCUMENT), "pets", CREATE, "", path)
    assert error.field == "/metaData/path"
    assert "accepted: begins with '/'" in error.message


def test_a_path_with_an_id_needs_an_identifier() -> None:
    document = changed(f"{PETS}/id", None)
    assert refusal(document, "pets", CREATE, "", "/x/{id}").field == "/metaData/identifierFieldName"
    assert check_upload(load_connector(document), "pets", UPDATE, "", "/x/y") == ""
