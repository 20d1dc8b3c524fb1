"""What is long for a job, and how it says what it waits for."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.stalls import CALLING, PageTimes, Stall, WaitsFor

THEN = datetime(2026, 11, 22, 12, tzinfo=UTC)
HELD = Stall(
    job_id=1,
    since=THEN,
    page_p95_s=0.5,
    worker_id=7,
    held_since=THEN,
    doing=None,
    doing_since=None,
    due_at=THEN,
    is_due=True,
    is_lease_over=False,
    wait_reason=None,
)


@given(st.lists(st.floats(min_value=0.001, max_value=700), min_size=1, max_size=900))
def test_nineteen_of_twenty_pages_took_at_most_the_percentile(seconds: list[float]) -> None:
    times = PageTimes()
    for each in seconds:
        times.add(each)
    exact = sorted(seconds)[math.ceil(len(seconds) * 0.95) - 1]
    assert times.p95_s is not None
    assert exact * 0.999 <= times.p95_s <= exact * math.sqrt(2) * 1.001


@given(st.lists(st.floats(min_value=0, max_value=1e9), max_size=3000))
def test_the_histogram_never_needs_more_room_and_survives(seconds: list[float]) -> None:
    times = PageTimes()
    for each in seconds:
        times.add(each)
    assert len(times.counts) == len(PageTimes().counts)
    assert max(times.counts) <= 1000
    assert PageTimes(times.counts).p95_s == times.p95_s


def test_the_percentile_follows_a_vendor_that_becomes_slow() -> None:
    times = PageTimes()
    for _ in range(100_000):
        times.add(0.01)
    for _ in range(200):
        times.add(5.0)
    assert times.p95_s is not None
    assert times.p95_s >= 5.0


def test_without_a_page_there_is_no_percentile() -> None:
    assert PageTimes().p95_s is None
    assert PageTimes([1, 2]).p95_s is None


FREE = replace(HELD, held_since=None, worker_id=None)
LATER = replace(FREE, is_due=False, due_at=THEN + timedelta(hours=1))


@pytest.mark.parametrize(
    ("stall", "waits_for", "words"),
    [
        (HELD, WaitsFor.WORKER, "held by worker 7 since 2026-11-22T12:00:00Z"),
        (
            replace(HELD, doing=CALLING, doing_since=THEN),
            WaitsFor.VENDOR,
            "a vendor call is under way since 2026-11-22T12:00:00Z",
        ),
        (replace(HELD, is_lease_over=True), WaitsFor.WORKER, "no sign of life"),
        (FREE, WaitsFor.SLOT, "waits for a free worker since 2026-11-22T12:00:00Z"),
        (
            replace(LATER, wait_reason="Vendor: HTTP 503"),
            WaitsFor.VENDOR,
            "until 2026-11-22T13:00:00Z: Vendor: HTTP 503",
        ),
        (replace(LATER, wait_reason="Storage: full"), WaitsFor.STORAGE, "until 2026-11-22T13:00:00Z: Storage: full"),
    ],
    ids=["held", "calling", "lease over", "due", "vendor", "storage"],
)
def test_it_says_what_it_waits_for(stall: Stall, waits_for: WaitsFor, words: str) -> None:
    assert stall.waits_for is waits_for
    assert words in stall.what
