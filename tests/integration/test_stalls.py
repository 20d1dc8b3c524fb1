"""Jobs that make no progress say what they wait for: in their status, in the gauges and in the sweeper's log."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.bulk_schemas import StatusSchema
from app.api.metrics import exposition
from app.domain.stalls import Stall, WaitsFor
from app.domain.status_document import status_document
from app.http_client import Beat, Request, Response
from app.services import listing
from app.services.health import HealthCheck
from app.services.stalls import StallWatch
from tests.fakes.engine import Engine, doing, status
from tests.fakes.steps import Killed

MakeEngine = Callable[..., Engine]


def stall_of(engine: Engine, job_id: int) -> Stall | None:
    return listing.get_progress(engine.ctx, engine.tenant.caller, job_id).stall


def age(engine: Engine, job_id: int, seconds: float) -> None:
    """The last progress was so much earlier."""
    engine.execute(
        "update slices set progressed_at = progressed_at - make_interval(secs => %s) where job_id = %s",
        seconds,
        job_id,
    )


def told(engine: Engine, job_id: int) -> dict[str, Any]:
    found = listing.get_progress(engine.ctx, engine.tenant.caller, job_id)
    document = status_document(found.job, engine.ctx.now(), found.waiting, found.stall)
    assert StatusSchema().validate(document) == {}
    return document


def begun(engine: Engine, pages: int = 1) -> int:
    """A job that has delivered pages and was handed back."""
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(pages))
    return job_id


def test_a_job_stands_still_by_its_own_measure(engine: Engine) -> None:
    job_id = begun(engine, 2)
    row = engine.slice(job_id)
    assert sum(row["page_times"]) == 2
    engine.execute("update slices set page_p95_s = 20 where job_id = %s", job_id)
    age(engine, job_id, 100)
    assert stall_of(engine, job_id) is None
    age(engine, job_id, 101)
    stall = stall_of(engine, job_id)
    assert stall is not None
    assert stall.since == engine.slice(job_id)["progressed_at"]


def test_page_times_outlive_a_crash(engine: Engine) -> None:
    job_id = begun(engine, 1)
    names = engine.trace(begun(engine, 1), is_stopping=engine.after_calls(1))
    engine.vendor.serve(25)
    engine.steps.arm(len(names) - 1)
    with pytest.raises(Killed):
        engine.leg(job_id, is_stopping=engine.after_calls(1))
    engine.steps.arm(-1)
    engine.lose_holder(job_id)
    engine.leg(job_id, is_stopping=engine.after_calls(1))
    assert sum(engine.slice(job_id)["page_times"]) == 3


def test_a_fast_job_is_not_told_of_before_some_seconds(make_engine: MakeEngine) -> None:
    engine = make_engine(stall_least_s=30.0)
    job_id = begun(engine)
    age(engine, job_id, 20)
    assert stall_of(engine, job_id) is None
    age(engine, job_id, 20)
    assert stall_of(engine, job_id) is not None


def test_progress_of_one_slice_is_progress_of_the_job(engine: Engine) -> None:
    job_id = begun(engine)
    age(engine, job_id, 1000)
    engine.execute(
        "insert into slices (job_id, run_number, number, organisation_id, instance_id, page_size, next_run_at)"
        " select job_id, run_number, 2, organisation_id, instance_id, page_size, now() from slices where job_id = %s",
        job_id,
    )
    assert stall_of(engine, job_id) is None
    age(engine, job_id, 1000)
    assert stall_of(engine, job_id) is not None


def test_a_job_that_waits_for_a_free_worker_says_so(engine: Engine) -> None:
    job_id = begun(engine)
    age(engine, job_id, 1000)
    document = told(engine, job_id)
    assert document["stalled"]["waitsFor"] == "slot"
    assert "no progress since" in document["statusMessage"]
    assert "waits for a free worker" in document["statusMessage"]


def test_a_job_that_waits_for_the_vendor_says_until_when(engine: Engine) -> None:
    job_id = begun(engine)
    engine.vendor.script.append(status(503, {"Retry-After": "3000"}))
    engine.leg(job_id)
    age(engine, job_id, 1000)
    document = told(engine, job_id)
    assert document["stalled"]["waitsFor"] == "vendor"
    assert "HTTP 503" in document["stalled"]["what"]
    assert document["statusMessage"].count("waiting until") == 1
    assert "no progress since" in document["statusMessage"]


def test_a_job_whose_call_hangs_says_who_waits_since_when(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's signs of life tell what it does."""
    monkeypatch.setattr("app.services.lease._LOOK_S", 0.0)
    job_id = begun(engine)
    seen: list[Stall | None] = []

    def hang(request: Request, beat: Beat | None) -> Response:
        assert beat is not None
        assert beat()
        age(engine, job_id, 1000)
        seen.append(stall_of(engine, job_id))
        return engine.vendor.listing.request(request, beat)

    engine.vendor.script.append(hang)
    engine.leg(job_id)
    stall = seen[0]
    assert stall is not None
    assert stall.waits_for is WaitsFor.VENDOR
    assert stall.what.startswith("held by worker 1 since")
    assert "a vendor call is under way since" in stall.what


def test_a_job_whose_worker_died_says_so(engine: Engine) -> None:
    job_id = begun(engine)

    def look() -> None:
        engine.lose_holder(job_id)
        age(engine, job_id, 1000)
        stall = stall_of(engine, job_id)
        assert stall is not None
        assert (stall.waits_for, "no sign of life" in stall.what) == (WaitsFor.WORKER, True)

    engine.vendor.script.append(doing(look, engine.vendor))
    engine.leg(job_id)


def test_an_ended_job_does_not_stand_still(engine: Engine) -> None:
    job = engine.run(engine.submit())
    age(engine, job.id, 1000)
    assert "stalled" not in told(engine, job.id)
    assert HealthCheck(engine.ctx).figures().stalled == {}


def test_the_gauges_count_by_reason(engine: Engine) -> None:
    for _ in range(2):
        age(engine, begun(engine), 1000)
    engine.submit()
    assert HealthCheck(engine.ctx).figures().stalled == {"slot": 2}
    text = exposition(HealthCheck(engine.ctx).figures()).decode()
    assert 'haulage_jobs_stalled{waits_for="slot"} 2.0' in text
    assert 'haulage_jobs_stalled{waits_for="storage"} 0.0' in text


def test_the_sweeper_tells_once_of_each_stall(engine: Engine) -> None:
    job_id = begun(engine)
    age(engine, job_id, 1000)
    watch = StallWatch(engine.ctx)
    with capture_logs() as lines:
        assert (watch.look(), watch.look()) == (1, 1)
    assert [(line["event"], line["job"], line["waits_for"]) for line in lines] == [("job.stalled", job_id, "slot")]

    engine.leg(job_id, is_stopping=engine.after_calls(1))
    assert watch.look() == 0
    age(engine, job_id, 1000)
    with capture_logs() as lines:
        watch.look()
    assert len(lines) == 1


def test_a_capped_page_size_and_the_promise_of_paging_are_in_the_evidence(engine: Engine) -> None:
    capped = engine.add_tenant("offset", page={"size_max": 10})
    job = engine.run(engine.submit(capped, page_size=50))
    line = status_document(job, engine.ctx.now())["metadata"]["evidence"]
    assert "pages of 10 instead of 50, the vendor's maximum" in line
    assert "PAGES ARE ASKED FOR BY OFFSET" in line
    job = engine.run(engine.submit(engine.add_tenant("cursor"), page_size=10))
    line = status_document(job, engine.ctx.now())["metadata"]["evidence"]
    assert "instead" not in line
    assert "twice" not in line
