"""Whether a soak grew: thirds are compared by their medians."""

import pytest

from tests.benchmarks.gauges import growths


def samples(*values: float) -> list[dict[str, float]]:
    return [{"rss": value} for value in values]


def test_what_climbs_is_told_in_percent() -> None:
    growth = growths(samples(100, 100, 100, 105, 106, 107, 110, 110, 110))["rss"]
    assert (growth.first, growth.last) == (100, 110)
    assert growth.percent == pytest.approx(10)


def test_what_goes_up_and_down_again_is_no_growth() -> None:
    assert growths(samples(*[100, 300, 100] * 6))["rss"].percent == 0


def test_one_peak_at_the_end_is_no_growth() -> None:
    assert growths(samples(*[100] * 8, 900))["rss"].percent == 0


@pytest.mark.parametrize(("last", "percent"), [(0, 0), (3, 300)])
def test_what_was_nothing_grows_by_what_came(last: float, percent: float) -> None:
    assert growths(samples(0, 0, 0, last, last, last))["rss"].percent == percent
