"""What an instance says about its callbacks: keys that rotate, headers, credentials, a URL for all its jobs."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from app.domain.signing import format_key
from app.secrets import CALLBACK_URL, HEADERS, MASK, OLDER_KEYS, PASSWORD, SIGNATURE_KEY, USER_NAME
from app.services.deliver import deliver
from tests.fakes.upload_door import MIXED, UploadDoor
from tests.fixtures.door import Door
from tests.fixtures.receiver import Call, Receiver
from tests.integration.test_api_bulk import refused

OLD, NEW, NEWER, NEWEST = (format_key(letter * 32) for letter in (b"o", b"n", b"m", b"q"))


def change(door: Door, **configuration: Any) -> Any:
    path = f"/instances/{door.acme.instance_id}"
    return door.call("PATCH", path, as_=door.acme.platform, json={"configuration": configuration})


def changed(door: Door, **configuration: Any) -> dict[str, str]:
    answer = change(door, **configuration)
    assert answer.status_code == 200, answer.text
    shown: dict[str, str] = answer.get_json()["configuration"]
    return shown


def sent(door: Door, receiver: Receiver, *, later: timedelta = timedelta(), **criteria: Any) -> Call:
    """The callback of a new job of the instance."""
    door.vendor.account("acme").configure(records=3)
    job_id = door.submit(**{"notificationUrl": receiver.url, **criteria})
    door.finish(job_id)
    with door.ctx.db.connection() as conn:
        row = conn.execute("select id from deliveries where job_id = %s", (job_id,)).fetchone()
    assert row is not None
    ctx = replace(door.ctx, now=lambda: door.ctx.now() + later)
    assert deliver(ctx, row["id"], None) is not None
    return receiver.calls[-1]


def is_verified(call: Call, key: str) -> bool:
    try:
        Webhook(key).verify(call.body, call.headers)
    except WebhookVerificationError:
        return False
    return True


def elements_key(call: Call, *keys: str) -> str:
    """Which of the keys the vendor's own header is signed with, by plain HMAC."""
    for key in keys:
        digest = base64.b64encode(hmac.new(key.encode(), call.body, hashlib.sha256).digest()).decode()
        if call.headers["elements-webhook-signature"] == f"sha256={digest}":
            return key
    return ""


# Keys -----------------------------------------------------------------------------------------------------------------


def test_while_a_key_rotates_receivers_with_either_key_verify(door: Door, receiver: Receiver) -> None:
    changed(door, **{SIGNATURE_KEY: OLD, OLDER_KEYS: None})
    shown = changed(door, **{SIGNATURE_KEY: NEW})
    assert shown[SIGNATURE_KEY] == MASK
    assert shown[OLDER_KEYS].startswith(f"{MASK} until 20")

    call = sent(door, receiver)
    assert len(call.headers["webhook-signature"].split()) == 2
    newest_first = Webhook(NEW).sign(call.event_id, _sent_at(call), call.body.decode())
    assert call.headers["webhook-signature"].split()[0] == newest_first
    assert is_verified(call, OLD)
    assert is_verified(call, NEW)
    assert not is_verified(call, NEWER)
    assert elements_key(call, OLD, NEW) == OLD, "a receiver that has not switched yet must not fail"


def test_after_the_overlap_only_the_new_key_signs(door: Door, receiver: Receiver) -> None:
    changed(door, **{SIGNATURE_KEY: OLD, OLDER_KEYS: None})
    changed(door, **{SIGNATURE_KEY: NEW})
    just_before = sent(door, receiver, later=timedelta(hours=23, minutes=59))
    after = sent(door, receiver, later=timedelta(hours=24, minutes=1))
    assert (elements_key(just_before, OLD, NEW), elements_key(after, OLD, NEW)) == (OLD, NEW)
    assert len(after.headers["webhook-signature"].split()) == 1


def test_a_rotation_can_be_ended_at_once(door: Door, receiver: Receiver) -> None:
    changed(door, **{SIGNATURE_KEY: OLD, OLDER_KEYS: None})
    assert OLDER_KEYS in changed(door, **{SIGNATURE_KEY: NEW})
    assert OLDER_KEYS not in changed(door, **{OLDER_KEYS: None})
    call = sent(door, receiver)
    assert is_verified(call, NEW)
    assert not is_verified(call, OLD)
    assert elements_key(call, OLD, NEW) == NEW


def test_a_key_that_leaked_can_be_replaced_without_any_overlap(door: Door, receiver: Receiver) -> None:
    changed(door, **{SIGNATURE_KEY: OLD})
    assert OLDER_KEYS not in changed(door, **{SIGNATURE_KEY: NEW, OLDER_KEYS: None})
    assert not is_verified(sent(door, receiver), OLD)


def test_few_keys_are_valid_at_once_and_the_error_says_what_to_do(door: Door) -> None:
    changed(door, **{SIGNATURE_KEY: OLD, OLDER_KEYS: None})
    changed(door, **{SIGNATURE_KEY: NEW})
    changed(door, **{SIGNATURE_KEY: NEWER})
    message = refused(change(door, **{SIGNATURE_KEY: NEWEST}), 409)
    assert "4 keys would be valid at once; up to 3 are accepted" in message
    assert f"null for {OLDER_KEYS}" in message
    assert OLDER_KEYS not in changed(door, **{SIGNATURE_KEY: NEWEST, OLDER_KEYS: None})


def test_what_is_shown_may_be_sent_back_and_other_changes_keep_the_rotation(door: Door, receiver: Receiver) -> None:
    changed(door, **{SIGNATURE_KEY: OLD, OLDER_KEYS: None})
    shown = changed(door, **{SIGNATURE_KEY: NEW})
    assert changed(door, **shown) == shown
    body = {"configuration": {"base_url": door.vendor.url, "username": "acme", "password": MASK}}
    path = f"/instances/{door.acme.instance_id}"
    assert door.call("PUT", path, as_=door.acme.platform, json=body).status_code == 200
    call = sent(door, receiver)
    assert is_verified(call, OLD)
    assert is_verified(call, NEW)


def test_older_keys_are_not_given_by_hand(door: Door) -> None:
    message = refused(change(door, **{OLDER_KEYS: "s3cr3t"}), 400)
    assert "null is accepted" in message
    assert "s3cr3t" not in message


# Headers and credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"X-Tenant": "s3cr3t-a", "X-More": "b"}', "X-Tenant: s3cr3t-a\nX-More: b"])
def test_headers_and_credentials_go_with_each_attempt_and_nowhere_else(
    door: Door, receiver: Receiver, text: str
) -> None:
    with capture_logs() as logs:
        shown = changed(door, **{HEADERS: text, USER_NAME: "me", PASSWORD: "s3cr3t-p"})
        call = sent(door, receiver)
    assert (shown[HEADERS], shown[USER_NAME], shown[PASSWORD]) == (MASK, "me", MASK)
    assert (call.headers["x-tenant"], call.headers["x-more"]) == ("s3cr3t-a", "b")
    assert call.headers["authorization"] == "Basic " + base64.b64encode(b"me:s3cr3t-p").decode()
    listing = door.call("GET", "/bulk/callbacks").text
    with door.ctx.db.connection() as conn:
        rows = conn.execute("select instances.*, deliveries.* from instances left join deliveries on true").fetchall()
    assert "s3cr3t" not in json.dumps(shown) + str(logs) + listing + str(rows)


def test_they_are_read_afresh_at_each_attempt(door: Door, receiver: Receiver) -> None:
    changed(door, **{HEADERS: "X-A: one"})
    assert sent(door, receiver).headers["x-a"] == "one"
    changed(door, **{HEADERS: "X-A: two"})
    assert sent(door, receiver).headers["x-a"] == "two"
    changed(door, **{HEADERS: None})
    assert "x-a" not in sent(door, receiver).headers


@pytest.mark.parametrize(
    ("configuration", "field", "told"),
    [
        ({HEADERS: "Host: s3cr3t"}, HEADERS, "the header 'Host' is set by Haulage or by the connection"),
        ({HEADERS: "webhook-id: s3cr3t"}, HEADERS, "set by Haulage"),
        ({HEADERS: "Transfer-Encoding: s3cr3t"}, HEADERS, "set by Haulage or by the connection"),
        ({HEADERS: "s3cr3t"}, HEADERS, "line 1 has no colon"),
        ({HEADERS: '{"X-A": "s3cr3t\\r\\nX: y"}'}, HEADERS, "printable ASCII"),
        ({HEADERS: 5}, HEADERS, "a text is accepted"),
        ({HEADERS: "Authorization: s3cr3t", USER_NAME: "me"}, HEADERS, "one of both is accepted"),
        ({PASSWORD: "s3cr3t"}, USER_NAME, "missing"),
        ({USER_NAME: "a:b", PASSWORD: "s3cr3t"}, USER_NAME, "without colons"),
        ({CALLBACK_URL: "http://10.0.0.1/s3cr3t"}, CALLBACK_URL, "HAULAGE_ALLOW_NETWORKS"),
        ({CALLBACK_URL: "/formulas/s3cr3t"}, CALLBACK_URL, "relative"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_what_cannot_be_sent_is_refused_by_name_when_it_is_set(
    door: Door, method: str, configuration: dict[str, Any], field: str, told: str
) -> None:
    if method == "PATCH":
        answer = change(door, **configuration)
    else:
        whole = {"base_url": door.vendor.url, "username": "acme", **configuration}
        body = {"element": {"key": "sandbox"}, "configuration": whole}
        answer = door.call("POST", "/instances", as_=door.acme.platform, json=body)
    message = refused(answer, 400)
    assert field in message
    assert told in message
    assert field == CALLBACK_URL or "s3cr3t" not in message


# The URL of jobs that name none ---------------------------------------------------------------------------------------


def test_the_instances_url_is_that_of_its_jobs_that_name_none(door: Door, receiver: Receiver) -> None:
    own = f"{receiver.origin}/own"
    assert changed(door, **{CALLBACK_URL: receiver.url})[CALLBACK_URL] == receiver.url
    assert sent(door, receiver, notificationUrl=None).path == "/callback"
    assert sent(door, receiver, notificationUrl=own).path == "/own"
    query = door.call("POST", "/bulk/query", query_string={"q": "select * from records"})
    status = door.call("GET", f"/bulk/{query.get_json()['id']}/status").get_json()
    assert status["notificationUrl"] == receiver.url
    changed(door, **{CALLBACK_URL: None})
    job_id = door.submit()
    assert door.call("GET", f"/bulk/{job_id}/status").get_json()["notificationUrl"] is None


def test_uploads_use_it_as_well(uploads: UploadDoor) -> None:
    url = "http://127.0.0.1:9/hook"
    uploads.engine.execute(
        "update instances set configuration = configuration || %s::jsonb", json.dumps({CALLBACK_URL: url})
    )
    job_id = uploads.submit(MIXED)
    assert uploads.status(job_id)["notificationUrl"] == url


def _sent_at(call: Call) -> datetime:
    return datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC)
