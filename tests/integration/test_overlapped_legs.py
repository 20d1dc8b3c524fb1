"""A leg that asks for the next page before the last one is stored: what it gains, and what it must not lose."""

from collections.abc import Callable

import pytest
from msgspec import structs

from app.domain.jobs import JobStatus, StopReason
from app.errors import StorageFullError
from app.http_client import Beat, Request, Response
from app.services import control
from tests.fakes.engine import Engine, assert_exact
from tests.fakes.sending import Unread
from tests.fixtures.waiting import wait_until


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine(checkpoint_s=0.0001)


@pytest.fixture
def calls(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Unread]:
    """Every call that is begun."""
    begun: list[Unread] = []
    start = engine.vendor.start

    def recording(request: Request) -> Unread:
        begun.append(start(request))
        return begun[-1]

    monkeypatch.setattr(engine.vendor, "start", recording)
    return begun


def slow(engine: Engine) -> Callable[[Request, Beat | None], Response]:
    """The list, from a vendor that takes its time."""
    return lambda request, beat: structs.replace(engine.vendor.listing.request(request, beat), elapsed_s=0.05)


def test_the_next_page_is_on_its_way_before_the_last_one_is_stored(engine: Engine) -> None:
    engine.vendor.serve(25)
    names = engine.trace(engine.submit())
    assert names[: names.index("before put")].count("before call") >= 2


def test_a_page_behind_the_last_one_is_never_asked_for(engine: Engine) -> None:
    engine.vendor.serve(25)
    for criteria, needed in (({}, 3), ({"limit": 20}, 2), ({"limit": 11}, 2), ({"api_limit": 2}, 2)):
        engine.vendor.call_count = 0
        job = engine.run(engine.submit(engine.add_tenant("cursor"), **criteria))
        assert (job.call_count, engine.vendor.call_count) == (needed, needed), criteria


def test_what_a_slow_vendor_gave_counts_before_its_next_page_is_there(engine: Engine) -> None:
    engine.vendor.serve(40)
    job_id = engine.submit()
    committed: list[int] = []

    def look(request: Request, beat: Beat | None) -> Response:
        committed.append(engine.job(job_id).record_count)
        return slow(engine)(request, beat)

    engine.vendor.script.extend([look] * 4)
    engine.run(job_id)
    assert committed == [0, 10, 20, 30]


def test_what_is_stored_counts_while_the_vendor_keeps_silent(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()

    def silent(request: Request, beat: Beat | None) -> Response:
        assert beat is not None
        wait_until(lambda: beat() and engine.job(job_id).record_count == 10, "the first page to count")
        return engine.vendor.listing.request(request, beat)

    engine.vendor.script.extend([engine.vendor.listing.request, silent])
    assert engine.run(job_id).status is JobStatus.COMPLETED


def test_a_call_under_way_is_broken_off_when_the_store_fails(
    engine: Engine, calls: list[Unread], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.vendor.serve(57)
    put = engine.ctx.store.put
    failures = [StorageFullError("the store is full")]

    def full_once(*args: object) -> None:
        if failures:
            raise failures.pop()
        put(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.ctx.store, "put", full_once)
    engine.vendor.script.extend([slow(engine)] * 20)
    job_id = engine.submit(api_limit=20)

    engine.leg(job_id)

    assert [call.is_abandoned for call in calls] == [False, True]
    assert engine.slice(job_id)["wait_reason"] == "Storage: the store is full"
    job = engine.run(job_id)
    assert (job.status, job.call_count) == (JobStatus.COMPLETED, engine.vendor.call_count)
    assert_exact(engine, job_id)


def test_a_call_under_way_is_broken_off_by_a_cancel_and_stays_counted(engine: Engine, calls: list[Unread]) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()

    def cancel(request: Request, beat: Beat | None) -> Response:
        control.cancel(engine.ctx, engine.tenant.caller, job_id)
        return slow(engine)(request, beat)

    engine.vendor.script.extend([slow(engine), cancel])

    engine.leg(job_id)

    job = engine.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.CANCELLED, StopReason.CANCELLED)
    assert [call.is_abandoned for call in calls] == [False, False, True]
    assert job.call_count == engine.vendor.call_count == 3
    assert_exact(engine, job_id, last=20)


@pytest.mark.parametrize("api_limit", [None, 20])
def test_a_call_that_was_begun_and_never_sent_is_not_counted(
    engine: Engine, calls: list[Unread], api_limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was still coming about when the leg ended."""
    engine.vendor.serve(57)
    job_id = engine.submit(api_limit=api_limit)
    start = engine.vendor.start

    def start_late(request: Request) -> Unread:
        call = start(request)
        call.is_sent = len(calls) < 3
        return call

    def cancel(request: Request, beat: Beat | None) -> Response:
        control.cancel(engine.ctx, engine.tenant.caller, job_id)
        return slow(engine)(request, beat)

    monkeypatch.setattr(engine.vendor, "start", start_late)
    engine.vendor.script.extend([slow(engine), cancel])

    engine.leg(job_id)

    assert [(call.is_sent, call.is_abandoned) for call in calls] == [(True, False), (True, False), (False, True)]
    assert (engine.job(job_id).call_count, engine.job(job_id).calls_written_off) == (2, 0)
    reserved = engine.one("select calls_reserved from runs where job_id = %s", job_id)["calls_reserved"]
    assert reserved == (2 if api_limit else 0)


def test_a_stop_takes_the_page_that_is_under_way_and_asks_for_no_other(engine: Engine, calls: list[Unread]) -> None:
    engine.vendor.serve(60)
    job_id = engine.submit(api_limit=50)
    for begun in (2, 4, 6):
        engine.leg(job_id, is_stopping=lambda begun=begun: len(calls) >= begun)  # type: ignore[misc]
        assert len(calls) == begun
        assert_exact(engine, job_id, last=10 * begun)
    assert not any(call.is_abandoned for call in calls)
    assert engine.job(job_id).calls_written_off == 0
