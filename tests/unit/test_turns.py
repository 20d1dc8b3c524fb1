"""Turns of legs: short enough that nobody waits long, long enough to be worth their price."""

import pytest

from app.domain.turns import turn_s


@pytest.mark.parametrize(("slots", "slices"), [(16, 200), (16, 130), (100, 1000), (2, 40)])
def test_everybody_has_a_turn_in_a_round(slots: int, slices: int) -> None:
    assert slices / slots * turn_s(slots / slices) == pytest.approx(15)


def test_a_turn_is_never_too_short_to_be_worth_it_nor_long_for_a_few() -> None:
    assert turn_s(16 / 1000) == 0.5
    assert turn_s(16 / 17) == 2.0
