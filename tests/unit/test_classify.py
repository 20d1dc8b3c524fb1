"""What each answer means, and how long a vendor asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from app.connectors.classify import Verdict, classify_fault, classify_response, classify_transport
from app.connectors.faults import PageFault
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.spec import load_connector
from app.connectors.waits import MAX_WAIT_S
from app.http_client import Headers, Kind, TransportError
from tests.fakes.list_vendor import document

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def connector(**sections: Any) -> Connector:
    return load_connector({**document("cursor"), **sections})


def judge(status: int, *headers: tuple[str, str], body: bytes = b"", **sections: Any) -> Verdict:
    return classify_response(connector(**sections), status, Headers(headers), body, now=NOW)


@pytest.mark.parametrize(
    ("status", "action", "error_class"),
    [
        (200, Action.OK, ErrorClass.VENDOR),
        (202, Action.WAIT, ErrorClass.TRANSIENT),
        (204, Action.EMPTY, ErrorClass.VENDOR),
        (301, Action.FAIL, ErrorClass.CONFIG),
        (302, Action.FAIL, ErrorClass.CONFIG),
        (400, Action.FAIL, ErrorClass.CONFIG),
        (401, Action.REFRESH_AUTH, ErrorClass.AUTH),
        (403, Action.FAIL, ErrorClass.PERMISSION),
        (404, Action.FAIL, ErrorClass.NOT_FOUND),
        (408, Action.RETRY, ErrorClass.TRANSIENT),
        (418, Action.FAIL, ErrorClass.CONFIG),
        (425, Action.RETRY, ErrorClass.TRANSIENT),
        (429, Action.WAIT, ErrorClass.RATE_LIMIT),
        (500, Action.RETRY, ErrorClass.TRANSIENT),
        (501, Action.FAIL, ErrorClass.CONFIG),
        (502, Action.RETRY, ErrorClass.TRANSIENT),
        (503, Action.WAIT, ErrorClass.TRANSIENT),
        (504, Action.RETRY, ErrorClass.TRANSIENT),
        (599, Action.RETRY, ErrorClass.TRANSIENT),
    ],
)
def test_the_table_of_statuses(status: int, action: Action, error_class: ErrorClass) -> None:
    verdict = judge(status)
    assert (verdict.action, verdict.error_class) == (action, error_class)


def test_a_redirect_says_that_it_is_not_followed() -> None:
    assert "redirects are not followed" in judge(301).message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("0", 0),
        ("-3", 0),
        ("99999999999", MAX_WAIT_S),
        ("Sun, 22 Nov 2026 06:02:00 GMT", 120),
        ("Sunday, 22-Nov-26 06:02:00 GMT", 120),
        ("Sun Nov 22 06:02:00 2026", 120),
        ("Sun, 22 Nov 2026 05:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 99 Nov 2026 06:02:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 500])
def test_every_form_of_retry_after(status: int, value: str, seconds: float | None) -> None:
    assert judge(status, ("Retry-After", value)).retry_after_s == seconds


def test_a_date_is_compared_with_the_vendors_own_clock() -> None:
    skewed = ("Date", "Sun, 22 Nov 2026 09:00:00 GMT")
    assert judge(429, skewed, ("Retry-After", "Sun, 22 Nov 2026 09:00:30 GMT")).retry_after_s == 30


@pytest.mark.parametrize(
    ("value", "form", "seconds"),
    [
        ("30", "auto", 30),
        (str(int(NOW.timestamp()) + 30), "auto", 30),
        (str(int(NOW.timestamp() * 1000) + 30_000), "auto", 30),
        ((NOW + timedelta(seconds=30)).isoformat(), "auto", 30),
        ("2026-11-22T06:00:30Z", "iso", 30),
        ("30", "seconds", 30),
        (str(int(NOW.timestamp()) - 5), "epoch", 0),
        (str(int(NOW.timestamp() * 1000) + 500), "epoch_ms", 0.5),
        ("later", "auto", None),
    ],
)
def test_every_form_of_a_reset_header(value: str, form: str, seconds: float | None) -> None:
    wait = {"reset": "X-RateLimit-Reset", "reset_is": form}
    assert judge(429, ("X-RateLimit-Reset", value), wait=wait).retry_after_s == seconds


def test_a_readable_retry_after_wins_over_the_reset_and_an_unreadable_one_does_not() -> None:
    wait = {"reset": "X-Reset"}
    assert judge(429, ("X-Reset", "9"), ("Retry-After", "3"), wait=wait).retry_after_s == 3
    assert judge(429, ("X-Reset", "9"), ("Retry-After", "soon"), wait=wait).retry_after_s == 9


def test_a_wait_is_not_read_from_answers_that_are_no_wait() -> None:
    assert judge(404, ("Retry-After", "3")).retry_after_s is None


QUOTA = {
    "when": {"status": 403, "body": "quota"},
    "do": "wait",
    "class": "rate_limit",
    "message": "the quota is used up",
}


def test_a_connector_overrides_entries_of_the_table() -> None:
    verdict = judge(403, ("Retry-After", "5"), body=b"daily quota exceeded", errors=[QUOTA])
    assert verdict == Verdict(Action.WAIT, ErrorClass.RATE_LIMIT, "HTTP 403: the quota is used up.", 5)
    assert judge(403, body=b"forbidden", errors=[QUOTA]).action is Action.FAIL


def test_the_first_rule_that_matches_wins() -> None:
    rules = [{"when": {"status": "4xx"}, "do": "stop"}, {"when": {"status": 404}, "do": "retry"}]
    assert judge(404, errors=rules).action is Action.STOP


@pytest.mark.parametrize(
    ("when", "is_matched"),
    [
        ({"status": [409, 400]}, True),
        ({"status": 400, "pointer": "/error/code", "equals": "expired"}, True),
        ({"status": 400, "pointer": "/error/code", "equals": "other"}, False),
        ({"status": 400, "pointer": "/error/retry", "equals": "true"}, True),
        ({"status": 400, "pointer": "/nothing"}, False),
        ({"header": "X-Code", "equals": "7"}, True),
        ({"header": "X-Code", "equals": "8"}, False),
        ({"header": "X-None"}, False),
        ({"body": "EXPIRED"}, False),
        ({"status": 400, "network": "timeout"}, False),
    ],
)
def test_the_conditions_of_a_rule(when: dict[str, Any], is_matched: bool) -> None:
    body = b'{"error":{"code":"expired","retry":true}}'
    rules = [{"when": when, "do": "stop"}]
    verdict = judge(400, ("X-Code", "7"), body=body, errors=rules)
    assert (verdict.action is Action.STOP) is is_matched


def test_a_pointer_into_a_body_that_is_no_json_does_not_match() -> None:
    rules = [{"when": {"status": 400, "pointer": "/a"}, "do": "stop"}]
    assert judge(400, body=b"<html>", errors=rules).action is Action.FAIL


def test_a_rule_without_status_leaves_good_answers_alone() -> None:
    rules = [{"when": {"body": "quota"}, "do": "wait"}]
    assert judge(200, body=b'{"text":"quota"}', errors=rules).action is Action.OK
    rules = [{"when": {"status": 200, "body": "quota"}, "do": "wait"}]
    assert judge(200, body=b'{"text":"quota"}', errors=rules).action is Action.WAIT


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_transport_failure_has_a_verdict(kind: Kind) -> None:
    verdict = classify_transport(connector(), TransportError(kind, "x"))
    assert verdict.message
    assert verdict.action is not Action.OK


def test_a_page_too_large_shrinks_or_fails_and_a_slow_one_shrinks_or_is_retried() -> None:
    large = classify_transport(connector(), TransportError("too_large", "x"))
    slow = classify_transport(connector(), TransportError("timeout", "x"))
    assert (large.action, large.otherwise, large.floor_fraction) == (Action.SHRINK_PAGE, Action.FAIL, None)
    assert (slow.action, slow.otherwise) == (Action.SHRINK_PAGE, Action.RETRY)
    assert slow.floor_fraction


def test_a_stale_connection_is_tried_again_at_once() -> None:
    assert classify_transport(connector(), TransportError("stale", "x")).retry_after_s == 0


def test_a_rule_for_the_network() -> None:
    rules = [{"when": {"network": "timeout"}, "do": "fail", "class": "vendor"}]
    assert classify_transport(connector(errors=rules), TransportError("timeout", "x")).action is Action.FAIL
    assert classify_transport(connector(errors=rules), TransportError("dns", "x")).action is Action.RETRY


def test_a_fault_is_read_again_unless_only_an_edit_can_help() -> None:
    assert classify_fault(PageFault("loop", "x")).action is Action.RETRY
    for kind in ("collapse", "short_end"):
        verdict = classify_fault(PageFault(kind, "x"))
        assert (verdict.action, verdict.otherwise) == (Action.REFRESH_AUTH, Action.RETRY), (
            "it may be an expired session"
        )
    assert classify_fault(PageFault("foreign_host", "x")).action is Action.FAIL
