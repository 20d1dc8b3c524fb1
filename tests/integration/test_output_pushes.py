"""Finished outputs on their way to where `docsHubDetails` says: whole or not at all, once, and the job says so."""

import threading
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from app.db import notices, pushes
from app.domain.jobs import FileFormat, JobStatus
from app.domain.pushes import DocsHub
from app.domain.stalls import Stall, WaitsFor
from app.domain.status_document import status_document
from app.enqueue import QueueName, TaskName
from app.errors import InvalidInputError, StorageError, StorageUnavailableError
from app.services import control, listing, results, retention
from app.services.health import HealthCheck
from app.services.stalls import StallWatch
from app.services.sweep import sweep
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.hostile_server import HostileServer
from tests.fakes.memory_destination import MemoryDestination, Shelf, add_destination, push
from tests.fakes.steps import Killed, cut
from tests.unit.test_strange_answers import LOOPBACK, open_at
from tests.unit.test_time_limits import drip_head

PATH = "out/{objectName}-{jobId}.jsonl"
CALLBACK = "http://127.0.0.1:9/callback"


@pytest.fixture
def shelf(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(engine.steps)
    monkeypatch.setattr("app.services.destinations.open_destination", lambda _kind, _given: MemoryDestination(made))
    monkeypatch.setattr("app.services.push._TURN_S", 0.01)
    return made


@pytest.fixture
def place(engine: Engine, shelf: Shelf) -> int:
    return add_destination(engine, engine.tenant.organisation_id)


def fetched(engine: Engine, place: int, path: str = PATH, **criteria: Any) -> int:
    """A job whose pages are all there, and whose output is yet to be pushed."""
    job_id = engine.submit(docs_hub=DocsHub(place, path), **criteria)
    engine.leg(job_id)
    return job_id


def told(engine: Engine, job_id: int) -> dict[str, Any]:
    document: dict[str, Any] = status_document(engine.job(job_id), engine.ctx.now())["docsHub"]
    return document


def remains(engine: Engine) -> int:
    return int(engine.one("select count(*) as n from push_remains")["n"])


def test_the_status_is_one_sentence_also_where_a_limit_was_reached(engine: Engine, place: int) -> None:
    told_so_far = engine.job(fetched(engine, place, limit=10)).status_message or ""
    assert "was reached; pushing them to out/records-" in told_so_far


def test_the_job_ends_when_its_output_is_where_it_is_wanted(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place, notification_url=CALLBACK)
    job = engine.job(job_id)
    assert (job.status, job.finished_at, told(engine, job_id)["state"]) == (JobStatus.RUNNING, None, "PENDING")
    assert "pushing them to out/records-" in (job.status_message or "")
    result = results.open_result(engine.ctx, engine.tenant.caller, job_id)
    assert (result.notice, sum(each.record_count for each in result.segments)) == (None, 25)
    assert engine.rows("select 1 from deliveries where job_id = %s", job_id) == []

    push(engine, job_id)
    job = engine.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.status_message == "Successfully downloaded 25 records"
    assert shelf.published == [(f"out/records-{job_id}.jsonl", engine.output(job_id))]
    assert told(engine, job_id) == {
        "instanceId": str(place), "path": f"out/records-{job_id}.jsonl", "state": "PUSHED", "attempts": 0,
        "bytes": len(engine.output(job_id)), "error": None,
    }  # fmt: skip
    body = msgspec.json.decode(engine.one("select body from deliveries where job_id = %s", job_id)["body"])
    assert (body["status"], body["docsHub"]["state"]) == ("COMPLETED", "PUSHED")
    assert remains(engine) == 0


@pytest.mark.parametrize("path", ["a.json", "a.json.gz"])
@pytest.mark.parametrize("file_format", FileFormat)
def test_the_object_is_what_a_client_would_download(
    engine: Engine, place: int, shelf: Shelf, file_format: FileFormat, path: str
) -> None:
    import gzip

    from app.storage.formats import render

    job_id = fetched(engine, place, path, file_format=file_format)
    push(engine, job_id)
    found = shelf.content(path)
    assert found is not None
    plain = gzip.decompress(found) if path.endswith(".gz") else found
    fmt: Any = file_format.short.lower()
    assert plain == b"".join(render(engine.ctx.store, engine.segments(job_id), fmt).chunks)
    assert plain


def test_an_output_that_nobody_takes_is_told(engine: Engine, place: int, shelf: Shelf) -> None:
    """Such as where all workers were started with `--queues downloads`."""
    job_id = fetched(engine, place)
    pushed = engine.one("select id from pushes")["id"]

    def stall() -> Stall | None:
        return listing.get_progress(engine.ctx, engine.tenant.caller, job_id).stall

    assert (stall(), warnings(engine)) == (None, {})
    engine.execute("update pushes set next_attempt_at = now() - interval '61 s'")
    found = stall()
    assert found is not None
    assert (found.waits_for, "worker that pushes" in found.what) == (WaitsFor.SLOT, True)
    assert warnings(engine) == {
        "pushes": "1 outputs wait to be pushed, and no worker takes them: start workers with --queues downloads,pushes."
    }
    with capture_logs() as logs:
        StallWatch(engine.ctx).look()
    assert [(each["event"], each["job"]) for each in logs] == [("job.stalled", job_id)]
    with engine.ctx.db.transaction() as conn:
        assert pushes.claim(conn, pushed, 1, nonce="0" * 16, lease_s=60.0)
    assert (stall(), warnings(engine)) == (None, {})
    engine.execute("update pushes set claim = claim + 1, lease_expires_at = null, next_attempt_at = now()")
    push(engine, job_id)
    assert (stall(), warnings(engine)) == (None, {})


def warnings(engine: Engine) -> dict[str, str]:
    found = HealthCheck(engine.ctx).readiness().warnings
    return {name: text for name, text in found.items() if name != "broker"}


def test_the_log_says_ended_when_the_job_has(engine: Engine, place: int, shelf: Shelf) -> None:
    with capture_logs() as logs:
        push(engine, fetched(engine, place))
    told = [(each["event"], each["status"]) for each in logs if each["event"].startswith("job.")]
    assert told == [("job.fetched", "RUNNING"), ("job.ended", "COMPLETED")]


def test_a_failed_push_is_tried_again_without_the_vendor(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)
    calls = engine.vendor.call_count
    shelf.faults = [
        ("begin", StorageUnavailableError("the bucket does not answer")),
        ("write", StorageError("the key may not write there")),
        ("publish", StorageUnavailableError("the bucket broke off")),
    ]
    for number, error in enumerate([str(error) for _, error in shelf.faults], 1):
        push(engine, job_id)
        assert (told(engine, job_id)["attempts"], told(engine, job_id)["error"]) == (number, error)
        assert engine.job(job_id).status is JobStatus.RUNNING
        assert shelf.objects == {}
        due = engine.one("select next_attempt_at > now() - interval '1 s' as later from pushes")
        assert due["later"]
    push(engine, job_id)
    assert engine.job(job_id).status is JobStatus.COMPLETED
    assert engine.vendor.call_count == calls
    assert (shelf.unfinished, remains(engine)) == ({}, 0)
    assert_exact(engine, job_id)


def test_after_its_time_it_is_given_up_and_the_job_ends(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place, notification_url=CALLBACK)
    engine.execute("update pushes set give_up_at = now() where job_id = %s", job_id)
    shelf.faults = [("write", StorageError("the key may not write there"))]
    push(engine, job_id)
    job = engine.job(job_id)
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert told(engine, job_id)["state"] == "FAILED"
    result = results.open_result(engine.ctx, engine.tenant.caller, job_id)
    assert result.notice is not None
    assert "was not pushed to out/records-" in result.notice
    assert "the key may not write there" in result.notice
    assert len(result.segments) > 0
    push(engine, job_id)  # what its attempts left goes
    assert (shelf.unfinished, remains(engine)) == ({}, 0)
    assert engine.one("select next_attempt_at from pushes")["next_attempt_at"] is None
    assert len(engine.rows("select 1 from deliveries where job_id = %s", job_id)) == 1


def test_a_result_that_is_not_all_says_so_before_and_after_its_push(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place, api_limit=1)
    partial = "Partial result: apiLimit was reached."
    before = results.open_result(engine.ctx, engine.tenant.caller, job_id).notice
    assert (before or "").startswith(partial)
    engine.execute("update pushes set give_up_at = now() where job_id = %s", job_id)
    shelf.faults = [("write", StorageError("the key may not write there"))]
    push(engine, job_id)
    after = results.open_result(engine.ctx, engine.tenant.caller, job_id).notice or ""
    assert after.startswith(partial)
    assert "was not pushed to out/records-" in after


@pytest.mark.parametrize("strike", [None, cut])
def test_struck_at_any_step_nothing_is_doubled_and_nothing_left(
    engine: Engine, place: int, shelf: Shelf, strike: Any
) -> None:
    first = fetched(engine, place, "one.jsonl", notification_url=CALLBACK)
    engine.steps.arm(-1)
    push(engine, first)
    names = list(engine.steps.names)
    assert {"before begin", "before write", "before finish", "before publish", "after publish"} <= set(names)
    for number, name in enumerate(names):
        engine.steps.arm(-1)
        path = f"at-{number}.jsonl"
        job_id = fetched(engine, place, path, notification_url=CALLBACK)
        calls = engine.vendor.call_count
        if strike is None:
            engine.steps.arm(number)
            with pytest.raises(Killed):
                push(engine, job_id)
        else:
            engine.steps.arm(number, strike)
            push(engine, job_id)
        engine.steps.arm(-1)
        for _ in range(3):
            push(engine, job_id)
        assert engine.job(job_id).status is JobStatus.COMPLETED, name
        assert told(engine, job_id)["state"] == "PUSHED", name
        assert shelf.content(path) == engine.output(job_id), name
        assert (shelf.unfinished, remains(engine)) == ({}, 0), name
        assert engine.vendor.call_count == calls, name
        assert len(engine.rows("select 1 from deliveries where job_id = %s", job_id)) == 1, name


def test_a_place_that_drips_does_not_keep_its_worker(
    engine: Engine, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.push.LEASE_S", 1.0)
    job_id = fetched(engine, place)
    with HostileServer(drip_head) as server:
        monkeypatch.setattr(
            "app.services.destinations.open_destination",
            lambda _, given: open_at("s3", server.url, given.policy.limit.over(LOOPBACK)),
        )
        push(engine, job_id)
    assert (told(engine, job_id)["state"], told(engine, job_id)["attempts"]) == ("PENDING", 1)


def test_a_connection_that_breaks_does_not_hold_the_push(engine: Engine, place: int, shelf: Shelf) -> None:
    first = fetched(engine, place, "one.jsonl")
    engine.steps.arm(-1)
    push(engine, first)
    for number, name in enumerate(list(engine.steps.names)):
        engine.steps.arm(-1)
        job_id = fetched(engine, place, f"at-{number}.jsonl")
        engine.steps.arm(number, cut)
        push(engine, job_id)
        engine.steps.arm(-1)
        row = engine.one("select lease_expires_at, claim - ended_count as lost from pushes where job_id = %s", job_id)
        assert row["lease_expires_at"] is None, name
        assert row["lost"] == 0 or told(engine, job_id)["state"] == "PUSHED", name


def test_cancelled_before_its_last_failure_is_recorded(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)
    engine.execute("update pushes set give_up_at = now()")
    shelf.before = {"write": lambda: control.cancel(engine.ctx, engine.tenant.caller, job_id)}
    shelf.faults = [("write", StorageError("the key may not write there"))]
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "CANCELLED"


def test_remains_that_cannot_be_removed_do_not_keep_the_output_back(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)
    lose_one(engine, shelf, job_id)
    shelf.faults = [("discard", StorageError("the key may not list uploads"))] * 2
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "PUSHED"
    push(engine, job_id)
    assert remains(engine) == 1, "it is tried again"
    push(engine, job_id)
    assert (shelf.unfinished, remains(engine)) == ({}, 0)


def lose_one(engine: Engine, shelf: Shelf, job_id: int) -> None:
    """An attempt dies with half of its object sent."""
    engine.steps.arm(-1)
    shelf.before = {"write": lambda: engine.steps.arm(0)}
    with pytest.raises(Killed):
        push(engine, job_id)
    engine.steps.arm(-1)
    assert (len(shelf.unfinished), remains(engine)) == (1, 1)


@pytest.mark.parametrize("fault", [StorageUnavailableError("the bucket does not answer"), ValueError("our mistake")])
def test_remains_are_looked_for_a_week(engine: Engine, place: int, shelf: Shelf, fault: Exception) -> None:
    job_id = fetched(engine, place)
    lose_one(engine, shelf, job_id)
    control.cancel(engine.ctx, engine.tenant.caller, job_id)
    shelf.faults = [("discard", fault)] * 2
    for age, is_due in (("6 days", True), ("8 days", False)):
        engine.execute(f"update pushes set finished_at = now() - interval '{age}'")
        push(engine, job_id)
        row = engine.one("select next_attempt_at, lease_expires_at from pushes")
        assert ((row["next_attempt_at"] is not None), row["lease_expires_at"]) == (is_due, None)


@pytest.mark.parametrize("moment", ["discard", "begin"])
def test_one_that_froze_before_it_began_leaves_nothing(engine: Engine, place: int, shelf: Shelf, moment: str) -> None:
    """Another attempt has removed its remains meanwhile: what it made then, nobody would look for."""
    job_id = fetched(engine, place)
    lose_one(engine, shelf, job_id)

    def others_turn() -> None:
        push(engine, job_id)
        shelf.before = {"write": lambda: engine.steps.arm(0)}  # dies as soon as it writes

    shelf.before = {moment: others_turn}
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "PUSHED"
    assert (shelf.unfinished, remains(engine)) == ({}, 0)


def test_an_older_run_never_replaces_a_newer_one(engine: Engine, place: int, shelf: Shelf) -> None:
    older, newer = fetched(engine, place, "same.jsonl"), fetched(engine, place, "same.jsonl", limit=3)
    push(engine, newer)
    push(engine, older)
    assert shelf.content("same.jsonl") == engine.output(newer)
    assert told(engine, older)["state"] == "SUPERSEDED"
    assert engine.job(older).status is JobStatus.COMPLETED
    push(engine, older)
    assert (shelf.unfinished, remains(engine)) == ({}, 0)


def test_a_push_that_froze_before_it_published_does_not_replace_a_newer_one(
    engine: Engine, place: int, shelf: Shelf
) -> None:
    older, newer = fetched(engine, place, "same.jsonl"), fetched(engine, place, "same.jsonl", limit=3)

    def meanwhile() -> None:
        engine.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 1"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        push(engine, newer)

    shelf.before = {"publish": meanwhile}
    push(engine, older)
    for _ in range(2):
        push(engine, older)
    assert shelf.content("same.jsonl") == engine.output(newer)
    assert told(engine, older)["state"] == "SUPERSEDED"
    assert (shelf.unfinished, remains(engine)) == ({}, 0)


def test_two_that_are_about_to_publish_take_turns(engine: Engine, place: int, shelf: Shelf) -> None:
    older, newer = fetched(engine, place, "same.jsonl"), fetched(engine, place, "same.jsonl", limit=3)
    second = threading.Thread(target=push, args=(engine, newer))
    shelf.before = {"publish": second.start}
    push(engine, older)
    second.join()
    assert [content for _, content in shelf.published] == [engine.output(older), engine.output(newer)]
    assert {told(engine, each)["state"] for each in (older, newer)} == {"PUSHED"}


def test_a_later_run_of_the_same_job_replaces_its_object(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place, "same.jsonl", limit=10)
    push(engine, job_id)
    assert shelf.content("same.jsonl") == engine.vendor.lines(1, 10)
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert told(engine, job_id)["state"] == "WAITING"
    engine.leg(job_id)
    push(engine, job_id)
    assert shelf.content("same.jsonl") == engine.vendor.lines(1, 20)


def test_cancelled_while_it_is_pushed(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place, notification_url=CALLBACK)
    shelf.before = {"write": lambda: control.cancel(engine.ctx, engine.tenant.caller, job_id)}
    push(engine, job_id)
    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert told(engine, job_id)["state"] == "CANCELLED"
    assert shelf.published == []
    push(engine, job_id)
    assert (shelf.unfinished, remains(engine)) == ({}, 0)
    assert len(engine.rows("select 1 from deliveries where job_id = %s", job_id)) == 1


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda engine, job_id: control.cancel(engine.ctx, engine.tenant.caller, job_id), "CANCELLED"),
        (lambda engine, _: engine.execute("update jobs set status = 'ABORTED'"), "CANCELLED"),
    ],
)
def test_a_run_that_ended_before_its_push_waits_for_none(engine: Engine, place: int, end: Any, state: str) -> None:
    job_id = engine.submit(docs_hub=DocsHub(place, PATH))
    assert told(engine, job_id)["state"] == "WAITING"
    end(engine, job_id)
    assert told(engine, job_id)["state"] == state


def test_what_the_other_side_says_can_be_stored(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)
    shelf.faults = [("begin", StorageError("no\x00 \udcff\nway\u2028!" + "x" * 1000))]
    push(engine, job_id)
    assert (told(engine, job_id)["attempts"], told(engine, job_id)["error"][:10]) == (1, "no way !xx")


def test_a_worker_that_stops_hands_back_and_spends_no_attempt(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)
    push(engine, job_id, is_stopping=lambda: True)
    assert (told(engine, job_id)["attempts"], shelf.published) == (0, [])
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "PUSHED"


def test_one_that_kills_its_workers_is_given_up(engine: Engine, place: int, shelf: Shelf) -> None:
    job_id = fetched(engine, place)

    def die() -> None:
        raise Killed("in the middle")

    for _ in range(engine.ctx.settings.crash_tries):
        shelf.before = {"write": die}
        with pytest.raises(Killed):
            push(engine, job_id)
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "FAILED"
    assert "died" in told(engine, job_id)["error"]
    assert engine.job(job_id).status is JobStatus.COMPLETED


@pytest.mark.parametrize("change", ["deleted_at", "disabled_at"])
def test_without_its_instance_it_is_given_up_at_once(engine: Engine, place: int, shelf: Shelf, change: str) -> None:
    job_id = fetched(engine, place)
    engine.execute(f"update instances set {change} = now() where id = %s", place)
    push(engine, job_id)
    assert told(engine, job_id)["state"] == "FAILED"
    assert change.removesuffix("_at") in told(engine, job_id)["error"]
    assert engine.job(job_id).status is JobStatus.COMPLETED


def test_only_ones_own_documents_instances_are_accepted(engine: Engine, place: int) -> None:
    other = engine.add_tenant()
    foreign = add_destination(engine, other.organisation_id)
    for named in (foreign, 999_999):
        with pytest.raises(InvalidInputError, match=rf"docsHubDetails.instanceId {named} .*there is no such instance"):
            engine.submit(docs_hub=DocsHub(named, "a.jsonl"))
    with pytest.raises(InvalidInputError, match="takes no documents"):
        engine.submit(docs_hub=DocsHub(engine.tenant.instance_id, "a.jsonl"))
    engine.execute("update instances set disabled_at = now() where id = %s", place)
    with pytest.raises(InvalidInputError, match="disabled"):
        engine.submit(docs_hub=DocsHub(place, "a.jsonl"))
    assert engine.rows("select 1 from jobs") == []


@pytest.mark.parametrize("path", ["../a", "a/../../b", "a//b", "/", "a/", ".hidden", "a\\b", "a/%2e%2e/b", "a\nb"])
def test_a_path_that_leaves_the_prefix_is_refused(engine: Engine, place: int, path: str) -> None:
    with pytest.raises(InvalidInputError, match=r"docsHubDetails\.path"):
        engine.submit(docs_hub=DocsHub(place, path))


@pytest.mark.parametrize("path", ["{jobId}" + "x" * 191, "x" * 180 + "/" + "y" * 17])
def test_a_name_that_would_be_too_long_is_refused(engine: Engine, place: int, path: str) -> None:
    """With the longest id that a job may have, and with what the instance puts before it."""
    engine.execute("update instances set configuration = %s where id = %s", '{"prefix": "' + "p" * 21 + '"}', place)
    with pytest.raises(InvalidInputError, match="longer than 200 bytes"):
        engine.submit(docs_hub=DocsHub(place, path))
    engine.submit(docs_hub=DocsHub(place, "a/" + path[21:]))


def test_sweepers_hint_at_pushes_that_are_due(engine: Engine, place: int) -> None:
    job_ids = [fetched(engine, place, f"{number}.jsonl") for number in range(4)]
    engine.hints.take()
    done = sweep(engine.ctx)
    hinted = [row_id for task, row_id in engine.hints.take() if task is TaskName.PUSH_OUTPUT]
    assert len(hinted) == 2, "no worker lives: the least"
    assert done.next_due_in_s is not None
    engine.hints.queued[QueueName.PUSHES] = 2
    sweep(engine.ctx)
    assert [task for task, _ in engine.hints.take()] == []
    engine.hints.queued.clear()
    for job_id in job_ids:
        push(engine, job_id)
    engine.execute("update pushes set nudged_at = null")
    sweep(engine.ctx)
    assert [task for task, _ in engine.hints.take()] == []


@pytest.mark.parametrize(("slots", "hinted"), [(1, 1), (2, 1), (3, 2), (12, 3)])
def test_pushes_leave_slots_to_fetch(engine: Engine, place: int, slots: int, hinted: int) -> None:
    for number in range(4):
        fetched(engine, place, f"{number}.jsonl")
    engine.hints.take()
    engine.execute("insert into workers (name, slots, version) values ('w', %s, '')", slots)
    sweep(engine.ctx)
    assert len([1 for task, _ in engine.hints.take() if task is TaskName.PUSH_OUTPUT]) == hinted


def test_a_destination_that_hangs_is_behind_all_others(engine: Engine, place: int) -> None:
    for number in range(6):
        fetched(engine, place, f"{number}.jsonl")
    hung = [row["id"] for row in engine.rows("select id from pushes order by id limit 2")]
    with engine.plain_db.transaction() as conn:
        for push_id in hung:
            assert pushes.claim(conn, push_id, 1, nonce="0" * 16, lease_s=900) is not None
    late = add_destination(engine, engine.tenant.organisation_id)
    fetched(engine, late, "late.jsonl")
    newest = engine.one("select max(id) as id from pushes")["id"]
    engine.execute("update pushes set lease_expires_at = null, next_attempt_at = now() where id = %s", hung[0])
    engine.hints.take()
    sweep(engine.ctx)
    assert [row_id for task, row_id in engine.hints.take() if task is TaskName.PUSH_OUTPUT] == [newest]


def test_a_sweeper_does_not_spin_while_pushes_wait_for_room(engine: Engine, place: int, shelf: Shelf) -> None:
    job_ids = [fetched(engine, place, f"{number}.jsonl") for number in range(3)]
    sweep(engine.ctx)
    engine.hints.queued[QueueName.PUSHES] = 2
    done = sweep(engine.ctx)
    assert done.next_due_in_s is not None
    assert (done.next_due_in_s > 1, done.is_more_due) == (True, False)
    sweeper = notices.listen(engine.plain_db)
    push(engine, job_ids[0])
    assert notices.wait_for_notify(sweeper, 10), "there is room now"
    sweeper.close()


def test_paths_are_forgotten_with_the_newest_job_that_used_them(engine: Engine, place: int, shelf: Shelf) -> None:
    old = [fetched(engine, place, path) for path in ("own.jsonl", "shared.jsonl")]
    newer = fetched(engine, place, "shared.jsonl")
    for job_id in (*old, newer):
        push(engine, job_id)
    engine.execute("update jobs set files_deleted_at = now() - interval '91 days' where id = any(%s)", old)
    retention.forget_rows(engine.ctx)
    assert [row["path"] for row in engine.rows("select path from push_targets")] == ["shared.jsonl"]


def test_dead_workers_pushes_are_free_at_once(engine: Engine, place: int, shelf: Shelf) -> None:
    from app.db import workers

    job_id = fetched(engine, place)
    engine.execute("insert into workers (name, slots, version, seen_at) values ('w', 1, '', now() - interval '1 min')")
    worker_id = engine.one("select id from workers")["id"]
    push_id = engine.one("select id from pushes where job_id = %s", job_id)["id"]
    with engine.plain_db.transaction() as conn:
        assert pushes.claim(conn, push_id, worker_id, nonce="0" * 16, lease_s=900) is not None
    with engine.plain_db.transaction() as conn:
        assert pushes.claim(conn, push_id, 2, nonce="1" * 16, lease_s=900) is None
    with engine.plain_db.connection() as conn:
        workers.expire_dead(conn, silent_s=2.0)
    free = engine.one("select lease_expires_at <= now() as free from pushes")
    started = engine.one("select pg_postmaster_start_time() < now() - interval '10 seconds' as old")
    assert free["free"] == started["old"]
