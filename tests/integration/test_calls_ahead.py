"""Several vendor calls under way at once: order, exactness, and never a call too many."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from app.domain.jobs import JobStatus, StopReason
from app.http_client import Beat, Request, Response
from tests.fakes.engine import Engine, assert_exact, status
from tests.fakes.list_vendor import ListVendor
from tests.fakes.sending import Unread

TOTAL = {"total": "/total", "total_is": "exact"}


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine(checkpoint_s=0.0001, calls_ahead=4)


class Vendor:
    """Watches how many calls are under way, at a vendor that takes its time."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self.open = self.most_open = 0
        self.begun: list[Unread] = []
        start = engine.vendor.start
        result, abandon = Unread.result, Unread.abandon

        def counted(request: Request) -> Unread:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self.begun.append(start(request))
            return self.begun[-1]

        def ended(unread: Unread, beat: Beat | None = None) -> Response:
            self.open -= 1
            return structs.replace(result(unread, beat), elapsed_s=0.05)

        def dropped(unread: Unread) -> None:
            self.open -= 1
            abandon(unread)

        monkeypatch.setattr(engine.vendor, "start", counted)
        monkeypatch.setattr(Unread, "result", ended)
        monkeypatch.setattr(Unread, "abandon", dropped)


@pytest.fixture
def vendor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    return Vendor(engine, monkeypatch)


@pytest.mark.parametrize("kind", ["page", "page_from_0", "offset"])
@pytest.mark.parametrize("exact", [True, False])
def test_pages_are_asked_for_ahead_and_taken_in_order(engine: Engine, vendor: Vendor, kind: str, exact: bool) -> None:
    engine.vendor.serve(95, total=95)
    stated = TOTAL if exact else {"total": "/total"}
    job = engine.run(engine.submit(engine.add_tenant(kind, **stated)))
    assert_exact(engine, job.id)
    assert vendor.most_open == 4
    assert job.call_count == engine.vendor.call_count == (10 if exact else 11)


@pytest.mark.parametrize("kind", ["cursor", "next_url", "keyset"])
def test_where_only_the_vendor_knows_the_next_page_one_call_is_under_way(
    engine: Engine, vendor: Vendor, kind: str
) -> None:
    engine.vendor.serve(95, total=95)
    job = engine.run(engine.submit(engine.add_tenant(kind, total="/total")))
    assert_exact(engine, job.id)
    assert vendor.most_open == 1


def test_without_a_total_nothing_is_guessed(engine: Engine, vendor: Vendor) -> None:
    engine.vendor.serve(95)
    job = engine.run(engine.submit(engine.add_tenant("page")))
    assert_exact(engine, job.id)
    assert (vendor.most_open, job.call_count) == (1, 11)


def test_the_page_size_is_learnt_from_the_first_page(engine: Engine, vendor: Vendor) -> None:
    """The vendor cuts to 4 a page without a word; guesses go by what came."""
    engine.vendor.serve(30, total=30, page_max=4)
    job = engine.run(engine.submit(engine.add_tenant("offset", **TOTAL)))
    assert_exact(engine, job.id)
    assert vendor.most_open == 4
    assert not any(call.is_abandoned for call in vendor.begun)
    assert job.call_count == 8


@pytest.mark.parametrize(
    ("criteria", "needed", "last"),
    [
        ({"limit": 20}, 2, 20),
        ({"limit": 41}, 5, 41),
        ({"api_limit": 3}, 3, 30),
        ({"api_limit": 7, "limit": 35}, 4, 35),
        ({"api_limit": 100}, 10, 95),
    ],
)
def test_limits_stay_exact(engine: Engine, vendor: Vendor, criteria: dict[str, Any], needed: int, last: int) -> None:
    engine.vendor.serve(95, total=95)
    job = engine.run(engine.submit(engine.add_tenant("page", **TOTAL), **criteria))
    assert_exact(engine, job.id, last=last)
    assert (job.call_count, engine.vendor.call_count, job.calls_written_off) == (needed, needed, 0)
    assert not any(call.is_abandoned for call in vendor.begun)


def test_with_an_api_limit_only_an_exact_total_is_trusted(engine: Engine, vendor: Vendor) -> None:
    engine.vendor.serve(95, total=400)
    job = engine.run(engine.submit(engine.add_tenant("page", total="/total"), api_limit=50))
    assert (job.call_count, vendor.most_open) == (engine.vendor.call_count, 1)


def test_a_failed_call_is_made_again_and_those_behind_it_are_kept(engine: Engine, vendor: Vendor) -> None:
    engine.vendor.serve(95, total=95)
    serve = engine.vendor.listing.request
    engine.vendor.script.extend([serve, serve, status(500), serve, serve])
    engine.configure(retry_base_s=0.001)
    job = engine.run(engine.submit(engine.add_tenant("page", **TOTAL)))
    assert_exact(engine, job.id)
    assert job.status is JobStatus.COMPLETED
    assert not any(call.is_abandoned for call in vendor.begun)
    assert job.call_count == engine.vendor.call_count == 11


def test_a_stop_takes_what_is_under_way_and_wastes_nothing(engine: Engine, vendor: Vendor) -> None:
    engine.vendor.serve(195, total=195)
    job_id = engine.submit(engine.add_tenant("page", **TOTAL), api_limit=50)
    while engine.job(job_id).status is not JobStatus.COMPLETED:
        begun = len(vendor.begun)
        engine.leg(job_id, is_stopping=lambda begun=begun: len(vendor.begun) >= begun + 5)  # type: ignore[misc]
        assert vendor.open == 0
    assert_exact(engine, job_id)
    job = engine.job(job_id)
    assert (job.call_count, job.calls_written_off, job.stop_reason) == (20, 0, StopReason.EXHAUSTED)
    assert not any(call.is_abandoned for call in vendor.begun)


def test_a_list_that_shrinks_meanwhile_ends_right(engine: Engine, vendor: Vendor) -> None:
    """Guesses beyond the new end come to nothing."""
    engine.vendor.serve(95, total=95)
    serve = engine.vendor.listing.request

    def shrink(request: Request, beat: Beat | None) -> Response:
        engine.vendor.listing.count = engine.vendor.listing.total = 35
        return serve(request, beat)

    engine.vendor.script.extend([serve, serve, shrink])
    job = engine.run(engine.submit(engine.add_tenant("page", **TOTAL)))
    assert (job.status, job.record_count) == (JobStatus.COMPLETED, 35)
    assert vendor.open == 0
    assert job.call_count == engine.vendor.call_count


@pytest.mark.parametrize(("api_limit", "spare"), [(None, 3), (50, 0), (9, 0)])
def test_pages_of_uneven_length_waste_no_call_of_an_api_limit(
    engine: Engine, vendor: Vendor, api_limit: int | None, spare: int
) -> None:
    """The place behind a short page is another one than was guessed; without an apiLimit that is learnt once a leg."""
    engine.vendor.serve(95, total=95)
    engine.vendor.listing = UnevenVendor(95, total=95)
    job = engine.run(engine.submit(engine.add_tenant("offset", **TOTAL), api_limit=api_limit))
    assert_exact(engine, job.id, last=job.record_count)
    assert job.call_count == engine.vendor.call_count
    needed = min(18, api_limit or 18)
    assert job.page_count == needed
    assert needed <= job.call_count <= needed + spare


class UnevenVendor(ListVendor):
    """From the fourth page on it gives fewer records than were asked for."""

    def _answer(self, ids: range, size: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        count = size if ids.start <= 30 else 4 + ids.start % 3
        return super()._answer(ids[:count], size)


def test_pages_that_grow_waste_no_call_that_is_under_way(engine: Engine, vendor: Vendor) -> None:
    """Fewer are begun from then on: what is asked for already comes all the same."""
    engine.vendor.serve(95, total=95)
    serve = engine.vendor.listing.request

    def long(request: Request, beat: Beat | None) -> Response:
        response = serve(request, beat)
        return structs.replace(response, body=response.body + b" " * 5_000_000)

    engine.vendor.script.extend([serve, serve, *[long] * 8])
    job = engine.run(engine.submit(engine.add_tenant("page", **TOTAL), api_limit=10))
    assert_exact(engine, job.id)
    assert (job.call_count, engine.vendor.call_count, job.stop_reason) == (10, 10, StopReason.EXHAUSTED)
