"""Callbacks on real PostgreSQL and a real receiver: delivered at least once, with one id, whoever crashes."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.addresses import AddressPolicy
from app.callbacks.urls import check_url
from app.db import deliveries
from app.db.pool import Connection
from app.domain.deliveries import DeliveryStatus, Outcome
from app.domain.signing import format_key
from app.errors import LostClaimError
from app.http_client import Beat, HttpClient, Request, Response
from app.secrets import Vault, generate_encryption_key
from app.services.deliver import LEASE_S, deliver
from tests.fixtures.outbox import BODY, INSTANCE, KEY, LOOPBACK, Outbox
from tests.fixtures.receiver import CLOSE, DRIP, GONE, HANG, OK, Answer, MakeReceiver, Receiver

WORKER = 1


class CrashingClient(HttpClient):
    """A worker that dies after the receiver has answered and before anything is recorded."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        super().request(request, beat)
        raise KeyboardInterrupt


def test_a_callback_arrives_signed_both_ways_and_is_recorded(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)

    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)

    [call] = receiver.calls
    assert call.body == BODY
    assert call.verify(KEY)["runNumber"] == 1
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == call.headers["elements-webhook-id"] == "msg_41_1"
    row = outbox.row(delivery)
    assert (row["status"], row["next_attempt_at"], row["lease_expires_at"]) == ("DELIVERED", None, None)
    assert row["finished_at"] is not None
    [attempt] = outbox.attempts()
    assert (attempt.number, attempt.http_status, attempt.error) == (1, 200, None)


def test_a_delivered_callback_is_never_sent_again(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    assert deliver(outbox.ctx, delivery, WORKER) is not None
    assert deliver(outbox.ctx, delivery, WORKER) is None
    assert deliver(outbox.ctx, delivery + 1, WORKER) is None
    assert len(receiver.calls) == 1


def test_after_a_failure_the_next_attempt_is_on_schedule_with_the_same_id_and_body(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answer(500, 200)
    delivery = outbox.owe(receiver.url)

    failed = deliver(outbox.ctx, delivery, WORKER, dice=lambda: 0.5)
    assert failed == Outcome(DeliveryStatus.PENDING, 500, "The receiver answered 500; 2xx was expected.", 5.5)
    row = outbox.one("select next_attempt_at - now() as wait from deliveries where id = %s", delivery)
    assert timedelta(0) < row["wait"] <= timedelta(seconds=5.5)
    assert deliver(outbox.ctx, delivery, WORKER) is None

    outbox.make_due(delivery)
    later = replace(outbox.ctx, now=lambda: outbox.ctx.now() + timedelta(minutes=2))
    assert deliver(later, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)

    first, second = receiver.calls
    assert first.event_id == second.event_id
    assert first.verify(KEY) == second.verify(KEY)
    passed_s = int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"])
    assert passed_s >= 120
    assert [attempt.http_status for attempt in outbox.attempts()] == [500, 200]


def test_410_stops_for_good(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(GONE)
    delivery = outbox.owe(receiver.url)
    outcome = deliver(outbox.ctx, delivery, WORKER)
    assert outcome is not None
    assert outcome.status is DeliveryStatus.STOPPED
    assert outbox.row(delivery)["next_attempt_at"] is None
    assert outbox.due(renudge_s=0) == []


def test_a_redirect_is_not_followed(outbox: Outbox, receiver: Receiver, make_receiver: MakeReceiver) -> None:
    elsewhere = make_receiver()
    receiver.answer(Answer.redirect(elsewhere.url))
    outcome = deliver(outbox.ctx, outbox.owe(receiver.url), WORKER)
    assert outcome is not None
    assert (outcome.status, outcome.http_status) == (DeliveryStatus.PENDING, 302)
    assert elsewhere.calls == []


ODD_BODIES = {
    "no gzip": Answer(200, {"Content-Encoding": "gzip"}, b"ok"),
    "an encoding that nobody knows": Answer(201, {"Content-Encoding": "br"}, b"ok"),
    "cut": Answer(202, {"Content-Length": "99"}, b"ok"),
}


@pytest.mark.parametrize("answer", ODD_BODIES.values(), ids=ODD_BODIES)
def test_any_2xx_delivers_whatever_its_body_is(outbox: Outbox, receiver: Receiver, answer: Answer) -> None:
    receiver.answer(answer)
    outcome = deliver(outbox.ctx, outbox.owe(receiver.url), WORKER)
    assert outcome == Outcome(DeliveryStatus.DELIVERED, answer.status)


@pytest.mark.parametrize("answer", [HANG, DRIP], ids=["hangs", "drips"])
def test_a_receiver_that_takes_too_long_is_a_recorded_failure(
    outbox: Outbox, receiver: Receiver, answer: Answer
) -> None:
    receiver.answer(answer)
    ctx = outbox.with_settings(callback_timeout_s=0.5)
    outcome = deliver(ctx, outbox.owe(receiver.url), WORKER)
    assert outcome is not None
    assert outcome.status is DeliveryStatus.PENDING
    [attempt] = outbox.attempts()
    assert "did not answer within 0.5 s" in str(attempt.error)
    assert attempt.duration_ms >= 500


def test_a_receiver_killed_after_reading_gets_the_same_id_again(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(CLOSE, OK)
    delivery = outbox.owe(receiver.url)
    failed = deliver(outbox.ctx, delivery, WORKER)
    assert failed is not None
    assert "closed the connection before it had answered" in str(failed.error)
    outbox.make_due(delivery)
    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)
    assert receiver.event_ids == ["msg_41_1", "msg_41_1"]


def test_a_receiver_that_is_down_gets_it_once_it_is_up(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    receiver.stop()
    refused = deliver(outbox.ctx, delivery, WORKER)
    assert refused is not None
    assert "No connection" in str(refused.error)
    receiver.start()
    outbox.make_due(delivery)
    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)


def test_a_worker_that_dies_after_the_post_causes_a_repeat_with_the_same_id(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    crashing = replace(outbox.ctx, http=CrashingClient(AddressPolicy.parse(LOOPBACK), user_agent="t"))
    with pytest.raises(KeyboardInterrupt):
        deliver(crashing, delivery, WORKER)
    assert deliver(outbox.ctx, delivery, WORKER) is None
    assert outbox.due(renudge_s=0) == []

    outbox.expire_lease(delivery)
    assert outbox.due() == [delivery]
    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)

    assert receiver.event_ids == ["msg_41_1", "msg_41_1"]
    lost, good = outbox.attempts()
    assert (lost.http_status, good.http_status) == (None, 200)
    assert "No result was recorded" in str(lost.error)


@pytest.mark.parametrize("is_committed", [False, True], ids=["before the commit", "at the commit"])
def test_a_connection_that_breaks_behind_the_answer_causes_no_repeat(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    monkeypatch.setattr("app.services.deliver._AGAIN_S", 0.0)
    record, breaks = deliveries.record, [True]

    def break_once(conn: Connection, *args: Any, **values: Any) -> None:
        record(conn, *args, **values)
        if breaks and breaks.pop():
            if is_committed:
                conn.execute("commit")
            conn.close()

    monkeypatch.setattr(deliveries, "record", break_once)
    delivery = outbox.owe(receiver.url)
    deliver(outbox.ctx, delivery, WORKER)
    assert outbox.row(delivery)["status"] == "DELIVERED"
    assert [attempt.http_status for attempt in outbox.attempts()] == [200]
    outbox.expire_lease(delivery)
    assert deliver(outbox.ctx, delivery, WORKER) is None
    assert len(receiver.calls) == 1


def test_a_callback_that_kills_its_workers_ends_as_failed(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    ctx = outbox.with_settings(crash_tries=3)
    for _ in range(3):
        with outbox.db.transaction() as conn:
            assert deliveries.claim(conn, delivery, WORKER, lease_s=LEASE_S) is not None
        outbox.expire_lease(delivery)
    outcome = deliver(ctx, delivery, WORKER)
    assert outcome is not None
    assert outcome.status is DeliveryStatus.FAILED
    assert "died in 3 attempts" in str(outcome.error)
    assert receiver.calls == []


def test_workers_that_are_told_at_once_deliver_once(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    together = threading.Barrier(4)

    def work(worker: int) -> Outcome | None:
        together.wait()
        return deliver(outbox.ctx, delivery, worker)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(work, range(4)))
    assert [outcome for outcome in outcomes if outcome] == [Outcome(DeliveryStatus.DELIVERED, 200)]
    assert len(receiver.calls) == 1


def test_while_one_worker_waits_for_the_answer_another_has_nothing_to_do(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(HANG)
    delivery = outbox.owe(receiver.url)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(deliver, outbox.ctx, delivery, WORKER)
        receiver.wait_for(1)
        assert deliver(outbox.ctx, delivery, 2) is None
        receiver.stop()
        outcome = first.result(30)
    assert outcome is not None
    assert len(receiver.calls) == 1


def test_a_worker_frozen_past_its_lease_records_nothing(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(HANG, OK)
    delivery = outbox.owe(receiver.url)
    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(deliver, outbox.ctx, delivery, WORKER)
        receiver.wait_for(1)
        outbox.expire_lease(delivery)
        assert deliver(outbox.ctx, delivery, 2) == Outcome(DeliveryStatus.DELIVERED, 200)
        row = outbox.row(delivery)
        receiver.stop()
        assert frozen.result(30) is None
    assert outbox.row(delivery) == row
    assert [attempt.http_status for attempt in outbox.attempts()] == [None, 200]
    assert outbox.receiver(receiver.url)["failure_count"] == 0, "nor does it blame the receiver"


def test_a_stale_claim_cannot_record_whatever_became_of_the_newer_one(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    with outbox.db.transaction() as conn:
        stale = deliveries.claim(conn, delivery, WORKER, lease_s=LEASE_S)
    outbox.expire_lease(delivery)
    with outbox.db.transaction() as conn:
        held = deliveries.claim(conn, delivery, 2, lease_s=LEASE_S)
    assert stale is not None
    assert held is not None
    good, at = Outcome(DeliveryStatus.DELIVERED, 200), outbox.ctx.now()
    for _ in range(2):  # while the newer one is held, and after it has been recorded
        with pytest.raises(LostClaimError), outbox.db.transaction() as conn:
            deliveries.record(conn, stale, good, started_at=at, duration_s=1.0)
        if outbox.row(delivery)["status"] == "PENDING":
            with outbox.db.transaction() as conn:
                deliveries.record(conn, held, Outcome(DeliveryStatus.FAILED, 500, "no"), started_at=at, duration_s=1.0)
    with pytest.raises(LostClaimError), outbox.db.transaction() as conn:
        deliveries.record(conn, held, good, started_at=at, duration_s=1.0)
    assert outbox.row(delivery)["status"] == "FAILED"


def test_an_address_that_was_allowed_at_submission_is_refused_at_the_dial(outbox: Outbox, receiver: Receiver) -> None:
    check_url(AddressPolicy.parse(LOOPBACK), receiver.url)
    delivery = outbox.owe(receiver.url)
    outcome = deliver(outbox.with_settings(allow_networks=""), delivery, WORKER)
    assert outcome is not None
    assert outcome.status is DeliveryStatus.PENDING
    assert "HAULAGE_ALLOW_NETWORKS" in str(outcome.error)
    assert receiver.calls == []
    outbox.make_due(delivery)
    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)


def test_a_name_that_was_public_at_submission_is_judged_again_at_the_dial(outbox: Outbox, receiver: Receiver) -> None:
    # The port is opened for some other network, so the text of the URL passes and only the dial can tell.
    elsewhere = f"http://93.184.215.0/24:{receiver.port}"
    url = f"http://{socket.gethostname()}:{receiver.port}/callback"
    check_url(AddressPolicy.parse(elsewhere), url, resolve=lambda _host, _port: ["93.184.215.14"])
    outcome = deliver(outbox.with_settings(allow_networks=elsewhere), outbox.owe(url), WORKER)
    assert outcome is not None
    # The second is for a machine that does not know its own name.
    assert any(text in str(outcome.error) for text in ("is not a public address", "could not be resolved"))
    assert receiver.calls == []


def test_the_last_scheduled_attempt_that_fails_is_an_alert(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(503)
    delivery = outbox.owe(receiver.url)
    ctx = outbox.with_settings(callback_schedule_s=(0.0, 5.0))
    with capture_logs() as logs:
        for expected in (DeliveryStatus.PENDING, DeliveryStatus.FAILED):
            outbox.make_due(delivery)
            outcome = deliver(ctx, delivery, WORKER)
            assert outcome is not None
            assert outcome.status is expected
    assert [line["log_level"] for line in logs] == ["info", "error"]
    with outbox.db.connection() as conn:
        backlog = deliveries.backlog(conn)
    assert (backlog.failed_count, backlog.pending_count, backlog.due_count) == (1, 0, 0)


def test_a_receiver_that_asks_for_time_gets_it(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(Answer(429, {"Retry-After": "900"}))
    outcome = deliver(outbox.ctx, outbox.owe(receiver.url), WORKER, dice=lambda: 0.0)
    assert outcome is not None
    assert outcome.wait_s == 900.0


def test_a_deleted_instance_still_signs(outbox: Outbox, receiver: Receiver) -> None:
    delivery = outbox.owe(receiver.url)
    outbox.execute("update instances set deleted_at = now() where id = %s", INSTANCE)
    assert deliver(outbox.ctx, delivery, WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)
    assert receiver.calls[0].verify(KEY)


def test_a_changed_key_holds_from_the_next_attempt(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(500, 200)
    delivery = outbox.owe(receiver.url)
    new = format_key(b"n" * 32)
    for key in (KEY, new):
        outbox.set_key(key)
        outbox.make_due(delivery)
        assert deliver(outbox.ctx, delivery, WORKER) is not None
        assert receiver.calls[-1].verify(key)


def test_an_instance_without_a_key_sends_unsigned(outbox: Outbox, receiver: Receiver) -> None:
    outbox.set_key(None)
    assert deliver(outbox.ctx, outbox.owe(receiver.url), WORKER) == Outcome(DeliveryStatus.DELIVERED, 200)
    assert not any("signature" in name for name in receiver.calls[0].headers)


def test_nothing_goes_out_unsigned_because_the_key_cannot_be_read(outbox: Outbox, receiver: Receiver) -> None:
    ctx = replace(outbox.ctx, vault=Vault((generate_encryption_key(),)))
    outcome = deliver(ctx, outbox.owe(receiver.url), WORKER)
    assert outcome is not None
    assert outcome.status is DeliveryStatus.PENDING
    assert "HAULAGE_ENCRYPTION_KEYS" in str(outcome.error)
    assert receiver.calls == []


@pytest.mark.parametrize("answer", [Answer(500, body=b"AB0DY"), CLOSE, Answer.redirect("https://x/?N3W"), OK])
def test_no_row_and_no_log_line_holds_a_secret(outbox: Outbox, receiver: Receiver, answer: Answer) -> None:
    receiver.answer(answer)
    delivery = outbox.owe(f"{receiver.origin}/P4TH/hook?token=QU3RY")
    with capture_logs() as logs:
        deliver(outbox.ctx, delivery, WORKER)
    kept = str(outbox.attempts()) + str(logs)
    assert "callback.attempt" in kept
    for secret in ("P4TH", "QU3RY", "AB0DY", "N3W", KEY, KEY.removeprefix("whsec_"), "v1,"):
        assert secret not in kept


def test_the_receiver_tells_forged_requests_from_ours(outbox: Outbox, receiver: Receiver) -> None:
    receiver.key = format_key(b"?" * 32)
    outcome = deliver(outbox.ctx, outbox.owe(receiver.url), WORKER)
    assert outcome is not None
    assert outcome.http_status == 401
    assert len(receiver.unverified) == 1
