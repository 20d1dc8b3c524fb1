"""The statements that a sweeper and an operator use on owed callbacks."""

from datetime import UTC, datetime, timedelta

import pytest

from app.db import deliveries, due_deliveries
from app.domain.deliveries import DeliveryStatus, Outcome, event_id
from tests.fixtures.outbox import BODY, INSTANCE, JOB, ORGANISATION, OTHER_ORGANISATION, Outbox

URL = "https://example.com/"


def claim(outbox: Outbox, delivery: int, lease_s: float = 60.0) -> deliveries.Claimed | None:
    with outbox.db.transaction() as conn:
        return deliveries.claim(conn, delivery, 1, lease_s=lease_s)


def record(outbox: Outbox, claimed: deliveries.Claimed, outcome: Outcome) -> None:
    with outbox.db.transaction() as conn:
        deliveries.record(conn, claimed, outcome, started_at=outbox.ctx.now(), duration_s=0.1)


def nudge(outbox: Outbox, *due: int) -> None:
    with outbox.db.connection() as conn:
        due_deliveries.mark_nudged(conn, due)


def next_due_in(outbox: Outbox) -> timedelta | None:
    with outbox.db.connection() as conn:
        at = due_deliveries.next_due_at(conn)
    return None if at is None else at - datetime.now(UTC)


def test_one_callback_is_owed_for_each_run(outbox: Outbox) -> None:
    outbox.trust(URL)
    first, second = outbox.owe(URL, run=1), outbox.owe(URL, run=2)
    with outbox.db.transaction() as conn:
        assert not deliveries.insert(
            conn, job_id=JOB, organisation_id=ORGANISATION, instance_id=INSTANCE, run_number=1,
            event_id=event_id(JOB, 1), url="https://other.example/", body=b"{}",
        )  # fmt: skip
    assert outbox.row(first)["url"] == URL
    assert bytes(outbox.row(first)["body"]) == BODY
    assert outbox.due() == [first, second]


def test_a_run_whose_final_state_is_rolled_back_owes_nothing(outbox: Outbox) -> None:
    with pytest.raises(ZeroDivisionError):
        owe_and_fail(outbox)
    assert outbox.due() == []
    assert next_due_in(outbox) is None


def owe_and_fail(outbox: Outbox) -> None:
    with outbox.db.transaction() as conn:
        deliveries.insert(
            conn, job_id=JOB, organisation_id=ORGANISATION, instance_id=INSTANCE, run_number=1,
            event_id=event_id(JOB, 1), url=URL, body=BODY,
        )  # fmt: skip
        raise ZeroDivisionError


def test_owing_wakes_the_sweepers(outbox: Outbox) -> None:
    listener = outbox.db.dedicated()
    listener.execute("listen haulage_due")
    outbox.owe(URL)
    assert [notice.channel for notice in listener.notifies(timeout=10, stop_after=1)] == ["haulage_due"]
    listener.close()


def test_what_is_held_waits_or_was_hinted_at_is_not_due(outbox: Outbox) -> None:
    outbox.trust(URL)
    held, waiting, hinted, due = (outbox.owe(URL, run=run) for run in range(1, 5))
    assert claim(outbox, held) is not None
    claimed = claim(outbox, waiting)
    assert claimed is not None
    record(outbox, claimed, Outcome(DeliveryStatus.PENDING, 500, "no", 300.0))
    nudge(outbox, hinted)
    assert outbox.due() == [due]
    assert outbox.due(renudge_s=0) == [hinted, due]


def test_a_hint_that_could_not_be_sent_is_forgotten(outbox: Outbox) -> None:
    delivery = outbox.owe(URL)
    nudge(outbox, delivery)
    with outbox.db.connection() as conn:
        due_deliveries.forget_nudge(conn, [delivery])
    assert outbox.due() == [delivery]


def test_a_claim_forgets_the_hint_so_that_the_retry_is_hinted_at_in_time(outbox: Outbox) -> None:
    delivery = outbox.owe(URL)
    nudge(outbox, delivery)
    claimed = claim(outbox, delivery)
    assert claimed is not None
    record(outbox, claimed, Outcome(DeliveryStatus.PENDING, 500, "no", 0.0))
    assert outbox.due() == [delivery]


def test_organisations_take_turns(outbox: Outbox) -> None:
    outbox.trust(URL)
    outbox.add_job(42, OTHER_ORGANISATION)
    outbox.trust(URL, OTHER_ORGANISATION)
    many = [outbox.owe(URL, run=run) for run in range(1, 6)]
    other = outbox.owe(URL, job=42, organisation=OTHER_ORGANISATION)
    assert outbox.due(2) == [many[0], other]
    assert outbox.due() == [many[0], other, *many[1:]]


def test_two_sweepers_do_not_take_the_same(outbox: Outbox) -> None:
    outbox.trust(URL)
    both = {outbox.owe(URL, run=1), outbox.owe(URL, run=2)}
    with outbox.db.transaction() as one, outbox.db.transaction() as other:
        first, second = due_deliveries.find_due(one, 1), due_deliveries.find_due(other, 5)
    assert len(first) == 1
    assert not set(first) & set(second)
    assert {*first, *second} <= both


def test_the_sweeper_may_sleep_until_something_can_be_due(outbox: Outbox) -> None:
    delivery = outbox.owe(URL)
    assert (next_due_in(outbox) or timedelta()) <= timedelta(0)
    nudge(outbox, delivery)
    assert_about(next_due_in(outbox), due_deliveries.RENUDGE_S)
    claimed = claim(outbox, delivery, lease_s=50.0)
    assert_about(next_due_in(outbox), 50.0)
    assert claimed is not None
    record(outbox, claimed, Outcome(DeliveryStatus.PENDING, 500, "no", 300.0))
    assert_about(next_due_in(outbox), 300.0)
    outbox.make_due(delivery)
    claimed = claim(outbox, delivery)
    assert claimed is not None
    record(outbox, claimed, Outcome(DeliveryStatus.DELIVERED, 200))
    assert next_due_in(outbox) is None


def test_the_backlog_tells_what_an_operator_watches(outbox: Outbox) -> None:
    with outbox.db.connection() as conn:
        assert deliveries.backlog(conn) == deliveries.Backlog(0, 0, None, {})
    outbox.trust(URL)
    due, held = outbox.owe(URL, run=1), outbox.owe(URL, run=2)
    assert claim(outbox, held) is not None
    with outbox.db.connection() as conn:
        backlog = deliveries.backlog(conn)
    assert (backlog.due_count, backlog.pending_count, backlog.failed_count) == (1, 2, 0)
    assert backlog.oldest_due_at == outbox.row(due)["next_attempt_at"]


def test_attempts_are_those_of_the_tenants_own_job_in_order(outbox: Outbox) -> None:
    outbox.trust(URL)
    for run in (1, 2):
        claimed = claim(outbox, outbox.owe(URL, run=run))
        assert claimed is not None
        record(outbox, claimed, Outcome(DeliveryStatus.PENDING, 500, "no", 5.0))
    first, second = outbox.listed()
    assert [each.event_id for each in (first, second)] == ["msg_41_1", "msg_41_2"]
    assert [(each.number, each.http_status, each.error) for each in first.attempts] == [(1, 500, "no")]
    assert first.next_attempt_at is not None
    assert outbox.listed(organisation=OTHER_ORGANISATION) == []
    assert outbox.listed(JOB + 1) == []


def test_a_claimed_delivery_shows_neither_url_nor_body_nor_secrets(outbox: Outbox) -> None:
    claimed = claim(outbox, outbox.owe("https://example.com/S3CRET"))
    assert claimed is not None
    assert "S3CRET" not in repr(claimed)
    assert claimed.sealed_secrets.decode() not in repr(claimed)
    assert "runNumber" not in repr(claimed)


def assert_about(given: timedelta | None, seconds: float) -> None:
    assert given is not None
    assert timedelta(seconds=seconds - 30) < given <= timedelta(seconds=seconds)
