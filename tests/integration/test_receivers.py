"""One dead receiver never delays another: what is sent to whom, how often, and how many at once."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from app.db import deliveries, delivery_resends, due_deliveries, receivers, workers
from app.domain.callback_documents import delivery_document
from app.domain.deliveries import DeliveryStatus
from app.domain.receivers import DEFAULT, Limits
from app.services.context import Context
from app.services.deliver import deliver, give_up_put_off
from tests.fixtures.outbox import JOB, ORGANISATION, OTHER_ORGANISATION, Outbox
from tests.fixtures.receiver import HANG, Answer, MakeReceiver, Receiver
from tests.fixtures.waiting import wait_until

WORKER = 1
_runs = itertools.count(1)


def owe_many(outbox: Outbox, url: str, count: int, *, job: int = JOB, organisation: int = ORGANISATION) -> list[int]:
    return [outbox.owe(url, run=next(_runs), job=job, organisation=organisation) for _ in range(count)]


def claim(outbox: Outbox, delivery: int, limits: Limits = DEFAULT) -> deliveries.Claimed | None:
    with outbox.db.transaction() as conn:
        return deliveries.claim(conn, delivery, WORKER, lease_s=60.0, limits=limits)


def hint(outbox: Outbox, limit: int = 1000) -> list[int]:
    """As a sweeper does."""
    with outbox.db.transaction() as conn:
        due = due_deliveries.find_due(conn, limit)
        due_deliveries.mark_nudged(conn, due)
    return due


def next_due_in_s(outbox: Outbox) -> float | None:
    with outbox.db.connection() as conn:
        at = due_deliveries.next_due_at(conn)
    return None if at is None else (at - datetime.now(UTC)).total_seconds()


def fail(outbox: Outbox, url: str, times: int, ctx: Context | None = None) -> None:
    """So many attempts in a row, pauses and waits left out; the receiver answers as it is told to."""
    for _ in range(times):
        [delivery] = owe_many(outbox, url, 1)
        outbox.end_pause(url)
        assert deliver(ctx or outbox.ctx, delivery, WORKER) is not None


@pytest.fixture
def broken(outbox: Outbox, receiver: Receiver) -> Receiver:
    """A receiver whose circuit is open."""
    receiver.answer(500)
    fail(outbox, receiver.url, outbox.ctx.settings.callback_break_after)
    assert outbox.receiver(receiver.url)["is_paused"]
    receiver.calls.clear()
    return receiver


def test_a_host_that_never_answered_is_asked_by_one_at_a_time(outbox: Outbox, receiver: Receiver) -> None:
    first, second = owe_many(outbox, receiver.url, 2)
    assert outbox.due() == [first]
    assert hint(outbox) == [first]
    assert outbox.due() == [], "one hint is enough"
    assert deliver(outbox.ctx, first, WORKER) is not None
    assert outbox.due() == [second]


def test_a_sound_host_gets_as_many_at_once_as_the_setting_says(outbox: Outbox, receiver: Receiver) -> None:
    outbox.trust(receiver.url)
    many = owe_many(outbox, receiver.url, 20)
    most = outbox.ctx.settings.callback_host_calls
    assert hint(outbox) == many[:most]
    claimed = [claim(outbox, delivery) for delivery in many]
    assert [each is not None for each in claimed] == [True] * most + [False] * (20 - most)
    assert outbox.row(many[-1])["nudged_at"] is None
    assert outbox.due(renudge_s=0) == []


@pytest.mark.parametrize(("known", "most"), [("answered_at = now()", 8), ("failure_count = 9", 1), ("host = host", 1)])
def test_workers_that_claim_at_once_do_not_exceed_it(outbox: Outbox, receiver: Receiver, known: str, most: int) -> None:
    """Sound, after the pause of a broken one (the only probe), and never asked before."""
    many = owe_many(outbox, receiver.url, 24)
    outbox.execute("insert into receivers (organisation_id, host) select organisation_id, host from deliveries limit 1")
    outbox.execute(f"update receivers set {known}")
    together = threading.Barrier(6)

    def work(part: int) -> int:
        together.wait()
        return sum(claim(outbox, delivery) is not None for delivery in many[part::6])

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == most


@pytest.mark.parametrize(
    ("second_host", "is_sound"), [("one.example", True), ("one.example", False), ("other.example", False)]
)
def test_a_claim_waits_for_one_under_way_that_decides_about_it(
    outbox: Outbox, second_host: str, *, is_sound: bool
) -> None:
    """At the same host, which may be asked by one; and with room for one host that is not sound, at another one."""
    with outbox.db.connection() as conn:
        workers.register(conn, name="callbacks", slots=0, callback_slots=2, version="1")
    if is_sound:
        outbox.trust("https://one.example/")
    one_at_a_time = Limits(host_calls=1)
    [first] = owe_many(outbox, "https://one.example/", 1)
    [second] = owe_many(outbox, f"https://{second_host}/", 1)
    with ThreadPoolExecutor(1) as pool:
        with outbox.db.transaction() as conn:
            assert deliveries.claim(conn, first, WORKER, lease_s=60.0, limits=one_at_a_time) is not None
            waiting = pool.submit(claim, outbox, second, one_at_a_time)
            wait_until(lambda: waiting.done() or is_anybody_waiting(outbox), "the second claim to wait")
        assert waiting.result(30) is None


def is_anybody_waiting(outbox: Outbox) -> bool:
    return bool(outbox.rows("select 1 from pg_locks where not granted"))


def test_after_failures_in_a_row_the_host_is_left_alone_for_a_growing_pause(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(500)
    settings = outbox.ctx.settings
    fail(outbox, receiver.url, settings.callback_break_after - 1)
    assert outbox.receiver(receiver.url)["paused_until"] is None
    pauses_s = []
    for _ in range(10):
        fail(outbox, receiver.url, 1)
        pauses_s.append(outbox.receiver(receiver.url)["pause_s"])
    assert pauses_s == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_what_is_put_off_spends_no_attempt_and_says_why(outbox: Outbox, broken: Receiver) -> None:
    put_off = owe_many(outbox, broken.url, 3)
    assert outbox.due(renudge_s=0) == []
    assert [deliver(outbox.ctx, delivery, WORKER) for delivery in put_off] == [None] * 3
    assert broken.calls == []
    assert outbox.row(put_off[0])["attempt_count"] == 0
    told = delivery_document(outbox.listed()[-1])
    assert (told["state"], told["attemptCount"]) == ("PENDING", 0)
    assert "failed 5 times in a row" in told["waitingFor"]
    assert told["nextAttempt"] > told["createdDate"]
    assert 0 < (next_due_in_s(outbox) or 0) <= 6, "the sweeper may sleep until the pause is over"


def test_after_the_pause_one_callback_probes_and_its_success_frees_all(outbox: Outbox, broken: Receiver) -> None:
    owe_many(outbox, broken.url, 3)
    outbox.execute("update deliveries set next_attempt_at = now() where next_attempt_at > now()")
    outbox.end_pause(broken.url)
    [probe] = hint(outbox)
    broken.answer(500)
    assert deliver(outbox.ctx, probe, WORKER) is not None
    assert outbox.due(renudge_s=0) == []
    outbox.end_pause(broken.url)
    [probe] = hint(outbox)
    broken.answer(200)
    assert deliver(outbox.ctx, probe, WORKER) is not None
    assert len(outbox.due(renudge_s=0)) == 6
    known = outbox.receiver(broken.url)
    assert (known["failure_count"], known["paused_until"], known["last_error"]) == (0, None, None)


def test_a_straggler_of_before_the_pause_does_not_make_it_longer(outbox: Outbox, broken: Receiver) -> None:
    before = outbox.receiver(broken.url)
    with outbox.db.connection() as conn:
        receivers.note_failure(conn, ORGANISATION, before["host"], "late", DEFAULT)
    assert outbox.receiver(broken.url) == before


@pytest.mark.parametrize("status", [404, 302, 410])
def test_a_refusal_of_one_url_is_no_failure_of_its_host(outbox: Outbox, receiver: Receiver, status: int) -> None:
    receiver.answer(status)
    fail(outbox, receiver.url, 7)
    assert outbox.receiver(receiver.url)["failure_count"] == 0


def test_an_attempt_that_was_never_sent_is_no_failure_of_its_host(outbox: Outbox, receiver: Receiver) -> None:
    fail(outbox, receiver.url, 7, ctx=outbox.with_settings(allow_networks=""))
    assert outbox.receiver(receiver.url)["failure_count"] == 0
    assert receiver.calls == []


def test_one_tenants_failures_do_not_stop_another_at_the_same_host(outbox: Outbox, broken: Receiver) -> None:
    outbox.add_job(42, OTHER_ORGANISATION)
    [other] = owe_many(outbox, broken.url, 1, job=42, organisation=OTHER_ORGANISATION)
    assert outbox.due(renudge_s=0) == [other]


def test_a_thousand_due_callbacks_of_a_dead_host_are_not_in_the_way(outbox: Outbox, broken: Receiver) -> None:
    outbox.execute(
        "insert into deliveries (job_id, organisation_id, instance_id, run_number, event_id, url, body,"
        " next_attempt_at) select job_id, organisation_id, instance_id, 10000 + n, event_id || '-' || n, url, body,"
        " now() - interval '1 h'"
        " from deliveries, generate_series(1, 1000) as n where id = (select min(id) from deliveries)"
    )
    alive = owe_many(outbox, "https://alive.example/", 1)
    assert hint(outbox, limit=2) == alive
    outbox.end_pause(broken.url)
    assert len(hint(outbox)) == 1, "one probe of the thousand"


@pytest.mark.parametrize(("unknown_count", "hinted"), [(20, [0, 10, 5]), (3, [5, 3, 5]), (0, [5, 0, 5])])
def test_failing_and_unknown_hosts_leave_half_of_the_slots(
    outbox: Outbox, unknown_count: int, hinted: list[int]
) -> None:
    with outbox.db.connection() as conn:
        workers.register(conn, name="callbacks", slots=0, callback_slots=20, version="1")
    failing = [owe_many(outbox, f"https://failing{n}.example/", 1)[0] for n in range(20)]
    outbox.execute(
        "insert into receivers (organisation_id, host, failure_count) select organisation_id, host, 1 from deliveries"
    )
    unknown = [owe_many(outbox, f"https://unknown{n}.example/", 1)[0] for n in range(unknown_count)]
    outbox.trust("https://sound.example/")
    sound = owe_many(outbox, "https://sound.example/", 5)

    due = hint(outbox)
    assert [len({*due} & {*kind}) for kind in (failing, unknown, sound)] == hinted
    # Whoever claims without having been told is bound as well.
    taken = [sum(claim(outbox, delivery) is not None for delivery in kind) for kind in (failing, unknown, sound)]
    assert taken == [5, min(unknown_count, 5), 5]
    assert outbox.due(renudge_s=0) == []


def test_hanging_receivers_do_not_hold_every_slot(outbox: Outbox, make_receiver: MakeReceiver) -> None:
    """Eight slots, eight receivers that hang, one that answers: it is served while all of them hang."""
    hanging = [make_receiver() for _ in range(8)]
    for each in hanging:
        each.answer(HANG)
    alive = make_receiver()
    outbox.trust(alive.url)
    for each in hanging:
        owe_many(outbox, each.url, 2)
    [wanted] = owe_many(outbox, alive.url, 1)
    with ThreadPoolExecutor(8) as slots:
        started = [slots.submit(deliver, outbox.ctx, delivery, WORKER) for delivery in hint(outbox)]
        alive.wait_for(1)
        assert sum(len(each.calls) for each in hanging) <= 4
        for each in hanging:
            each.stop()
        assert any(each.result(30) for each in started)
    assert outbox.row(wanted)["status"] == "DELIVERED"


def test_organisations_take_turns_and_so_do_hosts_within_one(outbox: Outbox) -> None:
    outbox.add_job(42, OTHER_ORGANISATION)
    busy, rare = "https://busy.example/", "https://rare.example/"
    for url in (busy, rare):
        outbox.trust(url)
    outbox.trust(busy, OTHER_ORGANISATION)
    many = owe_many(outbox, busy, 5)
    [second_host] = owe_many(outbox, rare, 1)
    [other_tenant] = owe_many(outbox, busy, 1, job=42, organisation=OTHER_ORGANISATION)
    assert outbox.due(2) == [many[0], other_tenant]
    assert outbox.due()[2] == second_host


def test_the_end_of_an_attempt_wakes_the_sweepers_for_those_that_wait(outbox: Outbox, receiver: Receiver) -> None:
    first, second = owe_many(outbox, receiver.url, 2)
    with listening(outbox) as heard:
        assert deliver(outbox.ctx, first, WORKER) is not None
        assert heard() == ["haulage_due"]
    with listening(outbox) as heard:
        assert deliver(outbox.ctx, second, WORKER) is not None
        assert heard() == []


@pytest.mark.parametrize("status", [200, 500])
def test_a_host_that_shares_its_slot_wakes_them_for_those_of_other_hosts(
    outbox: Outbox, receiver: Receiver, status: int
) -> None:
    with outbox.db.connection() as conn:
        workers.register(conn, name="callbacks", slots=0, callback_slots=2, version="1")
    receiver.answer(status)
    [mine] = owe_many(outbox, receiver.url, 1)
    [other] = owe_many(outbox, "https://other.example/", 1)
    assert hint(outbox) == [mine], "one slot for both"
    with listening(outbox) as heard:
        assert deliver(outbox.ctx, mine, WORKER) is not None
        assert heard() == ["haulage_due"]
    assert outbox.due() == [other]


def listening(outbox: Outbox) -> "_Listening":
    return _Listening(outbox)


class _Listening:
    def __init__(self, outbox: Outbox) -> None:
        self._conn = outbox.db.dedicated()
        self._conn.execute("listen haulage_due")

    def __enter__(self) -> Callable[[], list[str]]:
        return self._heard

    def _heard(self) -> list[str]:
        # What was sent before comes with the next answer at the latest.
        self._conn.execute("select 1")
        return [notice.channel for notice in self._conn.notifies(timeout=0.2)]

    def __exit__(self, *_: object) -> None:
        self._conn.close()


def test_what_is_put_off_for_longer_than_its_schedule_fails_with_an_alert(outbox: Outbox, broken: Receiver) -> None:
    old, new = owe_many(outbox, broken.url, 2)
    outbox.execute("update deliveries set created_at = now() - interval '6 days' where id = %s", old)
    with capture_logs() as logs:
        assert give_up_put_off(outbox.ctx) == 1
        assert give_up_put_off(outbox.ctx) == 0
    assert [(each["event"], each["log_level"], each["job"]) for each in logs] == [("callback.given_up", "error", JOB)]
    row = outbox.row(old)
    assert (row["status"], row["next_attempt_at"]) == ("FAILED", None)
    assert "the receiver does not answer" in row["error"]
    assert "The receiver answered 500" in row["error"]
    assert outbox.row(new)["status"] == "PENDING"


def test_a_long_backlog_of_a_host_that_answers_is_not_given_up(outbox: Outbox, receiver: Receiver) -> None:
    outbox.trust(receiver.url)
    [old] = owe_many(outbox, receiver.url, 1)
    outbox.execute("update deliveries set created_at = now() - interval '6 days' where id = %s", old)
    assert give_up_put_off(outbox.ctx) == 0


def test_the_backlog_tells_what_is_put_off(outbox: Outbox, broken: Receiver) -> None:
    owe_many(outbox, broken.url, 3)
    with outbox.db.connection() as conn:
        found = deliveries.backlog(conn)
        assert receivers.count_paused(conn) == 1
    assert (found.due_count, found.put_off_count, found.counts["PENDING"]) == (0, 3, 8)


def test_an_older_release_beside_us_owes_callbacks_that_are_known_by_host(outbox: Outbox) -> None:
    outbox.execute(
        "insert into deliveries (job_id, organisation_id, instance_id, run_number, event_id, url, body)"
        " values (%s, %s, 31, 1, 'msg_41_1', 'HTTPS://me:pw@Hooks.Example.com:8443/a?b=c', '')",
        JOB, ORGANISATION,
    )  # fmt: skip
    assert outbox.one("select host from deliveries")["host"] == "hooks.example.com:8443"


def test_a_resend_begins_the_schedule_anew_with_the_same_id_and_body(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(Answer(404))
    ctx = outbox.with_settings(callback_schedule_s=(0.0, 0.0))
    [delivery] = owe_many(outbox, receiver.url, 1)
    for _ in range(2):
        outbox.make_due(delivery)
        assert deliver(ctx, delivery, WORKER) is not None
    event = outbox.row(delivery)["event_id"]
    assert outbox.row(delivery)["status"] == "FAILED"
    with listening(outbox) as heard:
        with outbox.db.transaction() as conn:
            assert delivery_resends.resend(conn, ORGANISATION, 31, event, JOB)
        assert heard() == ["haulage_due"]
    with outbox.db.transaction() as conn:
        assert not delivery_resends.resend(conn, ORGANISATION, 31, event, JOB), "it is owed already"

    assert deliver(ctx, delivery, WORKER).status is DeliveryStatus.PENDING  # type: ignore[union-attr]
    outbox.make_due(delivery)
    receiver.answer(200)
    assert deliver(ctx, delivery, WORKER).status is DeliveryStatus.DELIVERED  # type: ignore[union-attr]
    assert {(call.event_id, call.body) for call in receiver.calls} == {(event, receiver.calls[0].body)}
    [shown] = outbox.listed()
    assert ([each.number for each in shown.attempts], shown.resend_count) == ([1, 2, 3, 4], 1)


def test_a_resend_of_what_killed_its_workers_has_tries_again(outbox: Outbox, receiver: Receiver) -> None:
    ctx = outbox.with_settings(crash_tries=2)
    [delivery] = owe_many(outbox, receiver.url, 1)
    for _ in range(2):
        assert claim(outbox, delivery) is not None
        outbox.expire_lease(delivery)
    assert deliver(ctx, delivery, WORKER).status is DeliveryStatus.FAILED  # type: ignore[union-attr]
    with outbox.db.transaction() as conn:
        assert delivery_resends.resend(conn, ORGANISATION, 31, outbox.row(delivery)["event_id"], JOB)
    assert deliver(ctx, delivery, WORKER).status is DeliveryStatus.DELIVERED  # type: ignore[union-attr]


def test_a_resend_does_not_wait_for_the_pause_of_its_host(outbox: Outbox, broken: Receiver) -> None:
    [delivery] = owe_many(outbox, broken.url, 1)
    outbox.execute("update deliveries set status = 'FAILED', next_attempt_at = null")
    with outbox.db.transaction() as conn:
        assert delivery_resends.resend(conn, ORGANISATION, 31, outbox.row(delivery)["event_id"], JOB)
    assert outbox.due() == [delivery]
    assert timedelta(0) >= outbox.receiver(broken.url)["paused_until"] - datetime.now(UTC)
