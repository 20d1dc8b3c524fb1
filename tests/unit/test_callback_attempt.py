"""One attempt: what is sent, and what is made of the transport's faults."""

from datetime import UTC, datetime

import pytest

from app.callbacks.attempt import prepare, send
from app.domain.deliveries import Answer
from app.domain.signing import SigningKey
from app.http_client import Beat, Headers, Interrupted, Kind, Request, Response, TransportError

SENT_AT = datetime(2026, 11, 22, 12, 0, 0, 900_000, tzinfo=UTC)
URL = "https://hooks.example.com/T0KEN-IN-PATH?secret=IN-QUERY"


class AnsweringSender:
    def __init__(self, answer: Response | Exception) -> None:
        self._answer = answer
        self.sent: list[tuple[Request, Beat | None]] = []

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        self.sent.append((request, beat))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def prepared(*keys: str, timeout_s: float = 20.0) -> Request:
    signing_keys = [SigningKey.parse(key) for key in keys]
    return prepare(
        event_id="msg_7_1", url=URL, body=b'{"id":7}', keys=signing_keys, sent_at=SENT_AT, timeout_s=timeout_s
    )


def test_the_stored_bytes_go_out_under_both_ids_and_the_time_of_the_attempt() -> None:
    request = prepared("k")
    headers = dict(request.headers)
    assert (request.method, request.url, request.body) == ("POST", URL, b'{"id":7}')
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == headers["Elements-Webhook-Id"] == "msg_7_1"
    assert headers["webhook-timestamp"] == str(int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()))
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["Elements-Webhook-Signature"].startswith("sha256=")


def test_while_a_key_rotates_the_list_has_both_and_the_vendors_header_the_old_one() -> None:
    both, new, old = (dict(prepared(*keys).headers) for keys in (("new", "old"), ("new",), ("old",)))
    assert both["webhook-signature"].split() == [new["webhook-signature"], old["webhook-signature"]]
    assert both["Elements-Webhook-Signature"] == old["Elements-Webhook-Signature"]


def test_without_a_key_there_is_no_signature() -> None:
    assert not any("signature" in name.lower() for name, _ in prepared().headers)


def test_an_answer_is_reduced_to_status_and_retry_after() -> None:
    response = Response(503, Headers([("Retry-After", "7")]), b"<html>", URL, 0.25)
    assert send(AnsweringSender(response), prepared()) == Answer(0.25, 503, "7")


@pytest.mark.parametrize("kind", ["dns", "connect", "tls", "timeout", "cut", "stale", "decode", "too_large"])
def test_no_fault_tells_path_or_query(kind: Kind) -> None:
    answer = send(AnsweringSender(TransportError(kind, f"POST {URL}: broken")), prepared("k"))
    assert answer.http_status is None
    assert "hooks.example.com:443" in str(answer.error)
    assert "IN-PATH" not in str(answer.error)
    assert "IN-QUERY" not in str(answer.error)


def test_a_refused_address_says_which_setting_allows_it() -> None:
    refusal = TransportError("refused_address", "https://10.0.0.1:443 is not a public address. HAULAGE_ALLOW_NETWORKS")
    assert send(AnsweringSender(refusal), prepared()).error == refusal.message


def test_a_stopped_transfer_is_a_timeout() -> None:
    answer = send(AnsweringSender(Interrupted("stopped")), prepared(timeout_s=20.0))
    assert answer.error == "The receiver hooks.example.com:443 did not answer within 20 s."


@pytest.mark.parametrize(("timeout_s", "may_go_on"), [(0.0, False), (3600.0, True)])
def test_the_whole_attempt_ends_at_its_timeout(timeout_s: float, *, may_go_on: bool) -> None:
    sender = AnsweringSender(Interrupted("stopped"))
    send(sender, prepared(timeout_s=timeout_s))
    [(_, beat)] = sender.sent
    assert beat is not None
    assert beat() is may_go_on
