"""Callbacks as resources: listed with their attempts, sent again, told in the status of their job."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain.masking import MASK
from app.enqueue import TaskName
from app.services.deliver import deliver
from app.services.sweep import sweep
from tests.fixtures.door import Door, QuietHints
from tests.fixtures.receiver import HANG, MakeReceiver, Receiver
from tests.integration.test_api_bulk import refused

OWED = {"state": "PENDING", "attemptCount": 0, "waitingFor": None, "lastError": None}


def owing(door: Door, url: str, *, as_: str | None = None, **criteria: Any) -> int:
    """A job that has ended and owes a callback."""
    door.vendor.account("acme").configure(records=3)
    job_id = door.submit(notificationUrl=url, as_=as_, **criteria)
    door.finish(job_id)
    return job_id


def attempt(door: Door, job_id: int, **settings: Any) -> None:
    """One attempt of the job's callback, due or not."""
    door.execute("update deliveries set next_attempt_at = now() where job_id = %s", job_id)
    door.execute("update receivers set paused_until = null")
    with door.ctx.db.connection() as conn:
        row = conn.execute("select id from deliveries where job_id = %s", (job_id,)).fetchone()
    assert row is not None
    ctx = replace(door.ctx, settings=replace(door.ctx.settings, **settings))
    assert deliver(ctx, row["id"], None) is not None


def failed(door: Door, receiver: Receiver, count: int) -> list[int]:
    """So many jobs whose callbacks were given up."""
    receiver.answer(404)
    found = [owing(door, receiver.url) for _ in range(count)]
    for job_id in found:
        attempt(door, job_id, callback_schedule_s=(0.0,))
    return found


def listed(door: Door, path: str, **query: Any) -> Any:
    answer = door.call("GET", path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_a_jobs_callback_is_listed_with_its_attempts_and_a_masked_url(door: Door, receiver: Receiver) -> None:
    job_id = owing(door, f"{receiver.origin}/hook?token=s3cr3t")
    [fresh] = listed(door, f"/bulk/{job_id}/callbacks")
    assert {name: fresh[name] for name in OWED} == OWED
    assert fresh["nextAttempt"] is not None

    receiver.answer(500, 200)
    attempt(door, job_id)
    attempt(door, job_id)

    [told] = listed(door, f"/bulk/{job_id}/callbacks")
    attempts = told.pop("attempts")
    assert told["eventId"] == f"msg_{job_id}_1" == receiver.calls[0].event_id
    assert (told["jobId"], told["runNumber"], told["instanceId"]) == (job_id, 1, door.acme.instance_id)
    assert (told["state"], told["nextAttempt"], told["lastError"]) == ("DELIVERED", None, None)
    assert told["url"] == f"{receiver.origin}/hook?token={MASK}"
    assert told["host"] == f"127.0.0.1:{receiver.port}"
    assert [(each["number"], each["httpStatus"], each["error"]) for each in attempts] == [
        (1, 500, "The receiver answered 500; 2xx was expected."),
        (2, 200, None),
    ]
    assert all(each["durationMs"] >= 0 and each["startedAt"].endswith("Z") for each in attempts)
    assert listed(door, f"/hubs/crm/bulk/{job_id}/callbacks") == [{**told, "attempts": attempts}]


def test_the_status_of_the_job_tells_of_its_callback(door: Door, receiver: Receiver) -> None:
    assert "callback" not in listed(door, f"/bulk/{door.fetched()}/status")
    job_id = owing(door, receiver.url)
    assert listed(door, f"/bulk/{job_id}/status")["callback"]["state"] == "PENDING"
    receiver.answer(503)
    attempt(door, job_id, callback_schedule_s=(0.0,))
    told = listed(door, f"/bulk/{job_id}/status")["callback"]
    assert told == {
        "eventId": f"msg_{job_id}_1",
        "state": "FAILED",
        "attemptCount": 1,
        "nextAttempt": None,
        "waitingFor": None,
        "lastError": "The receiver answered 503; 2xx was expected.",
    }
    assert "callback" not in receiver.calls[0].document


def test_what_is_given_up_is_counted_by_state(door: Door, receiver: Receiver) -> None:
    failed(door, receiver, 2)
    owing(door, receiver.url)
    text = door.app.test_client().get("/metrics").text
    for line in (
        'haulage_deliveries{status="FAILED"} 2.0',
        'haulage_deliveries{status="PENDING"} 1.0',
        'haulage_deliveries{status="STOPPED"} 0.0',
        "haulage_receivers_paused 0.0",
        "haulage_deliveries_put_off 0.0",
    ):
        assert line in text


def test_all_callbacks_of_the_instance_are_listed_newest_first_and_narrowed(
    door: Door, make_receiver: MakeReceiver
) -> None:
    here, there = make_receiver(), make_receiver()
    gone = failed(door, here, 2)
    other = owing(door, there.url)
    door.execute("update deliveries set created_at = '2026-03-01T08:30:00Z' where job_id = %s", gone[0])

    def jobs(**query: Any) -> list[int]:
        return [each["jobId"] for each in listed(door, "/bulk/callbacks", **query)]

    assert jobs() == [other, gone[1], gone[0]]
    assert jobs(state="FAILED") == [gone[1], gone[0]]
    assert jobs(state="PENDING") == jobs(host=f"127.0.0.1:{there.port}") == [other]
    assert jobs(host="127.0.0.1") == [other, gone[1], gone[0]]
    assert jobs(host="127.0.0.2") == []
    assert jobs(jobId=gone[1]) == [gone[1]]
    assert jobs(to="2026-03-01") == jobs(**{"from": "2026-03-01T08:30:00Z", "to": "2026-03-01T08:30:00Z"}) == [gone[0]]
    assert jobs(**{"from": "2026-03-01T08:30:00.001Z"}) == [other, gone[1]]
    assert listed(door, f"/bulk/{other}/callbacks", state="FAILED") == []


def test_the_listing_is_paged_as_others_are(door: Door, receiver: Receiver) -> None:
    made = [owing(door, receiver.url) for _ in range(5)]
    seen: list[int] = []
    query: dict[str, Any] = {"pageSize": 2}
    sizes = []
    while True:
        answer = door.call("GET", "/bulk/callbacks", query_string=query)
        seen += [each["jobId"] for each in answer.get_json()]
        sizes.append(int(answer.headers["elements-returned-count"]))
        if "elements-next-page-token" not in answer.headers:
            break
        query = {"nextPage": answer.headers["elements-next-page-token"]}
    assert seen == made[::-1]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"state": "LOST"}, "state 'LOST' is not accepted: one of PENDING, DELIVERED, STOPPED, FAILED"),
        ({"jobId": "abc"}, "jobId 'abc' is not accepted: a whole number"),
        ({"jobId": "99999999999"}, "jobId"),
        ({"from": "yesterday"}, "from 'yesterday' is not accepted: an ISO 8601 date"),
        ({"to": "2026-13-01"}, "to '2026-13-01' is not accepted"),
        ({"host": "h" * 301}, "host"),
        ({"nextPage": "nonsense"}, "nextPage"),
        ({"pageSize": "0"}, "pageSize"),
    ],
)
def test_what_cannot_be_a_filter_is_refused_by_name(door: Door, query: dict[str, str], told: str) -> None:
    assert told in refused(door.call("GET", "/bulk/callbacks", query_string=query), 400)


@pytest.mark.parametrize("early", ["0001-01-01T00:00:00+14:00", "-99999999999999"])
@pytest.mark.parametrize("late", ["9999-12-31", "9999-12-31T23:59:59-12:00", "99999999999999999999"])
def test_times_at_the_ends_of_time_narrow_nothing(door: Door, receiver: Receiver, early: str, late: str) -> None:
    job_id = owing(door, receiver.url)
    for query, expected in (({"from": early, "to": late}, [job_id]), ({"from": late}, []), ({"to": early}, [])):
        assert [each["jobId"] for each in listed(door, "/bulk/callbacks", **query)] == expected


def test_a_failed_callback_is_sent_again_with_its_id_and_body(door: Door, receiver: Receiver) -> None:
    [job_id] = failed(door, receiver, 1)
    answer = door.call("POST", f"/bulk/{job_id}/callbacks/msg_{job_id}_1/resend")
    assert answer.status_code == 200, answer.text
    told = answer.get_json()
    assert (told["state"], told["resendCount"], told["attemptCount"]) == ("PENDING", 1, 1)
    receiver.answer(200)
    attempt(door, job_id)
    first, again = receiver.calls
    assert (first.event_id, first.body) == (again.event_id, again.body)
    assert listed(door, f"/bulk/{job_id}/callbacks")[0]["state"] == "DELIVERED"


def test_what_is_sent_again_is_hinted_at_by_the_next_sweep(door: Door, receiver: Receiver) -> None:
    failed(door, receiver, 3)
    assert callback_hints(door) == 0
    assert door.call("POST", "/bulk/callbacks/resend").get_json()["resent"] == 3
    assert callback_hints(door) == 3, "the receiver answers, so it may have them at once"
    assert callback_hints(door) == 0, "they are fresh"


def callback_hints(door: Door) -> int:
    """How many a sweep sends."""
    hints = QuietHints()
    sweep(replace(door.ctx, enqueuer=hints))  # type: ignore[arg-type]
    return sum(task is TaskName.DELIVER_CALLBACK for task, _ in hints.sent)


def test_what_is_owed_already_is_not_sent_again(door: Door, receiver: Receiver) -> None:
    job_id = owing(door, receiver.url)
    path = f"/bulk/{job_id}/callbacks/msg_{job_id}_1/resend"
    assert "PENDING: it is being sent already. Its next attempt is at" in refused(door.call("POST", path), 409)
    door.execute("update deliveries set lease_expires_at = now() + interval '1 minute'")
    assert "An attempt is under way" in refused(door.call("POST", path), 409)


def test_the_event_of_another_job_or_tenant_is_not_found(door: Door, receiver: Receiver) -> None:
    first, second = failed(door, receiver, 2)
    refused(door.call("POST", f"/bulk/{first}/callbacks/msg_{second}_1/resend"), 404)
    refused(door.call("POST", f"/bulk/{first}/callbacks/unknown/resend"), 404)
    for path in (f"/bulk/{first}/callbacks/msg_{first}_1/resend", "/bulk/callbacks/resend"):
        door.call("POST", path, as_=door.globex.element)
    assert door.call("GET", "/bulk/callbacks", as_=door.globex.element).get_json() == []
    refused(door.call("GET", f"/bulk/callbacks?jobId={first}", as_=door.globex.element), 404)
    assert {each["state"] for each in listed(door, "/bulk/callbacks")} == {"FAILED"}


def test_all_failed_ones_are_sent_again_by_the_same_filters_in_batches(
    door: Door, make_receiver: MakeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make_receiver(), make_receiver()
    failed(door, here, 3)
    failed(door, there, 1)
    pending = owing(door, here.url)
    monkeypatch.setattr("app.services.callbacks.MOST_RESENT", 2)

    def resend(**query: Any) -> Any:
        answer = door.call("POST", "/bulk/callbacks/resend", query_string=query)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    of_here = {"host": f"127.0.0.1:{here.port}"}
    assert resend(**of_here) == {"resent": 2, "hasMore": True}
    assert resend(**of_here) == {"resent": 1, "hasMore": False}
    assert resend(**of_here) == {"resent": 0, "hasMore": False}
    states = [(each["host"], each["state"]) for each in listed(door, "/bulk/callbacks")]
    assert states.count((f"127.0.0.1:{there.port}", "FAILED")) == 1
    assert listed(door, f"/bulk/{pending}/callbacks")[0]["resendCount"] == 0
    assert resend() == {"resent": 1, "hasMore": False}


@pytest.mark.parametrize("state", ["PENDING", "DELIVERED"])
def test_only_what_failed_or_was_stopped_is_sent_again_in_bulk(door: Door, state: str) -> None:
    answer = door.call("POST", "/bulk/callbacks/resend", query_string={"state": state})
    assert f"state {state} is not accepted: FAILED or STOPPED" in refused(answer, 400)


def test_a_filter_that_would_not_be_heard_sends_nothing_again(door: Door, receiver: Receiver) -> None:
    failed(door, receiver, 1)
    path = "/bulk/callbacks/resend"
    misspelled = refused(door.call("POST", path, query_string={"jobid": 5}), 400)
    assert misspelled == "'jobid' is not a filter; accepted: state, host, jobId, from, to."
    in_body = door.call("POST", path, json={"jobId": 5})
    assert "state, host, jobId, from, to in the query string" in refused(in_body, 400)
    assert door.call("POST", path, json={}).get_json() == {"resent": 1, "hasMore": False}


def test_a_hanging_receiver_is_bounded_and_told(door: Door, receiver: Receiver) -> None:
    receiver.answer(HANG)
    job_id = owing(door, receiver.url)
    attempt(door, job_id, callback_timeout_s=0.3)
    [told] = listed(door, f"/bulk/{job_id}/callbacks")
    assert "did not answer within 0.3 s" in told["lastError"]
    assert told["state"] == "PENDING"


def test_a_downloads_callback_gives_back_what_was_given_for_it(door: Door, receiver: Receiver) -> None:
    job_id = owing(door, receiver.url, metaData={"callback-payload": {"run": 7}})
    attempt(door, job_id)
    assert receiver.calls[0].document["callback-payload"] == {"run": 7}
