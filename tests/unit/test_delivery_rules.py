"""What an answer of a receiver means, and when the next attempt is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import Settings
from app.domain.deliveries import Answer, DeliveryStatus, Outcome, event_id, judge, retry_after_s, worker_lost

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SCHEDULE_S = Settings().callback_schedule_s
DAY_S = 86400.0
DICE = st.floats(0, 1, exclude_max=True)
FAILURES = st.integers(100, 599).filter(lambda status: status // 100 != 2 and status != 410)


def outcome_of(answer: Answer, failed_count: int = 0, dice: float = 0.0) -> Outcome:
    return judge(answer, failed_count=failed_count, schedule_s=SCHEDULE_S, now=NOW, dice=dice)


@given(st.integers(200, 299), st.integers(0, 30), DICE)
def test_any_2xx_delivers_at_any_attempt(status: int, failed_count: int, dice: float) -> None:
    assert outcome_of(Answer(0.1, status), failed_count, dice) == Outcome(DeliveryStatus.DELIVERED, status)


@given(FAILURES, st.integers(0, len(SCHEDULE_S) - 2), DICE)
def test_any_other_answer_waits_as_scheduled_plus_up_to_a_fifth(status: int, failed_count: int, dice: float) -> None:
    outcome = outcome_of(Answer(0.1, status), failed_count, dice)
    scheduled_s = SCHEDULE_S[failed_count + 1]
    assert outcome.status is DeliveryStatus.PENDING
    assert outcome.wait_s is not None
    assert scheduled_s <= outcome.wait_s <= scheduled_s * 1.2


@given(FAILURES, st.integers(len(SCHEDULE_S) - 1, 100), DICE)
def test_after_the_last_scheduled_attempt_it_has_failed(status: int, failed_count: int, dice: float) -> None:
    outcome = outcome_of(Answer(0.1, status, retry_after="1"), failed_count, dice)
    assert (outcome.status, outcome.wait_s) == (DeliveryStatus.FAILED, None)


def test_ten_attempts_over_about_three_days_are_made() -> None:
    waits_s, failed_count = [], 0
    while (outcome := outcome_of(Answer(0.1, 500), failed_count)).wait_s is not None:
        waits_s.append(outcome.wait_s)
        failed_count += 1
    assert waits_s == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert timedelta(days=3) <= timedelta(seconds=sum(waits_s)) <= timedelta(days=3.5)


@given(st.integers(0, 100))
def test_410_stops_at_once(failed_count: int) -> None:
    outcome = outcome_of(Answer(0.1, 410), failed_count)
    assert (outcome.status, outcome.wait_s) == (DeliveryStatus.STOPPED, None)
    assert "410" in str(outcome.error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_that_says_what_to_do(status: int) -> None:
    outcome = outcome_of(Answer(0.1, status))
    assert outcome.status is DeliveryStatus.PENDING
    assert f"{status}: redirects are not followed" in str(outcome.error)


def test_no_answer_is_a_failure_with_its_reason() -> None:
    outcome = outcome_of(Answer(20.0, error="No connection to the receiver example.com:443."))
    assert (outcome.status, outcome.http_status, outcome.wait_s) == (DeliveryStatus.PENDING, None, 5.0)
    assert outcome.error == "No connection to the receiver example.com:443."


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("retry_after", ["900", format_datetime(NOW + timedelta(seconds=900), usegmt=True)])
def test_a_busy_receiver_may_say_when(status: int, retry_after: str) -> None:
    assert outcome_of(Answer(0.1, status, retry_after)).wait_s == 900.0


@pytest.mark.parametrize("status", [302, 400, 401, 404, 500])
def test_others_may_not_say_when(status: int) -> None:
    assert outcome_of(Answer(0.1, status, "900")).wait_s == 5.0


WORDS = st.sampled_from(["Sun,", "22", "Nov", "2026", "12:00:00", "GMT", "+0000", "99999999999999", "-9999", ",", "("])


@given(
    st.text() | st.integers().map(str) | st.lists(WORDS, max_size=8).map(" ".join),
    st.integers(0, len(SCHEDULE_S) - 2),
)
def test_whatever_is_asked_the_wait_is_between_schedule_and_a_day(retry_after: str, failed_count: int) -> None:
    wait_s = outcome_of(Answer(0.1, 503, retry_after), failed_count).wait_s
    assert wait_s is not None
    assert SCHEDULE_S[failed_count + 1] <= wait_s <= DAY_S


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        (None, None), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("٣", None),
        ("0", 0.0), (" 120 ", 120.0), ("9" * 400, DAY_S),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0), ("Sunday, 22-Nov-26 12:01:00 GMT", 60.0),
        ("Sun Nov 22 12:01:00 2026", 60.0), ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2099 12:00:00 GMT", DAY_S), ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 99999999999999999999 12:00:00 GMT", None), ("Sun, 22 Nov 2026 12:00:00 +99999999999999", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_every_form(text: str | None, expected_s: float | None) -> None:
    assert retry_after_s(text, NOW) == expected_s


def test_one_id_for_each_run_of_a_job() -> None:
    assert event_id(41, 2) == "msg_41_2"
    assert len({event_id(job, run) for job in (1, 11, 111) for run in (1, 11, 111)}) == 9


def test_a_delivery_that_kills_workers_ends_as_failed() -> None:
    assert worker_lost(5).status is DeliveryStatus.FAILED
