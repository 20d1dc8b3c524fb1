from app.services.upload_pace import Pace


def paced(*, call_s: float, step_s: float, most_calls: int = 64) -> int:
    pace = Pace(most_calls)
    for _ in range(20):
        pace.call_took(call_s)
        pace.step_took(step_s)
    return pace.most_calls


def test_at_first_all_places_are_filled_by_one_step() -> None:
    assert Pace(64).most_calls == 64


def test_calls_of_a_slow_vendor_are_sent_in_parts() -> None:
    assert paced(call_s=0.05, step_s=0.002) == 16
    assert paced(call_s=30.0, step_s=0.002) == 16


def test_at_a_quick_vendor_one_step_tells_of_all() -> None:
    assert paced(call_s=0.003, step_s=0.002) == 64
    assert paced(call_s=0.0001, step_s=0.002) == 64


def test_in_between_as_many_parts_as_steps_fit_into_a_call() -> None:
    assert paced(call_s=0.005, step_s=0.002) == 32


def test_there_is_always_one() -> None:
    assert paced(call_s=0.05, step_s=0.002, most_calls=1) == 1
    assert paced(call_s=0.05, step_s=0.002, most_calls=3) == 1


def test_it_follows_a_vendor_that_becomes_slow() -> None:
    pace = Pace(64)
    for _ in range(50):
        pace.call_took(0.002)
        pace.step_took(0.002)
    for _ in range(30):
        pace.call_took(0.05)
    assert pace.most_calls == 16
