"""The client of writes against the sandbox, through the real HTTP client: every habit of vendors that take writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.addresses import AddressPolicy
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.registry import catalogue
from app.connectors.spec import load_connector, resolve_settings
from app.connectors.writing import (
    Absent,
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
from app.http_client import HttpClient
from app.sandbox import Account, SandboxServer

CREATE, UPDATE, UPSERT, DELETE = UploadAction
Open = Callable[..., WriteClient]


def edited(change: Callable[[dict[str, Any]], None] = lambda _: None) -> Connector:
    """The sandbox connector with a change in its document."""
    document = json.loads(json.dumps(catalogue()["sandbox"]))
    change(document)
    return load_connector(document)


SANDBOX = edited()


def in_object(name: str, **keys: Any) -> Connector:
    """The sandbox connector with keys set in one of its objects."""
    return edited(lambda document: document["objects"][name].update(keys))


def row(number: int = 1, **record: Any) -> OutRow:
    return OutRow(number, json.dumps(record or {"email": f"p{number}@x.test", "age": number}).encode(), f"key-{number}")


def rows(count: int, first: int = 1) -> list[OutRow]:
    return [row(number) for number in range(first, first + count)]


def only(result: WriteResult) -> RowOutcome:
    """The outcome of the one row, written or refused."""
    outcome = result.outcome if isinstance(result, Refused) else one(result)
    assert isinstance(outcome, RowOutcome)
    return outcome


def one(result: WriteResult) -> Any:
    assert isinstance(result, Written)
    assert len(result.outcomes) == 1
    return result.outcomes[0]


def verdicts(result: WriteResult) -> list[Any]:
    assert isinstance(result, Written)
    return [each.verdict if isinstance(each, RowOutcome) else type(each) for each in result.outcomes]


@pytest.fixture(name="client_of")
def make_opener(sandbox: SandboxServer, account: Account, http: HttpClient) -> Open:
    def client_of(
        name: str = "people",
        action: UploadAction = CREATE,
        identifier: str = "",
        connector: Connector = SANDBOX,
        **options: Any,
    ) -> WriteClient:
        given = {"base_url": sandbox.url, "username": account.name, "password": "s3cret-word"}
        settings = resolve_settings(connector, given)
        return WriteClient(
            connector, name, action, identifier, settings.config, settings.secrets, options.pop("http", http), **options
        )

    return client_of


def test_a_create_is_created_with_its_id(client_of: Open, account: Account) -> None:
    assert only(client_of().start([row()]).result()) == RowOutcome(RowVerdict.CREATED, "1", 201)
    assert account.people.rows() == [{"id": 1, "email": "p1@x.test", "age": 1}]


def test_update_upsert_and_delete_say_what_they_did(client_of: Open, account: Account) -> None:
    client_of().start([row()]).result()
    changed = client_of(action=UPDATE).start([row(id=1, age=40)]).result()
    new = client_of(action=UPSERT).start([row(email="new@x.test", age=2)]).result()
    known = client_of(action=UPSERT, identifier="email").start([row(email="p1@x.test", name="Ada")]).result()
    gone = client_of(action=DELETE).start([row(id=2)]).result()
    assert [only(each).verdict for each in (changed, new, known, gone)] == [
        RowVerdict.UPDATED,
        RowVerdict.CREATED,
        RowVerdict.UPSERTED,
        RowVerdict.DELETED,
    ]
    assert account.people.rows() == [{"id": 1, "email": "p1@x.test", "age": 40, "name": "Ada"}]


@pytest.mark.parametrize(
    ("habit", "rule", "verdict", "error_class", "vendor_id"),
    [
        ("409", None, RowVerdict.FAILED, ErrorClass.DUPLICATE, None),
        ("409", {"when": {"status": 409}, "is": "existed"}, RowVerdict.EXISTED, None, None),
        (
            "422",
            {"when": {"pointer": "/error/code", "equals": "duplicate"}, "is": "duplicate"},
            RowVerdict.FAILED,
            ErrorClass.DUPLICATE,
            None,
        ),
        ("400", None, RowVerdict.FAILED, ErrorClass.DATA, None),
        (
            "500_html",
            {"when": {"status": "5xx", "body": "duplicate key"}, "is": "duplicate"},
            RowVerdict.FAILED,
            ErrorClass.DUPLICATE,
            None,
        ),
        ("200", {"when": {"status": 200}, "is": "existed", "for": "create"}, RowVerdict.EXISTED, None, "1"),
    ],
)
def test_a_duplicate_is_what_the_connector_says_whatever_its_status(
    client_of: Open,
    account: Account,
    habit: str,
    rule: dict[str, Any] | None,
    verdict: RowVerdict,
    error_class: ErrorClass | None,
    vendor_id: str | None,
) -> None:
    account.change(habits={"duplicates": habit})
    client = client_of(connector=in_object("people", verdicts=[rule] if rule else []))
    client.start([row(1)]).result()
    outcome = only(client.start([row(1)]).result())
    assert (outcome.verdict, outcome.error_class, outcome.vendor_id) == (verdict, error_class, vendor_id)
    assert account.people.created == {"p1@x.test": 1}


def test_a_500_page_for_a_duplicate_is_unknown_until_it_is_declared_and_quoted_without_markup(
    client_of: Open, account: Account
) -> None:
    account.change(habits={"duplicates": "500_html"})
    client_of().start([row()]).result()
    result = client_of().start([row()]).result()
    assert isinstance(result, Unknown)
    assert result.http_status == 500
    assert "duplicate key" in result.reason
    assert "<" not in result.reason


def test_an_invalid_record_fails_with_what_the_vendor_said(client_of: Open, account: Account) -> None:
    outcome = only(client_of().start([row(email="nobody", age=1)]).result())
    assert (outcome.verdict, outcome.error_class, outcome.http_status) == (RowVerdict.FAILED, ErrorClass.DATA, 422)
    assert "accepted: a text with @" in outcome.detail
    assert len(outcome.detail) <= 200
    assert account.people.rows() == []


def test_a_partial_batch_has_one_verdict_a_row(client_of: Open, account: Account) -> None:
    client_of().start([row(2)]).result()
    client = client_of("people_batch")
    result = client.start([row(1), row(2), row(3, email="bad"), row(4)]).result()
    assert verdicts(result) == [RowVerdict.CREATED, RowVerdict.FAILED, RowVerdict.FAILED, RowVerdict.CREATED]
    assert isinstance(result, Written)
    found = [each for each in result.outcomes if isinstance(each, RowOutcome)]
    assert [each.vendor_id for each in found] == ["2", None, None, "3"]
    assert [each.error_class for each in found] == [None, ErrorClass.DUPLICATE, ErrorClass.DATA, None]
    assert "duplicate key" in found[1].detail
    assert account.calls == 2


@pytest.mark.parametrize("action", [UPDATE, UPSERT, DELETE])
def test_batches_of_the_other_actions(client_of: Open, account: Account, action: UploadAction) -> None:
    client_of("people_batch").start(rows(3)).result()
    sent = [row(n, id=n, email=f"p{n}@x.test", age=90 + n) for n in (1, 2, 9)]
    result = client_of("people_batch", action).start(sent).result()
    last = {UPDATE: RowVerdict.FAILED, UPSERT: RowVerdict.CREATED, DELETE: RowVerdict.FAILED}[action]
    good = {UPDATE: RowVerdict.UPDATED, UPSERT: RowVerdict.UPSERTED, DELETE: RowVerdict.DELETED}[action]
    assert verdicts(result) == [good, good, last]
    ages = {each["email"]: each["age"] for each in account.people.rows()}
    assert (
        ages
        == {
            UPDATE: {"p1@x.test": 91, "p2@x.test": 92, "p3@x.test": 3},
            UPSERT: {"p1@x.test": 91, "p2@x.test": 92, "p3@x.test": 3, "p9@x.test": 99},
            DELETE: {"p3@x.test": 3},
        }[action]
    )


def test_results_in_another_order_find_their_rows_by_identifier(client_of: Open, account: Account) -> None:
    batch = json.loads(json.dumps(catalogue()["sandbox"]["objects"]["people_batch"]["batch"]))
    batch["create"] |= {"match": "/email"}
    client = client_of("people_batch", identifier="email", connector=in_object("people_batch", batch=batch))
    result = client.start([row(1), row(2, email="no", age=1), row(3)]).result()
    # The sandbox gives no e-mail for what it refused: nothing was said of that row, so nothing is known of it.
    assert verdicts(result) == [RowVerdict.CREATED, Unknown, RowVerdict.CREATED]


def test_an_atomic_batch_is_refused_whole_and_nothing_of_it_is_written(client_of: Open, account: Account) -> None:
    client = client_of("people_atomic")
    refused = client.start([row(1), row(2, email="bad"), row(3)]).result()
    assert isinstance(refused, Refused)
    assert refused.outcome.verdict is RowVerdict.FAILED
    assert account.people.rows() == []
    result = client.start([row(1), row(3)]).result()
    assert verdicts(result) == [RowVerdict.CREATED, RowVerdict.CREATED]
    assert isinstance(result, Written)
    assert [each.vendor_id for each in result.outcomes if isinstance(each, RowOutcome)] == ["1", "2"]


def test_a_row_alone_goes_by_the_call_for_one_record(client_of: Open, account: Account) -> None:
    client_of("people_atomic").start(rows(1)).result()
    client_of("people_batch").start(rows(1, 2)).result()
    assert [entry.path for entry in account.log()] == ["/people", "/people"]


def test_a_declared_existed_for_a_whole_batch_means_one_of_its_rows(client_of: Open, account: Account) -> None:
    rule = {"when": {"status": 409}, "is": "existed"}
    client = client_of("people_atomic", connector=in_object("people_atomic", verdicts=[rule]))
    client.start([row(1)]).result()
    assert isinstance(client.start([row(1), row(2)]).result(), Refused)
    assert only(client.start([row(1)]).result()).verdict is RowVerdict.EXISTED
    assert account.people.created == {"p1@x.test": 1}


def csrf(document: dict[str, Any]) -> None:
    document["csrf"] = {"path": "/people", "params": {"limit": 1}}


def test_a_csrf_token_goes_with_its_cookie_and_is_renewed_on_403(client_of: Open, account: Account) -> None:
    account.change(habits={"csrf_calls": 2})
    client = client_of(connector=edited(csrf))
    results = [client.start([row(number)]).result() for number in (1, 2, 3, 3, 4)]
    assert [type(each) for each in results] == [Written, Written, Postponed, Written, Written]
    assert isinstance(results[2], Postponed)
    assert (results[2].verdict.action, results[2].verdict.retry_after_s) == (Action.RETRY, 0.0)
    assert account.people.created == {f"p{number}@x.test": 1 for number in (1, 2, 3, 4)}
    assert [entry.method for entry in account.log()] == ["GET", "POST", "POST", "POST", "GET", "POST", "POST"]


def test_without_a_declared_token_the_refusal_is_the_rows(client_of: Open, account: Account) -> None:
    account.change(habits={"csrf_calls": 2})
    outcome = only(client_of().start([row()]).result())
    assert (outcome.verdict, outcome.error_class) == (RowVerdict.FAILED, ErrorClass.PERMISSION)


def test_fresh_tokens_that_change_nothing_end_in_a_failure(client_of: Open, account: Account) -> None:
    account.change(habits={"csrf_calls": 5}, faults=[{"do": "status", "status": 403, "path": "/people/"}])
    client = client_of(action=UPDATE, connector=edited(csrf))
    results = [client.start([row(id=1)]).result() for _ in range(2)]
    assert [type(each) for each in results] == [Postponed, Refused]
    assert only(results[1]).error_class is ErrorClass.PERMISSION


def test_a_vendor_that_gives_no_token_is_told_from_one_that_is_away(client_of: Open, account: Account) -> None:
    client = client_of(connector=edited(csrf))
    refused = client.start([row()]).result()
    assert "no CSRF token" in only(refused).detail
    account.change(faults=[{"do": "status", "status": 503}])
    assert isinstance(client.start([row()]).result(), Postponed)
    assert account.people.rows() == []


def test_wrappers_around_request_and_answer(client_of: Open, account: Account) -> None:
    account.change(habits={"write_wrap": "data"})
    create = {"path": "/people", "wrap": "/data", "beside": {"dry": False, "note": None}, "id_at": "/data/id"}
    outcome = only(client_of(connector=in_object("people", create=create)).start([row()]).result())
    assert outcome == RowOutcome(RowVerdict.CREATED, "1", 201)
    assert account.people.rows() == [{"id": 1, "email": "p1@x.test", "age": 1}]


def test_a_declared_id_that_is_missing_proves_nothing(client_of: Open, account: Account) -> None:
    create = {"path": "/people", "id_at": "/data/id"}
    assert isinstance(client_of(connector=in_object("people", create=create)).start([row()]).result(), Unknown)
    assert account.people.created == {"p1@x.test": 1}


def test_an_empty_answer_is_good_where_no_id_is_declared(client_of: Open, account: Account) -> None:
    account.change(habits={"written": "empty"})
    assert only(client_of().start([row()]).result()) == RowOutcome(RowVerdict.CREATED, None, 201)


def test_form_bodies_carry_nested_fields_and_arrays(client_of: Open, account: Account) -> None:
    record: dict[str, Any] = {
        "email": "ä&=@x.test",
        "age": 3,
        "on": True,
        "off": None,
        "address": {"city": "Łódź"},
        "tags": ["a", "b"],
    }
    assert only(client_of("people_form").start([row(**record)]).result()).verdict is RowVerdict.CREATED
    assert account.people.rows() == [
        {**record, "id": 1, "on": "true", "off": "", "address": {"city": "Łódź"}, "tags": ["a", "b"]}
    ]


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "status", "status": 500, "commits": True},
        {"do": "status", "status": 502, "body": "html", "commits": True},
        {"do": "drop"},
        {"do": "drop", "reset": True},
        {"do": "cut"},
        {"do": "truncated_json"},
        {"do": "garbage"},
        {"do": "html_200"},
        {"do": "html_200", "content_type": "application/json"},
        {"do": "redirect", "status": 303},
    ],
    ids=lambda fault: "_".join(str(value) for value in fault.values()),
)
def test_what_may_have_been_written_is_unknown_and_settled_by_looking(
    client_of: Open, account: Account, fault: dict[str, Any]
) -> None:
    client = client_of()
    client.start([row(1)]).result()  # the connection is a kept one from here on
    account.change(faults=[{**fault, "times": 1}])
    assert isinstance(client.start([row(2)]).result(), Unknown)
    was_written = account.people.created["p2@x.test"] == 1
    settled = client.start_look_up(row(2)).result()
    assert settled == (Found("2") if was_written else Absent())


def test_a_connection_that_dies_after_the_commit_is_no_proof_that_nothing_was_sent(
    client_of: Open, account: Account
) -> None:
    """A kept connection that ends without a byte looks just as if it had been closed before (kind `stale`)."""
    client = client_of("people_blind")
    client.start([row(1)]).result()
    account.change(faults=[{"do": "drop", "times": 1}])
    assert isinstance(client.start([row(2)]).result(), Unknown)
    assert account.people.created == {"p1@x.test": 1, "p2@x.test": 1}


def test_an_answer_after_the_timeout_is_unknown_and_found(client_of: Open, account: Account) -> None:
    connector = in_object("people", create={"path": "/people", "read_timeout": "1s"})
    account.change(faults=[{"do": "hold", "calls": 1}])
    client = client_of(connector=connector)
    assert isinstance(client.start([row()]).result(), Unknown)
    assert client.start_look_up(row()).result() == Found("1")


@pytest.mark.parametrize(
    ("fault", "action"),
    [
        ({"do": "status", "status": 429, "tell": "retry_after", "wait_s": 7}, Action.WAIT),
        ({"do": "status", "status": 503, "tell": "retry_after", "wait_s": 7}, Action.WAIT),
        ({"do": "status", "status": 401}, Action.REFRESH_AUTH),
        ({"do": "status", "status": 423}, Action.RETRY),
    ],
)
def test_what_was_surely_not_processed_is_postponed(
    client_of: Open, account: Account, fault: dict[str, Any], action: Action
) -> None:
    account.change(faults=[fault])
    result = client_of("people_batch").start(rows(3)).result()
    assert isinstance(result, Postponed)
    assert (result.verdict.action, result.http_status) == (action, fault["status"])
    assert result.verdict.retry_after_s == (7 if action is Action.WAIT else None)
    assert account.people.rows() == []


def test_a_vendor_that_is_not_there_postpones(client_of: Open, sandbox: SandboxServer) -> None:
    with SandboxServer() as other:
        port = other.port
    http = HttpClient(AddressPolicy.parse(f"http://127.0.0.1/32:{port}"), user_agent="haulage-test")
    client = client_of(connector=edited(lambda d: d.update(base_url=f"http://127.0.0.1:{port}")), http=http)
    assert isinstance(client.start([row()]).result(), Postponed)
    http.close()


def test_an_address_that_is_not_allowed_is_refused_and_not_tried_again(client_of: Open) -> None:
    strict = HttpClient(AddressPolicy.parse(""), user_agent="haulage-test")
    assert only(client_of(http=strict).start([row()]).result()).error_class is ErrorClass.CONFIG
    strict.close()


def test_an_idempotency_key_makes_a_repeat_harmless(client_of: Open, account: Account) -> None:
    account.change(habits={"duplicates": "accept"}, faults=[{"do": "drop", "calls": 1}])
    client = client_of("people_keyed")
    assert client.is_repeatable
    assert isinstance(client.start([row()]).result(), Unknown)
    assert only(client.start([row()]).result()) == RowOutcome(RowVerdict.CREATED, "1", 201)
    assert account.people.created == {"p1@x.test": 1}


@pytest.mark.parametrize(
    ("name", "action", "most", "repeatable", "looks"),
    [
        ("people", CREATE, 1, False, True),
        ("people", UPDATE, 1, True, True),
        ("people_batch", CREATE, 100, False, True),
        ("people_batch", DELETE, 100, True, True),
        ("people_keyed", CREATE, 1, True, False),
        ("people_blind", CREATE, 1, False, False),
    ],
)
def test_what_a_client_says_of_itself(
    client_of: Open, name: str, action: UploadAction, most: int, repeatable: bool, looks: bool
) -> None:
    client = client_of(name, action)
    assert (client.most_rows, client.is_repeatable, client.can_look_up) == (most, repeatable, looks)
    assert client.field_types["age"] == "integer"
    assert client.look_up_after_s == (1.0 if looks else 0.0)
    assert "s3cret" not in repr(client)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"do": "status", "status": 503}, Action.WAIT),
        ({"do": "status", "status": 500}, Action.RETRY),
        ({"do": "drop"}, Action.RETRY),
        ({"do": "html_200"}, Action.RETRY),
        ({"do": "status", "status": 403}, Action.FAIL),
    ],
)
def test_a_look_up_that_fails_tells_nothing(
    client_of: Open, account: Account, fault: dict[str, Any], expected: Action
) -> None:
    account.change(faults=[fault])
    result = client_of().start_look_up(row()).result()
    assert isinstance(result, Unclear)
    assert result.verdict.action is expected


def test_a_look_up_that_finds_others_only_is_no_proof(client_of: Open, account: Account) -> None:
    """A vendor that ignores a parameter it does not know gives everything."""
    client_of().start([row(1)]).result()
    look_up = {"path": "/people", "params": {"e_mail": "{id}"}, "by": "email", "records": "/people"}
    client = client_of(connector=in_object("people", look_up=look_up))
    assert isinstance(client.start_look_up(row(7)).result(), Unclear)
    assert client.start_look_up(row(1)).result() == Found("1")


def test_a_look_up_by_key_takes_404_for_absent(client_of: Open) -> None:
    look_up = {"path": "/people/{id}", "by": "id"}
    client = client_of(connector=in_object("people", look_up=look_up))
    client.start([row(1)]).result()
    assert client.start_look_up(row(id=1)).result() == Found("1")
    assert client.start_look_up(row(id=2)).result() == Absent()
    assert isinstance(client.start_look_up(row(email="x")).result(), Unclear)


def test_a_row_without_its_identifier_is_not_sent(client_of: Open, account: Account) -> None:
    outcome = only(client_of(action=UPDATE).start([row(email="a@x")]).result())
    assert outcome.detail == "not sent: the row has no value in 'id', its identifier"
    assert account.calls == 0


def test_a_path_of_the_job_stands_in_the_place_of_the_declared_one(client_of: Open, account: Account) -> None:
    client_of().start([row(1)]).result()
    by_email = client_of(action=UPSERT, identifier="email", path="/people/by-email/{id}")
    assert only(by_email.start([row(1)]).result()).verdict is RowVerdict.UPSERTED
    alone = client_of("people_batch", path="/people")
    assert alone.most_rows == 1
    assert only(alone.start([row(2)]).result()).verdict is RowVerdict.CREATED
    assert [entry.path for entry in account.log()] == ["/people", "/people/by-email/p1@x.test", "/people"]


def test_a_secret_that_the_vendor_echoes_is_hidden(client_of: Open, account: Account) -> None:
    outcome = only(client_of().start([row(email="my s3cret-word")]).result())
    assert "my ***" in outcome.detail
    assert "s3cret-word" not in outcome.detail


def test_the_bytes_of_a_record_are_sent_as_they_are(client_of: Open, account: Account) -> None:
    record = b'{ "email":"a@x", "age":7, "price":1.10, "big":123456789012345678901234567890 }'
    wrapped = {"path": "/people", "wrap": "/data"}
    account.change(habits={"write_wrap": "data"})
    client_of(connector=in_object("people", create=wrapped)).start([OutRow(1, record, "k")]).result()
    assert account.log()[0].status == 201
    assert account.people.rows()[0]["big"] == 123456789012345678901234567890
