"""What vendors do to a leg: failures, refusals, waits, pages that are too much."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.connectors.client import VendorClient
from app.db import queue, slices
from app.domain.jobs import JobStatus, StopReason
from app.http_client import Beat, Request, Response
from app.services import control
from tests.fakes.engine import Engine, assert_exact, broken, status

MakeEngine = Callable[..., Engine]
UNAVAILABLE = status(503, {"Retry-After": "0"})


# Failures of the vendor -----------------------------------------------------------------------------------------------


def test_a_passing_failure_costs_nothing_but_calls(make_engine: MakeEngine) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.serve(25)
    engine.vendor.script.extend([UNAVAILABLE, broken("cut"), status(500), broken("connect"), broken("dns")])
    job = engine.run(engine.submit())
    assert (job.status, job.call_count) == (JobStatus.COMPLETED, 9)
    assert_exact(engine, job.id)


@pytest.mark.parametrize("pages_per_leg", [1, None])
def test_fifteen_failures_at_one_position_abort_the_job(make_engine: MakeEngine, pages_per_leg: int | None) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.serve(25)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    engine.vendor.script.extend([UNAVAILABLE] * 50)

    job = engine.run(job_id, pages_per_leg=pages_per_leg)

    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR, True)
    assert job.error is not None
    assert "HTTP 503" in job.error
    assert "15 tries" in job.error
    assert engine.vendor.call_count == 2 + 15
    assert_exact(engine, job_id, last=20)

    engine.vendor.script.clear()
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)


def test_progress_gives_all_tries_back(make_engine: MakeEngine) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.serve(30)
    listed = engine.vendor.listing.request
    for _ in range(4):
        engine.vendor.script.extend([UNAVAILABLE] * 14)
        engine.vendor.script.append(listed)
    job = engine.run(engine.submit(), pages_per_leg=5)
    assert (job.status, job.call_count) == (JobStatus.COMPLETED, 60)
    assert_exact(engine, job.id)


def test_a_refusal_aborts_at_once_with_the_vendors_words(engine: Engine) -> None:
    engine.vendor.script.append(status(403, body=b'{"error": "no such scope"}'))
    job = engine.run(engine.submit())
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    assert job.error is not None
    assert "no such scope" in job.error
    assert engine.vendor.call_count == 1


@pytest.mark.parametrize("failures_before", [0, 3])
def test_refused_credentials_are_read_anew_once(make_engine: MakeEngine, failures_before: int) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.script.extend([*[UNAVAILABLE] * failures_before, status(401)])
    assert engine.run(engine.submit()).status is JobStatus.COMPLETED

    engine.vendor.serve(25)
    engine.vendor.script.extend([*[UNAVAILABLE] * failures_before, status(401), status(401)])
    job = engine.run(engine.submit())
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    assert engine.vendor.call_count == failures_before + 2


def test_an_instance_that_is_deleted_under_the_job_is_named_at_once(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(1))

    def delete(request: Request, _: Beat | None) -> Response:
        engine.execute("update instances set deleted_at = now() where id = %s", engine.tenant.instance_id)
        return status(401)(request, None)

    engine.vendor.script.append(delete)
    job = engine.run(job_id, legs=1)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.INSTANCE_GONE)
    assert_exact(engine, job_id, last=10)


@pytest.mark.parametrize("column", ["deleted_at", "disabled_at"])
def test_no_call_is_made_for_an_instance_that_is_gone(engine: Engine, column: str) -> None:
    job_id = engine.submit()
    engine.execute(f"update instances set {column} = now() where id = %s", engine.tenant.instance_id)
    job = engine.run(job_id, legs=1)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.INSTANCE_GONE)
    assert engine.vendor.call_count == 0


def test_credentials_that_nobody_can_decrypt_are_a_configuration_error(engine: Engine) -> None:
    job_id = engine.submit()
    engine.execute("update instances set secrets = 'garbage' where id = %s", engine.tenant.instance_id)
    job = engine.run(job_id, legs=1)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.CONFIG)
    assert job.error is not None
    assert "HAULAGE_ENCRYPTION_KEYS" in job.error


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_long_retry_after_holds_no_worker(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(1))
    engine.vendor.script.append(status(429, {"Retry-After": "600"}))
    before = datetime.now(UTC)

    engine.make_due(job_id)
    engine.leg(job_id)

    row = engine.slice(job_id)
    assert row["lease_expires_at"] is None
    assert timedelta(seconds=599) <= row["next_run_at"] - before <= timedelta(seconds=630)
    assert "429" in row["wait_reason"]
    with engine.plain_db.connection() as conn:
        waiting = queue.find_waiting(conn, job_id)
    assert waiting is not None
    assert (waiting.until, waiting.try_count) == (row["next_run_at"], 1)
    engine.leg(job_id)
    assert engine.vendor.call_count == 2, "a hint before the time does nothing"
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)


def test_a_short_wait_is_cut_by_a_deploy_and_finished_by_somebody_else(engine: Engine) -> None:
    engine.vendor.script.append(status(503, {"Retry-After": "1.9"}))
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(1))
    row = engine.slice(job_id)
    assert row["lease_expires_at"] is None
    assert row["next_run_at"] > datetime.now(UTC)
    assert row["try_count"] == 1


def test_a_cancel_ends_a_short_wait(engine: Engine) -> None:
    job_id = engine.submit()

    def refuse_and_cancel(request: Request, _: Beat | None) -> Response:
        control.cancel(engine.ctx, engine.tenant.caller, job_id)
        engine.execute("update slices set next_run_at = now()")
        return status(503, {"Retry-After": "1.8"})(request, None)

    engine.configure(lease_s=0.4)  # looks for a cancel four times as often as it lasts
    engine.vendor.script.append(refuse_and_cancel)
    engine.leg(job_id)
    assert engine.job(job_id).status is JobStatus.CANCELLED
    assert engine.vendor.call_count == 1


# Pages that are too much ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["page", "offset", "cursor", "link", "keyset"])
def test_a_page_that_is_too_large_is_asked_for_in_smaller_pieces(engine: Engine, kind: str) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit(engine.add_tenant(kind))
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    engine.vendor.script.extend([broken("too_large"), broken("too_large")])
    job = engine.run(job_id, pages_per_leg=1)
    assert job.status is JobStatus.COMPLETED
    assert_exact(engine, job_id)
    assert engine.slice(job_id)["page_size"] in {1, 2}


def test_a_single_record_that_is_too_large_ends_the_job_with_that_message(engine: Engine) -> None:
    engine.vendor.serve(57)
    engine.vendor.script.extend([broken("too_large")] * 20)
    job = engine.run(engine.submit())
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR)
    assert job.error is not None
    assert "too large" in job.error


def test_workers_that_die_five_times_at_one_position_end_the_job(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    engine.leg(job_id, is_stopping=engine.after_calls(2))
    for _ in range(5):
        with engine.plain_db.connection() as conn:
            assert slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30) is not None
        engine.lose_holder(job_id)
    calls = engine.vendor.call_count

    engine.leg(job_id)

    job = engine.job(job_id)
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.ABORTED, StopReason.CRASHES, True)
    assert job.error is not None
    assert "died 5 times" in job.error
    assert engine.vendor.call_count == calls
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)


def test_crashes_with_progress_between_them_end_nothing(engine: Engine) -> None:
    engine.vendor.serve(57)
    job_id = engine.submit()
    for _ in range(6):
        for _ in range(4):
            with engine.plain_db.connection() as conn:
                assert slices.claim(conn, engine.slice_of(job_id), worker_id=None, lease_s=30) is not None
            engine.lose_holder(job_id)
        engine.leg(job_id, is_stopping=engine.after_calls(1))
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)


def test_a_vendor_that_lost_records_of_a_half_delivered_page_is_followed(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit(limit=18)
    engine.run(job_id)
    engine.vendor.listing.count = 15
    control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id, last=18)


# Failures of our own --------------------------------------------------------------------------------------------------


def _fail(*_: object, **__: object) -> None:
    raise TypeError("a mistake of ours")


def test_a_mistake_of_ours_hands_back_and_is_tried_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    with monkeypatch.context() as patch:
        patch.setattr(VendorClient, "fetch", _fail)
        engine.leg(job_id)
    with engine.ctx.db.connection() as conn:
        waiting = queue.find_waiting(conn, job_id)
    assert waiting is None or waiting.try_count == 1
    engine.make_due(job_id)
    assert engine.run(job_id).status is JobStatus.COMPLETED
    assert_exact(engine, job_id)


def test_a_mistake_of_ours_at_every_try_ends_the_job_and_says_so(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(retry_base_s=0.0)
    engine.vendor.serve(25)
    job_id = engine.submit()
    monkeypatch.setattr(VendorClient, "start", _fail)
    job = engine.run(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.ABORTED, StopReason.CRASHES)
    assert job.error is not None
    assert "TypeError" in job.error
    assert "15 tries" in job.error
    assert "a mistake of ours" not in job.error


def test_a_total_that_differs_is_said_in_the_status(engine: Engine) -> None:
    engine.vendor.serve(25)
    job_id = engine.submit()
    engine.execute("update jobs set vendor_total = 27 where id = %s", job_id)
    assert engine.run(job_id).status_message == "Successfully downloaded 25 records, but the vendor's total is 27"
