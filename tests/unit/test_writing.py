"""From rows to requests, and from answers to verdicts: the rules that have many cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.registry import parse_document
from app.connectors.spec import load_connector
from app.connectors.write_bodies import UnsendableError, key_of, without
from app.connectors.write_verdicts import LONGEST_ID
from app.connectors.writing import (
    Found,
    OutRow,
    Postponed,
    Refused,
    RowOutcome,
    Unclear,
    Unknown,
    WriteClient,
    WriteResult,
    Written,
)
from app.domain.uploads import RowVerdict, UploadAction
from app.errors import ConfigError, TransientError
from app.http_client import Kind, TransportError
from tests.fakes.scripted_vendor import ScriptedVendor, answer

CREATE, UPDATE, UPSERT, DELETE = UploadAction
PETS = """
format: 1
key: pets
base_url: https://api.pets.test/v1
auth: {kind: bearer}
objects:
  pets:
    id: /id
    create: {path: /pets}
    update: {path: "/pets/{id}"}
    upsert: {path: "/pets/{identifier}/{id}", params: {by: "{identifier}"}}
    delete: {path: "/pets/{id}"}
"""
MADE = answer(201, b'{"id": 7}')


def pets(**keys: Any) -> Connector:
    """The connector with keys set (None: gone) in its object, and those with a capital letter in the document."""
    document = parse_document(PETS)
    for key, value in keys.items():
        (document if key[0].isupper() else document["objects"]["pets"])[key.lower()] = value
        if value is None:
            del document["objects"]["pets"][key]
    return load_connector(document)


def client_of(vendor: ScriptedVendor, action: UploadAction = CREATE, identifier: str = "", **keys: Any) -> WriteClient:
    return WriteClient(pets(**keys), "pets", action, identifier, {}, {"token": "s3cret"}, vendor)


def row(record: Any, number: int = 1) -> OutRow:
    return OutRow(number, record if isinstance(record, bytes) else json.dumps(record).encode(), f"key-{number}")


def sent(record: Any, action: UploadAction = CREATE, identifier: str = "", **keys: Any) -> Any:
    """The request that a row makes."""
    vendor = ScriptedVendor(MADE)
    client_of(vendor, action, identifier, **keys).start([row(record)]).result()
    return vendor.sent[0]


def judged(reply: Any, action: UploadAction = CREATE, **keys: Any) -> WriteResult:
    return client_of(ScriptedVendor(reply), action, **keys).start([row({"id": 1})]).result()


def only(result: WriteResult) -> RowOutcome:
    outcome = result.outcome if isinstance(result, Refused) else None
    if isinstance(result, Written):
        assert isinstance(result.outcomes[0], RowOutcome)
        outcome = result.outcomes[0]
    assert outcome is not None, result
    return outcome


NOT_PROCESSED = {401, 421, 423, 425, 429, 503}
REFUSED_BEYOND_4XX = {301, 307, 308, 501, 505}


@pytest.mark.parametrize("action", list(UploadAction))
def test_the_line_between_surely_not_processed_and_maybe(action: UploadAction) -> None:
    """For every status there is: what may be sent again blindly is what surely was not processed, and nothing else."""
    for status in range(200, 600):
        found: type[object] = type(judged(answer(status), action))
        if status in NOT_PROCESSED:
            assert found is Postponed, status
        elif status < 300:
            assert found is Written, status
        elif status in REFUSED_BEYOND_4XX or (400 <= status < 500 and status != 408):
            assert found is Refused, status
        else:
            assert found is Unknown, status


@pytest.mark.parametrize(
    ("action", "status", "verdict"),
    [
        (CREATE, 200, RowVerdict.CREATED),
        (CREATE, 202, RowVerdict.CREATED),
        (UPDATE, 204, RowVerdict.UPDATED),
        (UPSERT, 201, RowVerdict.CREATED),
        (UPSERT, 200, RowVerdict.UPSERTED),
        (DELETE, 204, RowVerdict.DELETED),
    ],
)
def test_a_good_answer_says_what_was_done(action: UploadAction, status: int, verdict: RowVerdict) -> None:
    assert only(judged(answer(status), action)).verdict is verdict


@pytest.mark.parametrize(
    ("action", "status", "error_class"),
    [
        (CREATE, 409, ErrorClass.DUPLICATE),
        (UPDATE, 409, ErrorClass.DATA),
        (CREATE, 400, ErrorClass.DATA),
        (CREATE, 422, ErrorClass.DATA),
        (CREATE, 403, ErrorClass.PERMISSION),
        (UPDATE, 404, ErrorClass.NOT_FOUND),
        (DELETE, 410, ErrorClass.NOT_FOUND),
        (CREATE, 307, ErrorClass.CONFIG),
        (CREATE, 415, ErrorClass.CONFIG),
    ],
)
def test_a_refusal_has_a_class(action: UploadAction, status: int, error_class: ErrorClass) -> None:
    assert only(judged(answer(status), action)).error_class is error_class


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dns", Postponed),
        ("connect", Postponed),
        ("tls", Postponed),
        ("refused_address", Refused),
        ("timeout", Unknown),
        ("cut", Unknown),
        ("stale", Unknown),
        ("decode", Unknown),
        ("too_large", Unknown),
    ],
)
def test_a_call_without_an_answer_is_known_not_to_have_arrived_or_not(kind: Kind, expected: type) -> None:
    result = judged(TransportError(kind, "https://api.pets.test/pets: s3cret broke"))
    assert type(result) is expected
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize("action", [UPDATE, UPSERT, DELETE])
def test_a_login_page_is_no_good_answer_to_anything(action: UploadAction) -> None:
    assert isinstance(judged(answer(200, " <html>sign in</html>"), action), Unknown)
    assert isinstance(judged(answer(200, "OK"), action), Written)


def test_a_declared_id_has_to_be_in_a_good_answer() -> None:
    create = {"path": "/pets", "id_at": "/pet/id"}
    assert isinstance(judged(answer(201, '{"id": 7}'), create=create), Unknown)
    assert only(judged(answer(201, '{"pet": {"id": 7}}'), create=create)).vendor_id == "7"


@pytest.mark.parametrize("body", ["<html>sign in</html>", "oops", '{"id": 7', "\ufeff<!DOCTYPE html>", "[1,"])
def test_a_good_status_with_a_body_that_no_api_gives_proves_nothing(body: str) -> None:
    assert isinstance(judged(answer(200, body)), Unknown)


@pytest.mark.parametrize(
    ("body", "vendor_id"), [("", None), ('{"id": 7}', "7"), ('\ufeff{"id": "x"}', "x"), ("[]", None)]
)
def test_what_the_answer_holds_is_the_id(body: str, vendor_id: str | None) -> None:
    assert only(judged(answer(201, body))).vendor_id == vendor_id


def test_an_answer_may_be_the_bare_id() -> None:
    assert only(judged(answer(201, " 7 "))).vendor_id is None
    assert only(judged(answer(201, " 7 "), create={"path": "/pets", "id_at": ""})).vendor_id == "7"


@pytest.mark.parametrize(
    ("meaning", "verdict", "error_class"),
    [
        ("created", RowVerdict.CREATED, None),
        ("updated", RowVerdict.UPDATED, None),
        ("deleted", RowVerdict.DELETED, None),
        ("existed", RowVerdict.EXISTED, None),
        ("duplicate", RowVerdict.FAILED, ErrorClass.DUPLICATE),
        ("invalid", RowVerdict.FAILED, ErrorClass.DATA),
        ("missing", RowVerdict.FAILED, ErrorClass.NOT_FOUND),
    ],
)
def test_a_rule_gives_an_answer_its_meaning(meaning: str, verdict: RowVerdict, error_class: ErrorClass | None) -> None:
    rule = {"when": {"status": 500, "body": "known"}, "is": meaning, "id_at": "/old", "message": "so it is"}
    outcome = only(judged(answer(500, '{"old": 3, "text": "known"}'), verdicts=[rule]))
    assert (outcome.verdict, outcome.error_class, outcome.vendor_id) == (verdict, error_class, "3")
    assert outcome.detail.startswith("so it is: ")


def test_rules_may_postpone_or_doubt() -> None:
    rules = [{"when": {"status": 400}, "is": "retry"}, {"when": {"status": 200}, "is": "uncertain"}]
    assert isinstance(judged(answer(400), verdicts=rules), Postponed)
    assert isinstance(judged(answer(200, "{}"), verdicts=rules), Unknown)


def test_the_first_rule_for_the_action_wins() -> None:
    rules = [
        {"when": {"status": 404}, "is": "deleted", "for": "delete"},
        {"when": {"status": "4xx"}, "is": "invalid"},
        {"when": {"status": 404}, "is": "existed"},
    ]
    assert only(judged(answer(404), DELETE, verdicts=rules)).verdict is RowVerdict.DELETED
    assert only(judged(answer(404), UPDATE, verdicts=rules)).error_class is ErrorClass.DATA


def test_a_rule_about_good_answers_names_their_status() -> None:
    pointed = {"when": {"pointer": "/ok", "equals": "false"}, "is": "invalid"}
    named = {"when": {"status": "2xx", "pointer": "/ok", "equals": "false"}, "is": "invalid"}
    reply = answer(200, '{"ok": false}')
    assert only(judged(reply, verdicts=[pointed])).verdict is RowVerdict.CREATED
    assert only(judged(reply, verdicts=[named])).verdict is RowVerdict.FAILED


@pytest.mark.parametrize(
    ("rule", "status", "expected"),
    [
        ({"when": {"status": 403, "body": "quota"}, "do": "wait", "class": "rate_limit"}, 403, Postponed),
        ({"when": {"status": 500, "body": "quota"}, "do": "wait", "class": "rate_limit"}, 500, Postponed),
        ({"when": {"status": 500, "body": "quota"}, "do": "wait"}, 500, Unknown),
        ({"when": {"status": 500}, "do": "retry"}, 500, Unknown),
        ({"when": {"status": 500}, "do": "fail"}, 500, Unknown),
        ({"when": {"status": 409}, "do": "retry"}, 409, Postponed),
        ({"when": {"status": 200, "body": "quota"}, "do": "refresh_auth"}, 200, Postponed),
        ({"when": {"status": 200, "body": "quota"}, "do": "retry"}, 200, Unknown),
        ({"when": {"status": 200, "body": "quota"}, "do": "fail"}, 200, Refused),
        ({"when": {"status": 422}, "do": "shrink_page"}, 422, Refused),
        ({"when": {"network": "cut"}, "do": "retry"}, 422, Refused),
    ],
)
def test_rules_for_reads_hold_for_writes_as_far_as_they_can(rule: dict[str, Any], status: int, expected: type) -> None:
    assert type(judged(answer(status, '{"why": "quota"}'), Errors=[rule])) is expected


def test_what_the_sender_raises_instead_of_sending_goes_through() -> None:
    class WaitError(TransientError):
        pass

    class Closed(ScriptedVendor):
        def start(self, _: Any) -> Any:
            raise WaitError("later")

    with pytest.raises(WaitError):
        client_of(Closed()).start([row({})])


def test_a_configuration_error_is_the_verdict_of_the_row() -> None:
    class Wrong(ScriptedVendor):
        def start(self, _: Any) -> Any:
            raise ConfigError("no such thing")

    call = client_of(Wrong()).start([row({})])
    assert call.is_over
    assert only(call.result()).error_class is ErrorClass.CONFIG


def test_a_call_tells_whether_it_is_over_and_can_be_broken_off() -> None:
    vendor = ScriptedVendor(MADE)
    call = client_of(vendor).start([row({})])
    assert (call.is_over, call.rows) == (True, (row({}),))
    call.abandon()
    assert vendor.abandoned == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"error": {"text": "too old"}}', "the vendor refused the record: too old"),
        ('{"error": {"text": {"age": 3}}}', 'the vendor refused the record: {"age": 3}'),
        ('{"problem": 1}', 'the vendor refused the record: {"problem": 1}'),
        ('{"error": {"text": "\\x"}}', 'the vendor refused the record: {"error": {"text": "\\x"}}'),
        (b'{"error": {"text": "\xff"}}', 'the vendor refused the record: {"error": {"text": "\ufffd"}}'),
        ("<p>no</p>", "the vendor refused the record: no"),
        ("", "the vendor refused the record"),
    ],
)
def test_a_refusal_is_quoted_from_where_the_connector_says(body: str | bytes, detail: str) -> None:
    create = {"path": "/pets", "error_at": "/error/text"}
    assert only(judged(answer(422, body), create=create)).detail == detail
    spec = {"path": "/all", "max": 10, "mode": "atomic", "error_at": "/error/text"}
    refused = client_of(ScriptedVendor(answer(422, body)), batch={"create": spec}).start([row({}), row({})]).result()
    assert only(refused).detail == detail


# Requests


def test_a_request_has_the_credentials_and_says_what_it_holds() -> None:
    request = sent({"a": 1})
    assert (request.method, request.url) == ("POST", "https://api.pets.test/v1/pets")
    assert dict(request.headers) == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Authorization": "Bearer s3cret",
    }


def test_declared_headers_win_and_the_key_has_its_own() -> None:
    create = {"path": "/pets", "headers": {"content-type": "application/vnd.pets+json"}, "idempotency": "Idem"}
    headers = dict(sent({"a": 1}, create=create).headers)
    assert (headers["content-type"], headers["Idem"]) == ("application/vnd.pets+json", "key-1")
    assert "Content-Type" not in headers


def test_identifier_and_value_go_where_they_are_named() -> None:
    request = sent({"tag": "a/b ä?", "id": 1}, UPSERT, "tag")
    assert request.url == "https://api.pets.test/v1/pets/tag/a%2Fb%20%C3%A4%3F?by=tag"
    assert sent({"id": 123456789012345678901}, DELETE).url.endswith("/pets/123456789012345678901")
    assert sent({"custom": {"111": "x"}}, UPDATE, "custom.111").url.endswith("/pets/x")
    assert sent({"custom.111": 1.0}, UPDATE, "custom.111").url.endswith("/pets/1.0")


@pytest.mark.parametrize("value", [None, {}, [], ""])
def test_a_row_whose_identifier_is_none_is_not_sent(value: Any) -> None:
    vendor = ScriptedVendor(MADE)
    assert only(client_of(vendor, UPDATE).start([row({"id": value})]).result()).error_class is ErrorClass.DATA
    assert vendor.sent == []


@pytest.mark.parametrize("value", [".", "..", "../7", "a/../b", "..\\7"])
def test_an_identifier_that_means_another_path_is_not_sent(value: str) -> None:
    vendor = ScriptedVendor(MADE)
    result = client_of(vendor, DELETE).start([row({"id": value})]).result()
    assert only(result).error_class is ErrorClass.DATA
    assert vendor.sent == []
    by_path = {"path": "/pets/{id}", "by": "id"}
    asked = client_of(vendor, look_up=by_path).start_look_up(row({"id": value})).result()
    assert isinstance(asked, Unclear)  # 404 of the folder above would be taken for a proof that it is absent
    assert vendor.sent == []


def test_dots_that_mean_no_other_path_are_sent() -> None:
    assert sent({"id": "a..b"}, DELETE).url.endswith("/pets/a..b")
    assert sent({"id": "..."}, DELETE).url.endswith("/pets/...")
    by_param = {"path": "/pets", "params": {"id": "{id}"}}
    assert sent({"id": ".."}, UPDATE, update=by_param).url.endswith("/pets?id=..")
    assert sent({"id": 7}, UPDATE, update={"path": "/a/../pets/{id}"}).url.endswith("/a/../pets/7")
    client = WriteClient(pets(), "pets", UPDATE, "id", {}, {"token": "t"}, ScriptedVendor(MADE), path="/v1..2/{id}")
    assert client.start([row({"id": 7})]).rows[0].number == 1


def test_a_delete_has_no_body_and_a_post_has_a_length() -> None:
    assert sent({"id": 1}, DELETE).body is None
    assert sent({"id": 1}, DELETE, delete={"path": "/pets/{id}/-/delete", "method": "POST"}).body == b""


def test_the_identifier_may_be_left_out() -> None:
    update = {"path": "/pets/{id}", "wrap": "/d/pet", "omit_id": True}
    assert sent(b'{"a":1.10,"id":7}', UPDATE, update=update).body == b'{"d":{"pet":{"a":1.10}}}'


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1, max_size=5)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="utf-8"), max_size=8))
RECORDS = st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(NAMES, SCALARS)))


def flat(value: Any, name: str) -> list[tuple[str, str]]:
    """An independent reading of what a web form makes of a record."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in flat(inner, f"{name}[{key}]" if name else key)]
    if isinstance(value, list):
        return [pair for inner in value for pair in flat(inner, f"{name}[]")]
    return [(name, "" if value is None else value if isinstance(value, str) else json.dumps(value))]


@given(RECORDS)
def test_a_form_is_read_back_as_the_record(record: dict[str, Any]) -> None:
    body = sent(record, create={"path": "/pets", "body": "form"}).body
    assert parse_qsl(body.decode(), keep_blank_values=True) == flat(record, "")


@given(RECORDS, st.lists(NAMES, min_size=1, max_size=3))
def test_a_wrapped_body_holds_the_record_and_what_stands_beside_it(record: dict[str, Any], keys: list[str]) -> None:
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    if any(ord(char) < 32 for char in pointer) or keys[0] == "dry":
        return  # no document may hold such a pointer
    create = {"path": "/pets", "wrap": pointer, "beside": {"dry": False, "n": {"a": [1, None]}}}
    if keys[0] == "n":
        return
    expected: Any = record
    for key in reversed(keys):
        expected = {key: expected}
    text = json.dumps(record).encode()
    body = sent(text, create=create).body
    assert json.loads(body) == {**expected, "dry": False, "n": {"a": [1, None]}}
    assert text in body


@given(RECORDS, st.data())
def test_a_field_is_left_out_and_nothing_else(record: dict[str, Any], data: st.DataObject) -> None:
    record = {key: value for key, value in record.items() if "." not in key}
    name = data.draw(st.sampled_from([*record, "missing"]))
    left = {key: value for key, value in record.items() if key != name}
    assert json.loads(without(json.dumps(record).encode(), name)) == left


@given(st.one_of(st.integers(), st.text(st.characters(codec="utf-8")), st.booleans()))
def test_the_key_of_a_record_is_its_value_as_text(value: Any) -> None:
    expected = value if isinstance(value, str) else json.dumps(value)
    assert key_of(json.dumps({"a": {"b": value}}).encode(), "a.b") == expected


def test_a_record_that_is_no_json_cannot_be_sent_by_key() -> None:
    with pytest.raises(UnsendableError):
        key_of(b'{"a": ', "a")


DEEP = b'{"id": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("record", "action", "keys"),
    [
        (DEEP, CREATE, {"create": {"path": "/pets", "body": "form"}}),
        (DEEP, UPDATE, {"update": {"path": "/pets/{id}", "omit_id": True}}),
        (b'{"id": "\\ud83d"}', DELETE, {}),
        (b'{"id": "\\ud83d"}', UPSERT, {}),
        (b"[]", UPDATE, {}),
        (b"{", UPDATE, {}),
    ],
)
def test_a_record_that_cannot_be_put_into_its_call_fails_alone(
    record: bytes, action: UploadAction, keys: dict[str, Any]
) -> None:
    vendor = ScriptedVendor(MADE)
    outcome = only(client_of(vendor, action, **keys).start([row(record)]).result())
    assert (outcome.verdict, outcome.error_class) == (RowVerdict.FAILED, ErrorClass.DATA)
    assert outcome.detail.startswith("not sent: ")
    assert vendor.sent == []


def test_half_a_character_in_a_form_becomes_the_sign_for_what_cannot_be_shown() -> None:
    body = sent(b'{"a": "x\\ud83d", "b": "\\ud83d\\ude00"}', create={"path": "/pets", "body": "form"}).body
    assert parse_qsl(body.decode()) == [("a", "x\ufffd"), ("b", "\U0001f600")]


# Batches

BATCH = {"path": "/all", "wrap": "/pets", "max": 10, "mode": "partial", "results": "/r", "status_at": "/s"}


def batch(reply: Any, count: int = 3, action: UploadAction = CREATE, **spec: Any) -> WriteResult:
    client = client_of(ScriptedVendor(reply), action, batch={action.value: {**BATCH, **spec}})
    return client.start([row({"id": number}, number) for number in range(1, count + 1)]).result()


def test_each_row_of_a_partial_batch_may_fare_in_its_own_way() -> None:
    results = [{"s": 201, "id": 5}, {"s": 429}, {"s": 500, "e": "boom"}, {"s": 422, "e": {"why": "bad"}}, {}]
    result = batch(answer(207, json.dumps({"r": results})), 5, error_at="/e", id_at="/id")
    assert isinstance(result, Written)
    created, waits, doubt, bad, silent = result.outcomes
    assert created == RowOutcome(RowVerdict.CREATED, "5", 201)
    assert isinstance(waits, Postponed)
    assert waits.verdict.action is Action.WAIT
    assert isinstance(doubt, Unknown)
    assert isinstance(bad, RowOutcome)
    assert bad.detail.endswith('{"why": "bad"}')
    assert isinstance(silent, Unknown)


@pytest.mark.parametrize("body", ['{"r": [{"s": 201}, {"s": 201}]}', '{"r": {}}', "{}", '{"r": [1, 2, 3, 4]}'])
def test_results_that_do_not_fit_the_rows_prove_nothing(body: str) -> None:
    assert isinstance(batch(answer(200, body)), Unknown)


@pytest.mark.parametrize("status", ["²", "٢٠١", "99999999999", "9" * 5000, "-1", "20"])
def test_a_status_that_is_none_proves_nothing(status: str) -> None:
    result = batch(answer(200, json.dumps({"r": [{"s": status}, {"s": 201}]}).encode()), 2)
    assert isinstance(result, Written)
    assert isinstance(result.outcomes[0], Unknown)
    assert isinstance(result.outcomes[1], RowOutcome)


def test_a_result_may_say_itself_whether_it_is_good() -> None:
    results = [{"ok": True}, {"ok": False, "code": "DUP"}, {"ok": "no"}, {"ok": None}]
    rules = [{"when": {"pointer": "/code", "equals": "DUP"}, "is": "existed"}]
    spec = {key: value for key, value in BATCH.items() if key != "status_at"} | {"ok_at": "/ok"}
    client = client_of(ScriptedVendor(answer(200, json.dumps({"r": results}))), batch={"create": spec}, verdicts=rules)
    result = client.start([row({}, number) for number in range(4)]).result()
    assert isinstance(result, Written)
    found = [each.verdict for each in result.outcomes if isinstance(each, RowOutcome)]
    assert found == [RowVerdict.CREATED, RowVerdict.EXISTED, RowVerdict.FAILED, RowVerdict.FAILED]


def test_results_are_matched_by_identifier_also_where_rows_share_it() -> None:
    results = [{"s": 409, "k": 2}, {"s": 201, "k": "1"}, {"s": 201, "k": 2}]
    client = client_of(
        ScriptedVendor(answer(200, json.dumps({"r": results}))), batch={"create": {**BATCH, "match": "/k"}}
    )
    result = client.start([row({"id": each}) for each in (1, 2, 2, 3)]).result()
    assert isinstance(result, Written)
    assert [each.http_status for each in result.outcomes] == [201, 409, 201, 200]
    assert isinstance(result.outcomes[3], Unknown)


@pytest.mark.parametrize("mode", ["partial", "atomic"])
@pytest.mark.parametrize(("status", "expected"), [(400, Refused), (413, Refused), (500, Unknown), (503, Postponed)])
def test_a_batch_that_is_refused_as_a_whole(mode: str, status: int, expected: type) -> None:
    spec = BATCH if mode == "partial" else {"path": "/all", "max": 10, "mode": "atomic"}
    client = client_of(ScriptedVendor(answer(status)), batch={"create": spec})
    assert type(client.start([row({}), row({})]).result()) is expected


def test_a_rule_for_one_record_does_not_speak_for_a_batch() -> None:
    rules = [{"when": {"status": 409}, "is": "existed"}]
    spec = {"path": "/all", "max": 10, "mode": "atomic"}
    client = client_of(ScriptedVendor(answer(409)), batch={"create": spec}, verdicts=rules)
    assert isinstance(client.start([row({}), row({})]).result(), Refused)
    assert only(client.start([row({})]).result()).verdict is RowVerdict.EXISTED


def test_a_row_alone_goes_by_the_call_for_one_record_if_there_is_one() -> None:
    vendor = ScriptedVendor(MADE)
    client_of(vendor, batch={"create": BATCH}).start([row({})]).result()
    client_of(vendor, UPDATE, batch={"update": BATCH}).start([row({"id": 1}), row({"id": 2})]).result()
    only_batches = client_of(vendor, batch={"create": BATCH}, create=None)
    only_batches.start([row({"a": 1})]).result()
    assert [each.url.removeprefix("https://api.pets.test/v1") for each in vendor.sent] == ["/pets", "/all", "/all"]
    assert vendor.sent[2].body == b'{"pets":[{"a": 1}]}'


def test_items_are_what_the_vendor_wants() -> None:
    vendor = ScriptedVendor(MADE)
    spec = {**BATCH, "wrap": "/in/all", "beside": {"x": 1}, "item": "/p/q", "item_id": "/key", "omit_id": True}
    client_of(vendor, UPDATE, batch={"update": spec}).start([row({"id": 1, "a": 1.5}), row({"id": "z"})]).result()
    del spec["beside"]
    spec = {key: value for key, value in BATCH.items() if key != "wrap"} | {"items": "ids"}
    client_of(vendor, DELETE, batch={"delete": spec}).start([row({"id": 10}), row({"id": "z"})]).result()
    first, second = (json.loads(each or b"null") for each in vendor.bodies)
    items = [{"p": {"q": {"a": 1.5}}, "key": 1}, {"p": {"q": {}}, "key": "z"}]
    assert first == {"in": {"all": items}, "x": 1}
    assert second == [10, "z"]


def fitting(client: WriteClient, rows: Sequence[OutRow]) -> int:
    """How many of the first rows go into one call."""
    room = client.room()
    return next((count for count, each in enumerate(rows) if not room.takes(each)), len(rows))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12))
@example([0, 0, 0, 0, 930, 3000])
def test_no_batch_is_larger_than_declared(sizes: list[int]) -> None:
    vendor = ScriptedVendor(MADE)
    client = client_of(vendor, batch={"create": {**BATCH, "max_bytes": 4000}})
    rows = [row({"t": "x" * size}, number) for number, size in enumerate(sizes)]
    count = fitting(client, rows)
    client.start(rows[:count]).result()
    size = len(next(iter(vendor.bodies)) or b"")
    assert count == 1 or (size <= 4000 and count <= 10)
    if count < min(len(rows), 10):
        client.start(rows[: count + 1]).result()
        assert len(list(vendor.bodies)[1] or b"") > 4000


def test_rows_with_other_fields_go_into_another_batch_where_that_matters() -> None:
    rows = [row({"a": 1, "b": 2}), row({"b": 3, "a": 4}), row({"a": 1}), row({"a": 1, "b": 1})]
    loose = client_of(ScriptedVendor(MADE), batch={"create": BATCH})
    strict = client_of(ScriptedVendor(MADE), batch={"create": {**BATCH, "same_fields": True}})
    assert (fitting(loose, rows), fitting(strict, rows), fitting(strict, rows[2:])) == (4, 2, 1)


# CSRF

CSRF = {"path": "/session"}
TOKEN = answer(200, X_CSRF_Token="t1", Set_Cookie="sid=1; Path=/; HttpOnly")
NEXT = answer(404, X_CSRF_Token="t2", Set_Cookie="session=2")
REQUIRED = answer(403, X_CSRF_Token="Required")


def test_calls_that_went_with_an_old_token_are_sent_again_and_one_token_is_fetched() -> None:
    vendor = ScriptedVendor(TOKEN, MADE, REQUIRED, REQUIRED, NEXT, MADE)
    client = client_of(vendor, Csrf=CSRF)
    client.start([row({}, 1)]).result()
    flying = [client.start([row({}, number)]) for number in (2, 3)]
    assert all(isinstance(each.result(), Postponed) for each in flying)
    assert all(isinstance(client.start([row({}, number)]).result(), Written) for number in (2, 3))
    carried = [
        (each.method, dict(each.headers).get("X-CSRF-Token"), dict(each.headers).get("Cookie")) for each in vendor.sent
    ]
    assert carried == [
        ("GET", "Fetch", None),
        *[("POST", "t1", "sid=1")] * 3,
        ("GET", "Fetch", None),
        *[("POST", "t2", "session=2")] * 2,
    ]


def test_the_late_refusal_of_an_old_token_costs_no_new_one() -> None:
    vendor = ScriptedVendor(TOKEN, MADE, REQUIRED, NEXT, MADE, REQUIRED, MADE)
    client = client_of(vendor, Csrf=CSRF)
    client.start([row({}, 1)]).result()
    early, late = client.start([row({}, 2)]), client.start([row({}, 3)])
    assert isinstance(early.result(), Postponed)
    assert isinstance(client.start([row({}, 2)]).result(), Written)
    assert isinstance(late.result(), Postponed)
    assert isinstance(client.start([row({}, 3)]).result(), Written)
    assert [each.method for each in vendor.sent].count("GET") == 2


def test_a_vendor_that_wants_ever_new_tokens_ends_in_a_refusal() -> None:
    vendor = ScriptedVendor(TOKEN, REQUIRED, TOKEN, REQUIRED, TOKEN, REQUIRED)
    client = client_of(vendor, Csrf=CSRF)
    results = [client.start([row({})]).result() for _ in range(3)]
    assert [type(each) for each in results] == [Postponed, Postponed, Refused]


def test_a_token_may_be_in_the_body() -> None:
    vendor = ScriptedVendor(answer(200, '{"csrf": {"token": "b1"}}'), MADE)
    csrf = {"path": "/session", "token_at": "/csrf/token", "header": "X-Token", "fetch_value": ""}
    client_of(vendor, Csrf=csrf).start([row({})]).result()
    assert [dict(each.headers).get("X-Token") for each in vendor.sent] == [None, "b1"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (TransportError("timeout", "slow"), Postponed),
        (TransportError("stale", "closed"), Postponed),
        (TransportError("refused_address", "no"), Refused),
        (answer(500), Postponed),
        (answer(200), Refused),
        (answer(404), Refused),
    ],
)
def test_without_a_token_nothing_was_sent(reply: Any, expected: type) -> None:
    vendor = ScriptedVendor(reply)
    assert type(client_of(vendor, Csrf=CSRF).start([row({})]).result()) is expected
    assert len(vendor.sent) == 1


# Look-ups

LOOK_UP = {"path": "/pets", "params": {"q": "{identifier}:{id}"}, "records": "/found"}


def looked_up(reply: Any, record: Any, **spec: Any) -> Any:
    client = client_of(ScriptedVendor(reply), CREATE, "tag", look_up={**LOOK_UP, **spec})
    return client.start_look_up(row(record)).result()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"found": [{"tag": "x", "id": 4}]}', "Found(vendor_id='4')"),
        ('{"found": [{"tag": "y", "id": 3}, {"tag": "x"}]}', "Found(vendor_id=None)"),
        ('{"found": []}', "Absent()"),
        ('{"found": [{"tag": "X", "id": 4}]}', "Unclear"),
        ('{"found": [{"id": 4}]}', "Unclear"),
        ('{"found": null}', "Unclear"),
        ("{}", "Unclear"),
        ("[]", "Unclear"),
        ("<html>", "Unclear"),
    ],
)
def test_only_an_empty_list_proves_absence(body: str, expected: str) -> None:
    assert repr(looked_up(answer(200, body), {"tag": "x"})).startswith(expected)


def test_the_identifier_is_named_to_the_vendor() -> None:
    vendor = ScriptedVendor(answer(200, '{"found": []}'))
    client = client_of(vendor, CREATE, "tag", look_up=LOOK_UP)
    client.start_look_up(row({"tag": "a b"})).result()
    assert vendor.sent[0].url == "https://api.pets.test/v1/pets?q=tag:a%20b"


def test_a_404_is_no_proof_where_the_path_names_no_record() -> None:
    assert isinstance(looked_up(answer(404), {"tag": "x"}), Unclear)


def test_a_client_that_cannot_look_up_says_so() -> None:
    client = client_of(ScriptedVendor(MADE))
    assert not client.can_look_up
    assert isinstance(client.start_look_up(row({})).result(), Unclear)


@pytest.mark.parametrize("size", [LONGEST_ID, LONGEST_ID + 1, 3_000_000])
def test_a_text_that_is_too_long_for_an_id_is_none(size: int) -> None:
    """It is kept with each row."""
    kept = "x" * size if size <= LONGEST_ID else None
    made = {"id": "x" * size, "tag": "T", "s": 201}
    reply = answer(201, json.dumps(made))
    rule = {"when": {"status": 201}, "is": "existed"}
    assert only(judged(reply)).vendor_id == kept
    assert only(judged(reply, verdicts=[rule])).vendor_id == kept
    assert isinstance(judged(reply, create={"path": "/pets", "id_at": "/id"}), Written if kept else Unknown)
    assert looked_up(answer(200, json.dumps({"found": [made]})), {"tag": "T"}) == Found(kept)
    batches = {"partial": BATCH, "atomic": {"path": "/all", "max": 10, "mode": "atomic", "results": "/r"}}
    for spec in batches.values():
        client = client_of(ScriptedVendor(answer(201, json.dumps({"r": [made] * 2}))), batch={"create": spec})
        assert only(client.start([row({}, 1), row({}, 2)]).result()).vendor_id == kept
