"""Going on from another job: where it stopped, with what changed since, and when that is refused."""

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.api.bulk_schemas import CriteriaSchema
from app.db.jobs import Job
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import evidence_line
from app.errors import ConflictError, GoneError, InvalidInputError, NotFoundError
from app.services import control, retention
from app.services.context import Caller
from app.services.push import push_output
from app.services.results import open_result
from app.services.submit import submit_download
from tests.fakes.changing_vendor import BY_ID, START, ChangingVendor
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.list_vendor import document
from tests.fakes.memory_destination import MemoryDestination, Shelf, add_destination
from tests.fakes.steps import Killed
from tests.fixtures.door import Door


def ask(engine: Engine, caller: Caller | None = None, **body: Any) -> int:
    """Submit a body as it comes over the wire."""
    return submit_download(engine.ctx, caller or engine.tenant.caller, CriteriaSchema().load(body)).job_id


def go_on(engine: Engine, source: int, **body: Any) -> int:
    return ask(engine, continueFromJobId=source, **body)


def first(engine: Engine, **body: Any) -> int:
    return ask(engine, **{"objectName": "records", "pageSize": 10, **body})


def ids(engine: Engine, job_id: int) -> list[int]:
    return [json.loads(line)["id"] for line in engine.output(job_id).splitlines()]


def restart(engine: Engine, job_id: int) -> Job:
    return control.restart(engine.ctx, engine.tenant.caller, job_id)


# Where it stopped ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["page", "offset", "cursor", "cursor_header", "next_url", "link", "odata", "keyset"])
@pytest.mark.parametrize("limits", [{"limit": 13}, {"apiLimit": 2}, {"limit": 10}], ids=str)
def test_it_goes_on_at_the_exact_position(engine: Engine, kind: str, limits: dict[str, int]) -> None:
    engine.vendor.serve(57)
    tenant = engine.add_tenant(kind)
    job_id = ask(engine, tenant.caller, objectName="records", pageSize=10, **limits)
    seen: list[int] = []
    while True:
        job = engine.run(job_id)
        assert job.status is JobStatus.COMPLETED
        seen += ids(engine, job_id)
        assert seen == list(range(1, len(seen) + 1))
        if not job.has_more:
            break
        job_id = ask(engine, tenant.caller, continueFromJobId=job_id)
    assert len(seen) == 57


def test_criteria_are_the_sources_and_some_may_differ(engine: Engine) -> None:
    source = first(engine, limit=13, selectFields="id", filterNulls=True, format="text/csv", query={"a": "b"})
    engine.run(source)
    metadata = {"fileName": "other"}
    job_id = go_on(engine, source, limit=3, apiLimit=5, format="application/json", metaData=metadata)
    job = engine.job(job_id)
    assert job.criteria == {
        "objectName": "records",
        "format": "application/json",
        "selectFields": "id",
        "filterNulls": True,
        "pageSize": 10,
        "limit": 3,
        "apiLimit": 5,
        "query": {"a": "b"},
        "metaData": metadata,
        "continueFromJobId": source,
    }
    engine.run(job_id)
    assert ids(engine, job_id) == [14, 15, 16]
    assert all("a=b" in call for call in engine.vendor.listing.calls)


def test_null_takes_a_criterion_away(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.destinations.open_destination", lambda *_: MemoryDestination(Shelf(engine.steps)))
    place = add_destination(engine, engine.tenant.organisation_id)
    said = {
        "docsHubDetails": {"instanceId": place, "path": "out/{jobId}.csv"},
        "retentionHours": 5,
        "format": "text/csv",
        "metaData": {"fileName": "other"},
    }
    source = first(engine, limit=13, selectFields="id", **said)
    engine.leg(source)
    push_id = engine.one("select id from pushes where job_id = %s", source)["id"]
    push_output(engine.ctx, push_id, worker_id=1, is_stopping=lambda: False)
    with pytest.raises(InvalidInputError, match=r"^selectFields differs"):
        go_on(engine, source, selectFields=None)
    job_id = go_on(engine, source, where=None, **dict.fromkeys(["limit", *said]))
    assert engine.job(job_id).criteria == {
        "objectName": "records",
        "format": "text/csv",
        "selectFields": "id",
        "pageSize": 10,
        "continueFromJobId": source,
    }
    assert engine.run(job_id).status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("selectFields", "id,name"),
        ("filterNulls", False),
        ("from", "2024-01-01"),
        ("to", "2024-01-01"),
        ("filterDateField", "other"),
        ("query", {"a": "c"}),
        ("pageSize", 5),
    ],
)
def test_a_criterion_that_may_not_differ_is_named(engine: Engine, name: str, value: Any) -> None:
    source = first(engine, limit=13, selectFields="id", filterNulls=True, query={"a": "b"})
    engine.run(source)
    with pytest.raises(InvalidInputError, match=f"^{name} differs") as refused:
        go_on(engine, source, **{name: value})
    assert refused.value.field == f"/{name}"
    same = {"selectFields": "id", "filterNulls": True, "query": {"a": "b"}, "pageSize": 10, "objectName": "records"}
    go_on(engine, source, **same)


def test_the_source_is_named_by_number_or_text(door: Door) -> None:
    source = door.fetched(records=25, limit=13)
    body = {"continueFromJobId": str(source)}
    answer = door.call("POST", "/bulk/download", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200, answer.text
    again = door.call("POST", "/bulk/download", json=body, headers={"Idempotency-Key": "k"})
    assert again.get_json()["id"] == answer.get_json()["id"]
    shown = door.call("GET", f"/bulk/{answer.get_json()['id']}/status").get_json()["jobCriteria"]
    assert (shown["continueFromJobId"], shown["objectName"], shown["limit"]) == (source, "records", 13)
    taken = door.call("POST", "/bulk/download", json={"continueFromJobId": source})
    assert taken.status_code == 409
    assert f"goes on from job {source} already" in taken.get_json()["message"]
    assert door.call("PUT", f"/bulk/v3/{source}/restart").status_code == 409
    foreign = door.call("POST", "/bulk/download", as_=door.globex.element, json={"continueFromJobId": source})
    assert foreign.status_code == 404


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "", "12a", "٣", 2**31, "9" * 30, [1]])
def test_what_is_no_job_is_refused(door: Door, value: Any) -> None:
    answer = door.call("POST", "/bulk/download", json={"continueFromJobId": value})
    assert answer.status_code == 400
    assert "continueFromJobId" in answer.get_json()["message"]
    missing = door.call("POST", "/bulk/download", json={"continueFromJobId": None})
    assert missing.status_code == 400
    assert "objectName" in missing.get_json()["message"]


def test_a_stale_token_is_told_what_else_to_do(engine: Engine) -> None:
    engine.vendor.serve(57)
    tenant = engine.add_tenant("cursor", page={"token_ttl": "1h"})
    source = ask(engine, tenant.caller, objectName="records", pageSize=10, apiLimit=2)
    engine.run(source)
    engine.execute("update slices set moved_at = now() - interval '59 minutes'")
    fresh = ask(engine, tenant.caller, continueFromJobId=source)
    control.cancel(engine.ctx, tenant.caller, fresh)
    engine.execute("update slices set moved_at = now() - interval '61 minutes' where job_id = %s", source)
    with pytest.raises(ConflictError, match=r"3600 s only.*restart by range.*incremental"):
        ask(engine, tenant.caller, continueFromJobId=source)


def test_a_token_that_was_handed_on_grows_old_all_the_same(engine: Engine) -> None:
    tenant = engine.add_tenant("cursor", page={"token_ttl": "1h"})
    source = ask(engine, tenant.caller, objectName="records", pageSize=10, apiLimit=1)
    engine.run(source)
    engine.execute("update slices set moved_at = now() - interval '50 minutes'")
    second = ask(engine, tenant.caller, continueFromJobId=source)
    ages = engine.rows("select moved_at from slices where job_id in (%s, %s)", source, second)
    assert ages[0] == ages[1]


def test_one_job_at_a_time_goes_on(engine: Engine) -> None:
    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    barrier = threading.Barrier(4)

    def try_it(_: int) -> bool:
        barrier.wait(10)
        try:
            go_on(engine, source)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(try_it, range(4))) == 1
    [second] = [row["id"] for row in engine.rows("select id from jobs where id <> %s", source)]
    with pytest.raises(ConflictError, match=f"Job {second} goes on"):
        restart(engine, source)
    engine.run(second)
    with pytest.raises(ConflictError, match=f"Job {second} goes on"):
        go_on(engine, source)


def test_where_a_job_failed_to_go_on_another_may(engine: Engine) -> None:
    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    failed = go_on(engine, source, limit=5)
    control.cancel(engine.ctx, engine.tenant.caller, failed)
    other = go_on(engine, source)
    with pytest.raises(ConflictError, match=f"Job {source} went on otherwise"):
        restart(engine, failed)
    engine.run(other)
    assert ids(engine, other) == list(range(14, 27))


def test_a_restart_of_the_source_ends_the_others(engine: Engine) -> None:
    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    failed = go_on(engine, source)
    control.cancel(engine.ctx, engine.tenant.caller, failed)
    restart(engine, source)
    with pytest.raises(ConflictError, match="went on otherwise"):
        restart(engine, failed)
    engine.run(source)
    assert_exact(engine, source, last=26)


def test_a_job_that_goes_on_is_restarted_like_any_other(engine: Engine) -> None:
    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    second = go_on(engine, source, limit=5)
    engine.run(second)
    restart(engine, second)
    engine.run(second)
    assert ids(engine, second) == list(range(14, 24))


@pytest.mark.parametrize("state", ["CREATED", "RUNNING", "ABORTED", "CANCELLED"])
def test_only_completed_jobs_are_gone_on_from(engine: Engine, state: str) -> None:
    source = first(engine)
    engine.execute("update jobs set status = %s where id = %s", state, source)
    with pytest.raises(ConflictError, match=f"is {state}"):
        go_on(engine, source)


def test_a_job_that_its_budget_aborted_may_be_gone_on_from(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(api_limit_state="ABORTED")
    source = first(engine, apiLimit=1)
    assert engine.run(source).status is JobStatus.ABORTED
    engine.run(go_on(engine, source))


def test_jobs_of_others_and_of_other_kinds(engine: Engine) -> None:
    source = first(engine, limit=3)
    engine.run(source)
    tenant = engine.tenant
    with pytest.raises(NotFoundError) as foreign:
        ask(engine, engine.add_tenant().caller, continueFromJobId=source)
    with pytest.raises(NotFoundError) as unknown:
        ask(engine, continueFromJobId=1)
    assert foreign.value.message.replace(str(source), "1") == unknown.value.message
    other = Caller(tenant.organisation_id, None, engine.add_instance(tenant.organisation_id))
    with pytest.raises(ConflictError, match="another instance"):
        ask(engine, other, continueFromJobId=source)
    with pytest.raises(ConflictError, match="'contacts'"):
        go_on(engine, source, objectName="contacts")


def test_jobs_of_the_older_call_are_not_restarted(engine: Engine) -> None:
    source = first(engine, limit=3)
    engine.run(source)
    engine.execute("update jobs set engine = 'V2'")
    with pytest.raises(InvalidInputError, match="bulk/query"):
        restart(engine, source)


def test_a_position_outlives_the_files(engine: Engine) -> None:
    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    control.delete_files(engine.ctx, engine.tenant.caller, source)
    retention.forget_rows(engine.ctx)
    with pytest.raises(GoneError):
        open_result(engine.ctx, engine.tenant.caller, source)
    second = go_on(engine, source)
    engine.run(second)
    assert ids(engine, second) == list(range(14, 27))


def test_a_position_belongs_to_the_connector_that_it_was_found_with(engine: Engine) -> None:
    from app.connectors.spec import digest
    from app.db import connectors

    engine.vendor.serve(57)
    source = first(engine, limit=13)
    engine.run(source)
    changed = document("cursor")
    with engine.plain_db.transaction() as conn:
        stored = connectors.get(conn, engine.tenant.organisation_id, "vendor")
        connectors.add_revision(conn, stored.id, changed, digest(changed))
    second = go_on(engine, source)
    engine.run(second)
    assert ids(engine, second) == list(range(14, 27))
    assert engine.job(first(engine)).connector_revision_id != engine.job(second).connector_revision_id


def test_a_total_is_compared_with_what_the_whole_pass_saw(engine: Engine) -> None:
    engine.vendor.serve(57)
    tenant = engine.add_tenant("page", total="/total")
    source = ask(engine, tenant.caller, objectName="records", pageSize=10, limit=13)
    engine.run(source)
    last = engine.run(ask(engine, tenant.caller, continueFromJobId=source, limit=1000))
    assert last.stop_reason is StopReason.EXHAUSTED
    assert "differs" not in evidence_line(last)
    assert "went on behind 13 records" in evidence_line(last)
    assert last.status_message == "Successfully downloaded 44 records"


# What changed since --------------------------------------------------------------------------------------------------


@pytest.fixture
def changing(engine: Engine) -> ChangingVendor:
    """The engine's vendor becomes one whose records have dates; the tenant's connector has a lookback of 5 minutes."""
    vendor = ChangingVendor()
    engine.vendor.listing = vendor  # type: ignore[assignment]
    engine.tenant = engine.add_tenant("cursor")
    for number in range(1, 26):
        vendor.put(number, START - timedelta(minutes=number))
    return vendor


def versions(engine: Engine, job_id: int) -> list[tuple[int, int]]:
    lines = [json.loads(line) for line in engine.output(job_id).splitlines()]
    return sorted((line["id"], line["version"]) for line in lines)


def run_next(engine: Engine, source: int, **body: Any) -> Job:
    return engine.run(go_on(engine, source, **body))


def test_only_what_changed_comes_again(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    nothing = run_next(engine, source)
    assert nothing.criteria["from"] == "2024-03-01T08:54:00Z", "the highest date less five minutes"
    assert (nothing.record_count, nothing.repeated_count, nothing.filtered_count) == (0, 6, 19)
    assert "6 more left out since jobs before this one delivered them" in evidence_line(nothing)
    changing.wait(hours=1)
    changing.put(7)
    changing.put(26)
    changing.remove(3)
    job = run_next(engine, nothing.id)
    assert versions(engine, job.id) == [(7, 2), (26, 1)]
    assert run_next(engine, job.id).record_count == 0


def test_the_future_does_not_count(engine: Engine, changing: ChangingVendor) -> None:
    changing.put(99, START.replace(year=2099))
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=1)
    changing.put(4)
    job = run_next(engine, source)
    assert job.criteria["from"] == "2024-03-01T08:55:00Z", "the vendor's clock less five minutes"
    assert versions(engine, job.id) == [(4, 2)]
    changing.put(99, START.replace(year=2098))
    assert versions(engine, run_next(engine, job.id).id) == [(99, 2)]


def test_a_state_that_comes_back_is_a_change(engine: Engine, changing: ChangingVendor) -> None:
    changing.put(4, START)
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.put(4, START)
    second = run_next(engine, source).id
    changing.put_again(4, 2)
    third = run_next(engine, second).id
    assert (versions(engine, second), versions(engine, third)) == ([(4, 3)], [(4, 2)])


def test_a_quiet_day_with_a_late_record_does_not_go_back(engine: Engine, changing: ChangingVendor) -> None:
    """What is older than where this pass began was delivered, and is forgotten."""
    changing.put(90, START)
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.put(91, START - timedelta(minutes=4))
    job = run_next(engine, source)
    assert versions(engine, job.id) == [(91, 1)]
    last = run_next(engine, job.id)
    assert (last.criteria["from"], last.record_count) == (job.criteria["from"], 0)


def test_a_record_that_two_pages_hold_comes_once(paced_engine: Engine) -> None:
    """A list that shifts while it is read shows records again; also what is not committed yet counts as delivered."""
    engine, vendor = paced_engine, ChangingVendor()
    engine.vendor.listing = vendor  # type: ignore[assignment]
    engine.tenant = engine.add_tenant("cursor")
    vendor.put(1)
    source = engine.run(first(engine, filterDateField="changed")).id
    for number in range(1, 41):
        vendor.put(number)
    vendor.overlap = 3
    job = run_next(engine, source)
    assert versions(engine, job.id) == [(1, 2), *((number, 1) for number in range(2, 41))]
    assert job.repeated_count > 0


def test_a_worker_may_die_at_any_step(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=1)
    changed = [(number, changing.put(number).number) for number in range(1, 26)]
    steps = len(engine.trace(go_on(engine, source)))
    for number in range(steps):
        engine.execute("update jobs set status = 'CANCELLED', stop_reason = 'CANCELLED' where id <> %s", source)
        job_id = go_on(engine, source)
        engine.steps.arm(number)
        with contextlib.suppress(Killed):
            engine.leg(job_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        if not engine.job(job_id).status.is_terminal:
            engine.run(job_id)
        assert versions(engine, job_id) == changed
        remembered = engine.rows("select 1 from chain_versions where job_id = %s", job_id)
        assert len(remembered) == 25
    assert run_next(engine, job_id).record_count == 0


def test_the_lookback_is_the_connectors(engine: Engine, changing: ChangingVendor) -> None:
    engine.tenant = engine.add_tenant("cursor", lookback="1h")
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.put(50, START - timedelta(minutes=59))
    job = run_next(engine, source)
    assert job.criteria["from"] == "2024-03-01T07:59:00Z"
    assert versions(engine, job.id) == [(50, 1)]


def test_the_clock_is_that_of_the_first_call_of_the_pass(engine: Engine, changing: ChangingVendor) -> None:
    """What changes while a pass takes days need not be seen by it; its first day is where the next one begins."""
    source = engine.run(first(engine, filterDateField="changed", apiLimit=1)).id
    while engine.job(source).has_more:
        changing.wait(days=1)
        for number in range(1, 26):
            changing.put(number)
        source = run_next(engine, source).id
    changing.wait(days=1)
    job = engine.job(go_on(engine, source, apiLimit=1000))
    assert job.criteria["from"] == "2024-03-01T08:55:00Z"


def test_without_a_clock_ours_is_taken(engine: Engine, changing: ChangingVendor) -> None:
    changing.is_clockless = True
    changing.put(99, START.replace(year=2099))
    source = engine.run(first(engine, filterDateField="changed")).id
    began = engine.one("select extract(epoch from started_at)::float as at from jobs where id = %s", source)["at"]
    clock = engine.one("select clock_us from chain_marks where job_id = %s", source)["clock_us"]
    assert began - 60 < clock / 1e6 < began + 60


def test_criteria_may_change(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed", selectFields="version", to="2024-03-02")).id
    changing.wait(days=5)
    changing.put(4)
    job = run_next(engine, source, selectFields="id,version", pageSize=5)
    assert "to" not in job.criteria, "the end of the source's range"
    assert engine.output(job.id) == b'{"id":4,"version":2}\n'


def test_a_range_of_its_own_only_narrows(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=5)
    for number, days in ((4, 1), (5, 3)):
        changing.put(number, START + timedelta(days=days))
    early = go_on(engine, source, **{"from": "2020-01-01"})
    assert engine.job(early).criteria["from"] == "2024-03-01T08:54:00Z"
    control.cancel(engine.ctx, engine.tenant.caller, early)
    late = run_next(engine, source, **{"from": "2024-03-03"})
    assert versions(engine, late.id) == [(5, 2)]


def test_a_limit_stops_a_pass_and_the_next_job_goes_on_in_it(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=1)
    changed = {(number, changing.put(number).number) for number in range(5, 20)}
    seen: list[tuple[int, int]] = []
    job = run_next(engine, source, limit=4)
    while job.has_more:
        assert job.record_count == 4
        seen += versions(engine, job.id)
        job = run_next(engine, job.id)
    seen += versions(engine, job.id)
    assert (len(seen), set(seen)) == (15, changed)
    assert run_next(engine, job.id, limit=1000).record_count == 0


def test_what_is_missing_is_said(engine: Engine, changing: ChangingVendor) -> None:
    plain = engine.run(first(engine)).id
    with pytest.raises(InvalidInputError, match="Submit a new job with filterDateField"):
        go_on(engine, plain)
    with pytest.raises(InvalidInputError, match="Submit a new job with filterDateField"):
        go_on(engine, plain, filterDateField="changed")
    dated = engine.run(first(engine, filterDateField="changed")).id
    with pytest.raises(InvalidInputError, match="it goes by changed"):
        go_on(engine, dated, filterDateField="created")
    undated = engine.run(first(engine, filterDateField="created")).id
    with pytest.raises(InvalidInputError, match="created holds no date"):
        go_on(engine, undated)
    unnamed = document("cursor")
    del unnamed["objects"]["records"]["id"]
    engine.tenant = engine.add_tenant_of(unnamed)
    with pytest.raises(InvalidInputError, match="Add `id` to its object 'records'"):
        go_on(engine, engine.run(first(engine, filterDateField="changed")).id)
    assert changing.call_count


def test_after_an_empty_pass_all_is_new(engine: Engine, changing: ChangingVendor) -> None:
    for number in range(1, 26):
        changing.remove(number)
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.put(1, START - timedelta(days=400))
    job = run_next(engine, source)
    assert "from" not in job.criteria
    assert versions(engine, job.id) == [(1, 2)]


def test_what_a_failed_job_delivered_does_not_count(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=1)
    changed = [(number, changing.put(number).number) for number in range(1, 26)]
    failed = go_on(engine, source)
    engine.leg(failed, is_stopping=engine.after_calls(2))
    assert engine.job(failed).record_count == 20
    control.cancel(engine.ctx, engine.tenant.caller, failed)
    assert versions(engine, run_next(engine, source).id) == changed


def test_what_a_failed_job_saw_lets_nothing_be_forgotten(engine: Engine, changing: ChangingVendor) -> None:
    """A record that only it saw, newer than all others, would have moved the place where the next pass begins."""
    changing.order = BY_ID
    for number in range(1, 26):
        changing.put(number, START - timedelta(minutes=10))
    changing.put(20, START)
    source = engine.run(first(engine, filterDateField="changed", limit=10)).id
    failed = go_on(engine, source, limit=1000)
    engine.leg(failed, is_stopping=engine.after_calls(1))
    engine.leg(failed, is_stopping=lambda: True)
    assert engine.job(failed).record_count == 10
    control.cancel(engine.ctx, engine.tenant.caller, failed)
    changing.remove(20)
    rest = run_next(engine, source, limit=1000)
    assert rest.record_count == 14
    following = run_next(engine, rest.id)
    assert (following.criteria["from"], following.record_count) == ("2024-03-01T08:45:00Z", 0)


def test_a_restarted_job_goes_on_with_what_it_noted(engine: Engine, changing: ChangingVendor) -> None:
    source = engine.run(first(engine, filterDateField="changed")).id
    changing.wait(days=1)
    changed = [(number, changing.put(number).number) for number in range(1, 26)]
    job_id = go_on(engine, source)
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    control.cancel(engine.ctx, engine.tenant.caller, job_id)
    restart(engine, job_id)
    engine.run(job_id)
    assert versions(engine, job_id) == changed
    assert run_next(engine, job_id).record_count == 0


def test_no_more_is_remembered_than_may_come_again(engine: Engine, changing: ChangingVendor) -> None:
    job_id = engine.run(first(engine, filterDateField="changed")).id
    for day in range(1, 4):
        changing.wait(days=1)
        for number in range(1, 26):
            changing.put(100 * day + number, changing.now - timedelta(minutes=number))
        changed = run_next(engine, job_id)
        assert changed.record_count == 25
        job_id = run_next(engine, changed.id).id
        assert engine.one("select count(*)::int as n from chain_versions")["n"] == 6


def test_a_chain_is_remembered_as_long_as_one_of_its_jobs(engine: Engine, changing: ChangingVendor) -> None:
    changing.put(99, START.replace(year=2099))
    first_id = engine.run(first(engine, filterDateField="changed")).id
    second = run_next(engine, first_id).id
    engine.execute(
        "update jobs set files_deleted_at = now() - interval '91 days', sweep_orphans_at = null where id = %s", first_id
    )
    retention.forget_rows(engine.ctx)
    assert engine.rows("select 1 from jobs where id = %s", first_id) == []
    third = run_next(engine, second).id
    assert versions(engine, third) == []
    engine.execute("update jobs set files_deleted_at = now() - interval '91 days', sweep_orphans_at = null")
    retention.forget_rows(engine.ctx)
    for table in ("jobs", "continuations", "chain_marks", "chain_versions"):
        assert engine.rows(f"select 1 from {table}") == []


def test_jobs_without_a_date_field_keep_no_account(engine: Engine, changing: ChangingVendor) -> None:
    steps = engine.trace(first(engine))
    assert changing.call_count
    assert not any("chain" in name for name in steps)
    assert engine.rows("select 1 from chain_marks") == []
    assert engine.rows("select 1 from chain_versions") == []
