import json
from typing import Any

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.api.body import MAX_DEPTH, invalid_input, read_json
from app.api.bulk_schemas import CriteriaSchema
from app.api.errors import UnsupportedMediaTypeError
from app.domain.criteria import SUPPORTED, DownloadCriteria
from app.domain.jobs import FileFormat
from app.domain.pushes import DocsHub
from app.errors import InvalidInputError

APP = Flask(__name__)


def read(body: bytes, content_type: str = "application/json") -> Any:
    with APP.test_request_context(method="POST", data=body, content_type=content_type):
        return read_json(request)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_a_json_object_is_read() -> None:
    assert read(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"a"',
        b"null",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": 1e999}',
    ],
)
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read(body)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(InvalidInputError):
        read(nested(depth))
    assert read(nested(MAX_DEPTH - 1))


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        read(b'{"a": "\\ud800"}')


def test_other_media_types_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="text/plain"):
        read(b"{}", "text/plain")
    assert read(b"{}", "application/json; charset=utf-8") == {}


@given(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.text(max_size=5), st.lists, max_leaves=4)
    )
)
def test_whatever_is_wrong_gives_a_readable_error(body: dict[str, Any]) -> None:
    schema = CriteriaSchema()
    try:
        messages = schema.validate(body)
    except InvalidInputError:
        return
    if messages:
        error = invalid_input(messages, body)
        assert error.field.startswith("/")
        assert "accepted" in error.message


def load(**body: Any) -> DownloadCriteria:
    criteria = CriteriaSchema().load(json.loads(json.dumps(body)))
    assert isinstance(criteria, DownloadCriteria)
    return criteria


def test_criteria_have_the_documented_defaults() -> None:
    assert load(objectName="contacts") == DownloadCriteria("contacts")
    assert load(objectName="contacts", format=None, limit=None, query=None).file_format is FileFormat.JSONL


def test_the_vendors_misspelled_media_type_is_csv() -> None:
    assert load(objectName="a", format="txt/csv").file_format is FileFormat.CSV


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("x", "instanceId and path"),
        ({"instanceId": "1"}, "path"),
        ({"path": "a.jsonl"}, "instanceId"),
        ({"instanceId": None, "path": "a"}, "instanceId"),
        ({"instanceId": "1", "path": "a", "more": 1}, "instanceId and path"),
        ({"instanceId": "one", "path": "a"}, "instanceId"),
        ({"instanceId": "1", "path": "{day}.csv"}, "{day} is no placeholder"),
        ({"instanceId": "1", "path": "{a.csv"}, "brace without its partner"),
        ({"instanceId": "1", "path": "a" * 501}, "500"),
    ],
)
def test_what_docs_hub_details_must_be(given: Any, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        load(objectName="a", docsHubDetails=given)
    assert told in str(refused.value.messages)


def test_docs_hub_details_names_an_instance_by_number_or_text() -> None:
    for number in (7, "7"):
        path = "/out/{objectName}/{jobId}-{yyyy-MM-dd HH:mm:ss}.csv.gz"
        assert load(objectName="a", docsHubDetails={"instanceId": number, "path": path}).docs_hub == DocsHub(7, path)


def test_an_unknown_criterion_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"'colour' is not a criterion; accepted: .*apiLimit") as caught:
        load(objectName="a", colour="red")
    assert all(name in caught.value.message for name in SUPPORTED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("objectName", ""),
        ("objectName", 5),
        ("objectName", None),
        ("format", "xml"),
        ("limit", 0),
        ("limit", -1),
        ("limit", 2**31),
        ("limit", "5"),
        ("limit", 1.5),
        ("limit", True),
        ("apiLimit", []),
        ("pageSize", {}),
        ("query", "a=b"),
        ("query", {"a": 1}),
        ("notificationUrl", ""),
        ("child", "accounts"),
        ("child", {"objectName": "accounts"}),
        ("child", {"objectName": 1, "parentPrimaryKeyFieldName": "id"}),
        ("child", {"objectName": "accounts", "parentPrimaryKeyFieldName": "id", "depth": 1}),
    ],
)
def test_a_refusal_names_field_value_and_what_is_accepted(name: str, value: Any) -> None:
    body = {"objectName": "a", name: value}
    messages = CriteriaSchema().validate(body)

    message = invalid_input(messages, body).message

    assert message.startswith(name)
    assert "accepted" in message
    assert json.dumps(value) in message or "1" in message
