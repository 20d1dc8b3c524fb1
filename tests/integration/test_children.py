"""Jobs with `child`: what is nested, what is asked of the vendor, and any moment of crash, failure or limit."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.domain.criteria import Child
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import evidence_line
from app.errors import InvalidInputError
from app.services import control
from tests.fakes.engine import Answer, Engine, broken, status
from tests.fakes.family import LOST, Family, family_document, with_account, with_notes
from tests.fakes.steps import Killed, cut

MakeEngine = Callable[..., Engine]
COUNT = 25
ACCOUNTS = Child("accounts", "id")
NOTES = Child("notes", "id")
READINGS = [pytest.param(ACCOUNTS, with_account, id="referenced"), pytest.param(NOTES, with_notes, id="listed")]
Nested = Callable[[int], bytes]


def family(engine: Engine, kind: str = "page", count: int = COUNT) -> Engine:
    engine.tenant = engine.add_tenant_of(family_document(kind))
    serve(engine, count)
    return engine


def serve(engine: Engine, count: int = COUNT) -> Family:
    engine.vendor.serve(count)
    engine.vendor.listing = made = Family(count)
    return made


@pytest.fixture
def engine(paced_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr("app.services.lease._PAUSE_S", 0.001)
    return family(paced_engine)


def lines(nested: Nested, *numbers: int) -> bytes:
    return b"".join(nested(number) + b"\n" for number in numbers or range(1, COUNT + 1))


def looked_up(engine: Engine) -> dict[str, int]:
    assert isinstance(engine.vendor.listing, Family)
    return dict(engine.vendor.listing.looked_up)


@pytest.mark.parametrize("kind", ["page", "offset", "cursor", "link"])
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_each_record_gets_what_belongs_to_it(make_engine: MakeEngine, kind: str, child: Child, nested: Nested) -> None:
    engine = family(make_engine(checkpoint_s=0.0001), kind)
    job = engine.run(engine.submit(child=child))
    assert engine.output(job.id) == lines(nested)
    assert job.call_count == engine.vendor.call_count
    assert job.record_count == COUNT


def test_each_account_is_asked_for_once(engine: Engine) -> None:
    job = engine.run(engine.submit(child=ACCOUNTS))
    assert looked_up(engine) == {f"accounts/{number}": 1 for number in range(1, 7)}
    assert (job.child_count, job.child_missing_count) == (5, len([n for n in range(1, COUNT + 1) if n % 7 == LOST]))
    assert job.page_count == engine.vendor.call_count - 6
    assert "accounts nested by 5 look-ups, 4 NOT FOUND" in evidence_line(job)


def test_lists_of_children_are_read_to_their_end(engine: Engine) -> None:
    job = engine.run(engine.submit(child=NOTES))
    calls = looked_up(engine)
    assert {name: count for name, count in calls.items() if count > 1} == {
        f"records/{number}/notes": 2 for number in range(1, COUNT + 1) if number % 4 and number != LOST
    }
    assert job.child_missing_count == 1
    assert job.child_count == COUNT - 1


def test_no_child_is_asked_for_of_records_that_are_left_out(engine: Engine) -> None:
    job = engine.run(engine.submit(child=NOTES, limit=7))
    assert engine.output(job.id) == lines(with_notes, *range(1, 8))
    assert {int(name.split("/")[1]) for name in looked_up(engine)} == set(range(1, 8))

    serve(engine)
    window: dict[str, Any] = {"date_from": "1970-01-01T00:00:20Z", "filter_date_field": "id"}
    job = engine.run(engine.submit(child=NOTES, **window))
    assert engine.output(job.id) == lines(with_notes, *range(20, COUNT + 1))
    assert {int(name.split("/")[1]) for name in looked_up(engine)} == set(range(20, COUNT + 1))
    assert job.filtered_count + job.undated_count == 19


def test_fields_of_children_are_chosen_and_their_nulls_dropped(engine: Engine) -> None:
    job = engine.run(engine.submit(child=ACCOUNTS, select_fields=("id", "account"), filter_nulls=True))
    found = [json.loads(line) for line in engine.output(job.id).splitlines()]
    assert found[0] == {"id": 1, "account": {"id": "1", "size": 1.5}}
    assert found[6] == {"id": 7}


@pytest.mark.parametrize("api_limit", [2, 3, 5, 12, 19])
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_an_api_limit_inside_a_page_loses_and_doubles_nothing(
    engine: Engine, api_limit: int, child: Child, nested: Nested
) -> None:
    """Of each run exactly so many calls, until nothing is left."""
    if child is NOTES and api_limit == 2:
        api_limit = 4  # a record with two pages of notes takes one more
    job_id = engine.submit(child=child, api_limit=api_limit)
    for run in range(1, 100):
        before = engine.vendor.call_count
        job = engine.run(job_id)
        assert engine.vendor.call_count == job.call_count + job.calls_written_off
        assert job.status is JobStatus.COMPLETED
        if job.stop_reason is StopReason.EXHAUSTED:
            break
        assert engine.vendor.call_count - before == api_limit, run
        control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert engine.output(job_id) == lines(nested)
    assert job.record_count == COUNT


@pytest.mark.parametrize("pages_per_leg", [1, 4, None])
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_legs_end_between_records(engine: Engine, pages_per_leg: int | None, child: Child, nested: Nested) -> None:
    job = engine.run(engine.submit(child=child), pages_per_leg=pages_per_leg)
    assert engine.output(job.id) == lines(nested)


@pytest.mark.parametrize("strike", ["killed", "cut"])
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_a_strike_at_any_step_neither_loses_nor_doubles_a_record(
    engine: Engine, strike: str, child: Child, nested: Nested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.nesting._TOGETHER_BYTES", 1)  # records go on one by one
    names = engine.trace(engine.submit(child=child, limit=12, api_limit=90))
    for number in range(0, len(names), 3):
        serve(engine)
        job_id = engine.submit(child=child, limit=12, api_limit=90)
        if strike == "cut":
            engine.steps.arm(number, cut)
            engine.leg(job_id)
        else:
            engine.steps.arm(number)
            with contextlib.suppress(Killed):
                engine.leg(job_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        job = engine.job(job_id) if engine.job(job_id).status.is_terminal else engine.run(job_id)
        assert engine.output(job_id) == lines(nested, *range(1, 13)), (number, names[number])
        assert engine.vendor.call_count <= 90
        if strike == "cut":
            assert job.call_count == engine.vendor.call_count, (number, names[number])


@pytest.mark.parametrize("failure", [broken("timeout"), broken("cut"), status(500), status(429)])
@pytest.mark.parametrize(("child", "nested"), READINGS)
def test_a_look_up_that_fails_is_tried_again_and_its_page_is_not(
    make_engine: MakeEngine, child: Child, nested: Nested, failure: Answer
) -> None:
    engine = family(make_engine(retry_base_s=0.0))
    needed = engine.run(engine.submit(child=child)).call_count
    engine.vendor.script.extend([engine.vendor.listing.request, failure])
    job = engine.run(engine.submit(child=child))
    assert engine.output(job.id) == lines(nested)
    assert job.call_count == needed + 1
    assert job.page_count == 4


def test_children_too_large_to_read_abort_the_job(engine: Engine) -> None:
    engine.vendor.script.extend([engine.vendor.listing.request, broken("too_large")])
    job = engine.run(engine.submit(child=NOTES))
    assert job.status is JobStatus.ABORTED
    assert "Child notes: The page is too large" in str(job.error)


def test_fifteen_failures_at_one_child_abort_and_a_restart_goes_on(make_engine: MakeEngine) -> None:
    engine = family(make_engine(retry_base_s=0.0))
    listed = engine.vendor.listing.request
    engine.vendor.script.extend([listed, listed, *[status(500)] * 20])
    job_id = engine.submit(child=ACCOUNTS)
    job = engine.run(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    assert "Child accounts: HTTP 500" in str(job.error)
    assert "15 tries" in str(job.error)
    assert engine.output(job_id) == lines(with_account, 1)
    engine.vendor.script.clear()
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    engine.run(job_id)
    assert engine.output(job_id) == lines(with_account)


def test_refused_credentials_are_read_anew_once_for_a_child(make_engine: MakeEngine) -> None:
    engine = family(make_engine(retry_base_s=0.0))
    listed = engine.vendor.listing.request
    engine.vendor.script.extend([listed, status(401)])
    job = engine.run(engine.submit(child=ACCOUNTS))
    assert engine.output(job.id) == lines(with_account)
    engine.vendor.script.extend([listed, status(401), status(401)])
    assert engine.run(engine.submit(child=ACCOUNTS)).status is JobStatus.ABORTED


@pytest.mark.parametrize("most", [1, 3])
def test_so_many_look_ups_are_under_way_at_once(make_engine: MakeEngine, most: int) -> None:
    engine = family(make_engine(checkpoint_s=0.0001, calls_ahead=most))
    under_way = seen = 0
    start = engine.vendor.start

    def watched(request: Any) -> Any:
        nonlocal under_way, seen
        under_way += 1
        seen = max(seen, under_way)
        call = start(request)
        result = call.result

        def counted(beat: Any = None) -> Any:
            nonlocal under_way
            under_way -= 1
            return result(beat)

        call.result = counted  # type: ignore[method-assign]
        return call

    engine.vendor.start = watched  # type: ignore[method-assign]
    job = engine.run(engine.submit(child=NOTES))
    assert engine.output(job.id) == lines(with_notes)
    assert seen == most


def test_a_list_too_long_for_one_record_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.children._LONGEST_BYTES", 60)
    job = engine.run(engine.submit(child=NOTES))
    assert job.status is JobStatus.ABORTED
    assert "The notes of one record (2) are more than" in str(job.error)


def test_what_is_forgotten_is_asked_for_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.children._KNOWN_BYTES", 1)
    job = engine.run(engine.submit(child=ACCOUNTS))
    assert engine.output(job.id) == lines(with_account)
    assert looked_up(engine)["accounts/1"] == 4


@pytest.mark.parametrize(
    ("criteria", "field", "told"),
    [
        ({"child": Child("nothing", "id")}, "/child/objectName", "accepted: accounts, notes"),
        ({"child": Child("records", "id")}, "/child/objectName", "accepted: accounts, notes"),
        ({"child": Child("notes", "kind")}, "/child/parentPrimaryKeyFieldName", "accepted: id"),
        ({"child": ACCOUNTS, "api_limit": 1}, "/apiLimit", "2 calls"),
        ({"object_name": "notes"}, "objectName", "'records' with 'notes' as `child`"),
        ({"object_name": "accounts", "child": NOTES}, "/child/objectName", "accepted: accounts"),
    ],
)
def test_what_cannot_be_is_refused_at_once(engine: Engine, criteria: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told) as caught:
        engine.submit(**criteria)
    assert caught.value.field == field
    assert engine.one("select count(*)::int as n from jobs")["n"] == 0


def test_what_changed_since_a_job_with_children_cannot_be_told(engine: Engine) -> None:
    """Its records are delivered apart from their page, so no account is kept; going on where it stopped works."""
    dated: dict[str, Any] = {"date_from": "2000-01-01", "filter_date_field": "changed"}
    whole = engine.run(engine.submit(child=ACCOUNTS, **dated))
    with pytest.raises(InvalidInputError, match="jobs with child keep no account") as caught:
        engine.submit(object_name="", continue_from_job_id=whole.id, given=frozenset({"continueFromJobId"}))
    assert caught.value.field == "/child"
    some = engine.run(engine.submit(child=ACCOUNTS, limit=7))
    rest = engine.submit(
        object_name="", continue_from_job_id=some.id, limit=90, given=frozenset({"continueFromJobId", "limit"})
    )
    engine.run(rest)
    whole = engine.run(engine.submit(child=ACCOUNTS))
    assert engine.output(some.id) + engine.output(rest) == engine.output(whole.id)
