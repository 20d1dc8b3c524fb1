"""Workflows: the result of a download is given to one upload of another instance, whatever dies in between."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.db import feeds, uploads
from app.domain.criteria import DownloadCriteria
from app.domain.uploads import UploadOptions
from app.errors import TransientError
from app.sandbox.habits import Habits
from app.services import intake, retention, workflows
from app.services.schedule_runs import take_due
from app.services.workflows import Target, feed_due, submit_workflow
from tests.fakes.engine import Engine, Tenant
from tests.fakes.list_vendor import document
from tests.fakes.steps import Killed, Strike, cut, kill
from tests.fixtures.door import Door, add_tenant
from tests.integration.test_api_bulk import refused

HABITS = Habits()
PATH = "/hubs/crm/bulk/workflows"


# On the engine -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenant(engine: Engine) -> Tenant:
    """Its records can be written as well."""
    connector = document("page")
    connector["objects"]["records"]["create"] = {"path": "/list"}
    engine.tenant = engine.add_tenant_of(connector)
    return engine.tenant


def fed_later(engine: Engine) -> int:
    """A download that is at its end, whose result is owed to an upload."""
    options = UploadOptions("records", format="json")
    target = Target(engine.add_instance(engine.tenant.organisation_id), options)
    asked = DownloadCriteria("records", page_size=10)
    return submit_workflow(engine.ctx, engine.tenant.caller, asked, target).job_id


def uploaded(engine: Engine) -> list[bytes]:
    """The inputs of all uploads."""
    found = []
    for row in engine.rows("select id from jobs where direction = 'UPLOAD' order by number"):
        with engine.plain_db.connection() as conn:
            upload = uploads.find(conn, row["id"])
        assert upload is not None
        with engine.ctx.store.open(upload.object_key) as source:
            found.append(source.read())
        assert upload.input_bytes == len(found[-1])
    return found


def make_due(engine: Engine) -> None:
    engine.execute("update feeds set next_try_at = now()")


def test_a_result_is_given_to_one_upload_without_asking_the_vendor_again(engine: Engine, tenant: Tenant) -> None:
    job_id = fed_later(engine)
    assert feed_due(engine.ctx) == 0, "the download is not over"
    engine.run(job_id)
    call_count = engine.vendor.call_count

    assert feed_due(engine.ctx) == 1
    make_due(engine)
    assert feed_due(engine.ctx) == 0

    assert uploaded(engine) == [engine.vendor.lines()]
    assert engine.vendor.call_count == call_count
    assert engine.rows("select * from intakes") == []
    row = engine.one("select * from feeds")
    job = engine.job(row["upload_job_id"])
    assert (job.instance_id, job.organisation_id) == (row["instance_id"], tenant.organisation_id)


@pytest.mark.usefixtures("tenant")
@pytest.mark.parametrize("strike", [kill, cut])
def test_whatever_dies_at_any_step_there_is_one_upload_of_all_records(engine: Engine, strike: Strike) -> None:
    engine.run(fed_later(engine))
    engine.steps.arm(-1)
    feed_due(engine.ctx)
    names = list(engine.steps.names)
    assert {"before put", "after put", "before commit", "after commit"} <= set(names)
    for at_step in range(len(names)):
        engine.execute("delete from jobs")
        engine.run(fed_later(engine))
        engine.steps.arm(at_step, strike)
        with contextlib.suppress(Killed, TransientError):
            feed_due(engine.ctx)
        engine.steps.arm(-1)
        make_due(engine)
        feed_due(engine.ctx)
        assert uploaded(engine) == [engine.vendor.lines()], names[at_step]
    engine.execute("update intakes set created_at = now() - interval '1 day'")
    retention.sweep_intakes(engine.ctx)
    kept = list(engine.ctx.store.list("uploads/"))
    assert len(kept) == len(names) + 1, "what was half done is gone, the inputs of all uploads are there"


@pytest.mark.usefixtures("tenant")
def test_who_lost_the_claim_makes_no_upload(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.run(fed_later(engine))
    original: Callable[..., Any] = intake.take_over

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(workflows, "take_over", original)
        make_due(engine)
        assert feed_due(engine.ctx) == 1, "another one takes it for dead"
        return original(*given)

    monkeypatch.setattr(workflows, "take_over", overtaken)
    assert feed_due(engine.ctx) == 0
    assert uploaded(engine) == [engine.vendor.lines()]
    assert engine.rows("select * from intakes") == []


@pytest.mark.usefixtures("tenant")
def test_who_copies_for_long_keeps_the_claim_and_notices_its_loss(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = fed_later(engine)
    engine.run(job_id)
    monkeypatch.setattr(workflows, "_RENEWED_S", -1.0)
    monkeypatch.setattr(workflows, "_BLOCK_BYTES", 10)
    lines, lost = workflows._lines, [False]

    def slow(*given: Any) -> Iterator[bytes]:
        for piece in lines(*given):
            engine.execute("update feeds set next_try_at = now() + interval '1 second'")
            if lost[0]:
                engine.execute("update feeds set claim = claim + 1")
            yield piece
            with engine.plain_db.connection() as conn:
                assert feeds.claim(conn, job_id, lease_s=60) is None, "it is held"
            assert engine.one("select next_try_at > now() + interval '30 seconds' as renewed from feeds")["renewed"]

    monkeypatch.setattr(workflows, "_lines", slow)
    lost[0] = True
    assert feed_due(engine.ctx) == 0
    assert uploaded(engine) == []
    lost[0] = False
    make_due(engine)
    assert feed_due(engine.ctx) == 1
    assert uploaded(engine) == [engine.vendor.lines()]


@pytest.mark.usefixtures("tenant")
def test_what_cannot_be_now_is_tried_later_and_what_never_can_be_is_told(engine: Engine) -> None:
    engine.run(fed_later(engine))
    engine.execute("update instances set disabled_at = now() where id = (select instance_id from feeds)")
    feed_due(engine.ctx)
    row = engine.one("select * from feeds")
    assert (row["is_over"], row["note"]) == (False, "The instance is disabled; enable it to submit jobs.")
    engine.execute("update instances set disabled_at = null")
    assert feed_due(engine.ctx) == 0, "not at once"
    engine.execute("update instances set deleted_at = now() where id = (select instance_id from feeds)")
    make_due(engine)
    feed_due(engine.ctx)
    row = engine.one("select * from feeds")
    assert (row["is_over"], row["note"]) == (True, f"There is no instance {row['instance_id']}.")
    assert uploaded(engine) == []


@pytest.mark.usefixtures("tenant")
def test_a_download_of_nothing_feeds_nothing(engine: Engine) -> None:
    engine.vendor.serve(0)
    engine.run(fed_later(engine))
    feed_due(engine.ctx)
    row = engine.one("select * from feeds")
    assert (row["is_over"], row["upload_job_id"], row["note"]) == (True, None, workflows._NOTHING)


# Over HTTP -----------------------------------------------------------------------------------------------------------


def second_instance(door: Door) -> int:
    from app.services.context import Caller
    from app.services.instances import Wish, create_instance

    wish = Wish(configuration={"base_url": door.vendor.url, "username": "other", "password": "any"})
    return create_instance(door.ctx, Caller(door.acme.organisation_id, None), "sandbox", wish).instance.id


def steps(instance_id: int, **target: Any) -> list[dict[str, Any]]:
    return [{"objectName": "people"}, {"instanceId": instance_id, "objectName": "people", **target}]


def add_people(door: Door, count: int) -> list[dict[str, Any]]:
    own = door.vendor.account("acme").people
    for number in range(count):
        own.create({"email": f"person{number}@example.test", "age": number}, HABITS)
    return own.rows()


def test_records_go_from_one_instance_into_another(door: Door) -> None:
    people = add_people(door, 5)
    target = second_instance(door)

    answer = door.call("POST", PATH, json=steps(target))

    assert answer.status_code == 200, answer.text
    told = answer.get_json()
    assert told == {"id": told["id"], "status": "CREATED"}
    door.finish(int(told["id"]))
    feed_due(door.ctx)
    [item] = door.call("GET", f"/bulkloader?jobId={told['id']}").get_json()
    assert (item["groupName"], item["status"], item["note"]) == ("people", "COMPLETED", None)
    upload = door.finish(item["uploadJobId"])
    assert (upload.instance_id, upload.record_count, upload.failed_count) == (target, 5, 0)
    arrived = [each["email"] for each in door.vendor.account("other").people.rows()]
    assert sorted(arrived) == [each["email"] for each in people]  # several calls at a time


def test_with_the_header_it_is_a_schedule(door: Door) -> None:
    add_people(door, 3)
    headers = {"Elements-Schedule-Request": "0 0 6 ? * 2", "Idempotency-Key": "k"}
    target = second_instance(door)
    first, again = (door.call("POST", PATH, json=steps(target), headers=headers).get_json() for _ in range(2))
    assert first == again == {"id": first["id"], "status": "SCHEDULED"}
    path = f"/bulk/schedules/{first['id']}"
    shown = door.call("GET", path).get_json()
    assert (shown["cron"], shown["timeZone"]) == ("0 0 6 ? * 2", "UTC")
    assert shown["target"] == {
        "instanceId": target,
        "objectName": "people",
        "metaData": {"format": "json", "action": "create"},
    }
    assert all("T06:00:00" in each for each in shown["nextDueTimes"])

    door.execute("update schedules set next_due_at = date_trunc('minute', now())")
    take_due(door.ctx)
    [run] = door.call("GET", f"{path}/runs").get_json()
    door.finish(run["jobId"])
    feed_due(door.ctx)

    [run] = door.call("GET", f"{path}/runs").get_json()
    assert run["state"] == "COMPLETED"
    assert door.finish(run["uploadJobId"]).record_count == 3
    items = door.call("GET", "/bulkloader?pageSize=1").get_json()
    assert len(items) == 1
    assert door.call("GET", f"/bulkloader?jobId={run['jobId']}").get_json()[0]["groupName"] == "people"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "The body is an object; a JSON array is accepted."),
        ([], "The body has 0 items; an array of two steps is accepted"),
        ([{"objectName": "people"}, 5], "an array of two steps is accepted"),
        ([{"objectName": "gone"}, {"instanceId": 0, "objectName": "people"}], "1.instanceId 0"),
        ([{"surprise": 1}, {"instanceId": 5, "objectName": "people"}], "'surprise' is not a criterion"),
        ([{"objectName": "people"}, {"objectName": "people"}], "1.instanceId"),
        ([{"objectName": "people"}, {"instanceId": 5, "objectName": "people", "x": 1}], "1.x 1"),
        (
            [{"objectName": "people"}, {"instanceId": 5, "objectName": "people", "metaData": {"action": "steal"}}],
            '1.metaData.action "steal"',
        ),
    ],
)
def test_a_step_that_cannot_be_is_named(door: Door, body: Any, named: str) -> None:
    assert named in refused(door.call("POST", PATH, json=body), 400)


def test_what_the_other_side_cannot_do_is_refused_at_once(door: Door) -> None:
    target = second_instance(door)
    for body, status, named in (
        (steps(target, objectName="records"), 400, "does not say how 'records' is written"),
        (
            steps(target, objectName="people_keyed", metaData={"action": "delete"}),
            400,
            "action 'delete' is not declared",
        ),
        (steps(target, notificationUrl="http://169.254.169.254/"), 400, "notificationUrl"),
        (steps(target, metaData={"retentionHours": 721}), 400, "retentionHours 721 is more than"),
        ([{"objectName": "people", "retentionHours": 721}, steps(target)[1]], 400, "retentionHours 721 is more than"),
        (steps(door.globex.instance_id), 404, f"There is no instance {door.globex.instance_id}."),
    ):
        assert named in refused(door.call("POST", PATH, json=body), status)
        cron = {"Elements-Schedule-Request": "0 0 6 * * ?"}
        assert named in refused(door.call("POST", PATH, json=body, headers=cron), status)
    assert "day of week" in refused(
        door.call("POST", PATH, json=steps(target), headers={"Elements-Schedule-Request": "0 0 6 * * 8"}), 400
    )
    assert "jobId 'x'" in refused(door.call("GET", "/bulkloader?jobId=x"), 400)
    assert door.call("GET", "/bulkloader").get_json() == []


def test_another_tenant_sees_nothing_of_it(door: Door) -> None:
    job_id = door.call("POST", PATH, json=steps(second_instance(door))).get_json()["id"]
    assert door.call("GET", f"/bulkloader?jobId={job_id}", as_=door.globex.element).get_json() == []
    other = add_tenant(door.ctx, "initech", door.vendor)
    assert door.call("GET", "/bulkloader", as_=other.element).get_json() == []
    assert json.loads(door.call("GET", "/bulkloader").data)[0]["id"] == int(job_id)
