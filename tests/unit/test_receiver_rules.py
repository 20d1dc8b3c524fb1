"""What an answer tells of the receiver's host, and how many slots the doubtful ones get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import Settings
from app.domain.deliveries import Answer
from app.domain.receivers import DEFAULT, Limits, given_up_after_s, is_answering


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 410, 499])
def test_a_host_that_answers_is_sound_whatever_it_says_of_one_url(status: int) -> None:
    assert is_answering(Answer(0.1, status)) is True


@pytest.mark.parametrize("answer", [Answer(0.1, 500), Answer(0.1, 503), Answer(0.1, 429), Answer(20.0, error="no")])
def test_silence_errors_of_the_server_and_too_many_are_failures(answer: Answer) -> None:
    assert is_answering(answer) is False


def test_what_was_not_sent_tells_nothing() -> None:
    assert is_answering(Answer(0.0, error="cannot be signed", is_sent=False)) is None


@given(st.integers(1, 1000))
def test_something_is_always_left_for_sound_hosts(slots: int) -> None:
    failing, unsound = DEFAULT.cap_of_failing(slots), DEFAULT.cap_of_unsound(slots)
    assert 1 <= failing <= unsound
    assert unsound < slots or slots == 1


def test_the_defaults_are_those_of_the_settings() -> None:
    settings = Settings()
    assert (
        Limits(
            settings.callback_host_calls,
            settings.callback_break_after,
            settings.callback_pause_s,
            settings.callback_pause_cap_s,
        )
        == Limits()
    )


def test_what_is_put_off_is_given_up_no_sooner_than_its_schedule_would_have_ended() -> None:
    schedule_s = Settings().callback_schedule_s
    assert given_up_after_s(schedule_s) > sum(schedule_s) * 1.2
