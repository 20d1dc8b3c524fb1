"""`limits` of a connector, and the settings by which an instance lowers them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.allowances import LOWERING, Allowance, Window, allowance_of
from app.connectors.model import BudgetHeaders, Connector, DailyQuota, LimitSpec, RateWindow
from app.connectors.objects import find_object
from app.connectors.spec import ConnectorInvalidError, SettingsInvalidError, load_connector, resolve_settings
from app.domain.budgets import block_of_day
from tests.fakes.list_vendor import document


def connector(limits: Any = None, of_object: Any = None) -> Connector:
    made = document("page")
    if limits is not None:
        made["limits"] = limits
    if of_object is not None:
        made["objects"]["records"]["limits"] = of_object
    return load_connector(made)


def allowance(declared: Connector, **settings: str) -> Allowance:
    given_names = {f"limits.{name}": value for name, value in settings.items()}
    config = resolve_settings(declared, given_names).config
    return allowance_of(declared, find_object(declared, "records"), config)


def test_everything_that_can_be_declared_is_kept() -> None:
    headers = {"remaining": "X-Left", "limit": "X-Limit", "reset": "X-Reset", "reset_is": "epoch_ms"}
    found = connector(
        {
            "windows": [{"calls": 100, "per_s": 10}, {"calls": 3000, "per_s": "10m"}],
            "quota": {"calls": 10000, "per": "day", "time_zone": "Europe/Berlin", "reserve": "10%"},
            "concurrency": 4,
            "headers": headers,
        }
    )
    assert found.limits == LimitSpec(
        (RateWindow(100, 10.0), RateWindow(3000, 600.0)),
        DailyQuota(10000, 1000, "Europe/Berlin"),
        4,
        BudgetHeaders("X-Left", "X-Limit", "X-Reset", "epoch_ms"),
    )


def test_without_limits_nothing_is_limited() -> None:
    assert not allowance(connector()).is_any
    assert not allowance(connector({"headers": {"remaining": "X-Left"}})).is_any


@pytest.mark.parametrize(
    ("reserve", "calls"), [("10%", 10), ("0%", 0), ("0.1%", 1), ("99%", 99), (7, 7), (0, 0), (None, 5)]
)
def test_a_reserve_is_a_share_or_a_number_of_calls(reserve: Any, calls: int) -> None:
    quota = {"calls": 100} | ({} if reserve is None else {"reserve": reserve})
    assert connector({"quota": quota}).limits.quota == DailyQuota(100, calls)


@pytest.mark.parametrize(
    ("limits", "pointer", "text"),
    [
        ({"windows": [{"calls": 0, "per_s": 1}]}, "/limits/windows/0/calls", "accepted: 1 to"),
        ({"windows": [{"calls": 1, "per_s": "2h"}]}, "/limits/windows/0/per_s", "belongs into `quota`"),
        ({"windows": [{"calls": 1, "per_s": 0}]}, "/limits/windows/0/per_s", "no duration"),
        ({"windows": [{"calls": 1}]}, "/limits/windows/0/per_s", "is required"),
        ({"windows": [{"calls": 1, "per_s": 1}] * 5}, "/limits/windows", "up to 4"),
        ({"quota": {"calls": 9, "time_zone": "Mars"}}, "/limits/quota/time_zone", "no time zone"),
        ({"quota": {"calls": 9, "time_zone": "../x"}}, "/limits/quota/time_zone", "no time zone"),
        ({"quota": {"calls": 9, "per": "month"}}, "/limits/quota/per", "not supported yet"),
        ({"quota": {"calls": 9, "reserve": 9}}, "/limits/quota/reserve", "leaves no call"),
        ({"quota": {"calls": 9, "reserve": "100%"}}, "/limits/quota/reserve", "no reserve"),
        ({"quota": {"calls": 9, "reserve": -1}}, "/limits/quota/reserve", "no reserve"),
        ({"concurrency": 0}, "/limits/concurrency", "1 to 1000"),
        ({"headers": {"limit": "X"}}, "/limits/headers/remaining", "is required"),
        ({"burst": 3}, "/limits/burst", "is not a key here"),
    ],
)
def test_what_is_wrong_is_named(limits: Any, pointer: str, text: str) -> None:
    with pytest.raises(ConnectorInvalidError) as caught:
        connector(limits)
    assert text in {each.pointer: each.message for each in caught.value.problems}[pointer]


def test_an_object_has_windows_of_its_own_and_nothing_else() -> None:
    own = connector({"windows": [{"calls": 9, "per_s": 1}]}, {"windows": [{"calls": 2, "per_s": 1}]})
    assert allowance(own).windows == (
        Window("all:1", RateWindow(9, 1.0)),
        Window("object records:1", RateWindow(2, 1.0)),
    )
    with pytest.raises(ConnectorInvalidError, match="not supported yet"):
        connector(None, {"windows": [{"calls": 2, "per_s": 1}], "concurrency": 2})


@given(st.integers(1, 10**6), st.floats(0.01, 3600))
def test_the_margin_is_five_percent_or_more_and_never_much_more(calls: int, per_s: float) -> None:
    stretched = Window("all", RateWindow(calls, per_s)).span_us / 1e6 / per_s
    assert 1.0499 <= stretched <= 1.1001


# What an instance may lower -------------------------------------------------------------------------------------------


def test_an_instance_lowers_what_its_connector_declares() -> None:
    declared = connector({"windows": [{"calls": 9, "per_s": 1}], "quota": {"calls": 100}, "concurrency": 4})
    lowered = allowance(declared, calls_per_second="4", calls_per_day="50", concurrency="2")
    assert lowered == Allowance((Window("all:1", RateWindow(4, 1.0)),), 50, "UTC", 2)


def test_an_instance_cannot_raise_a_limit() -> None:
    declared = connector({"windows": [{"calls": 9, "per_s": 1}], "quota": {"calls": 100}, "concurrency": 4})
    assert allowance(declared, calls_per_second="99", calls_per_day="500", concurrency="20") == allowance(declared)


def test_an_instance_may_have_limits_where_the_vendor_has_none() -> None:
    lowered = allowance(connector(), calls_per_second="0.5", calls_per_day="50", concurrency="2")
    assert lowered == Allowance((Window("all:2", RateWindow(1, 2.0)),), 50, "UTC", 2)


@given(st.floats(0.001, 100_000))
def test_calls_a_second_hold_in_every_second(rate: float) -> None:
    [window] = allowance(connector(), calls_per_second=str(rate)).windows
    assert window.limit.calls <= max(1, rate)
    assert window.limit.calls / window.limit.per_s == pytest.approx(rate)


@pytest.mark.parametrize("name", sorted(LOWERING))
@pytest.mark.parametrize("value", ["0", "-1", "many", "1e12", "nan", "inf"])
def test_a_limit_that_is_none_is_refused_with_what_is_accepted(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalidError) as caught:
        resolve_settings(connector(), {name: value})
    assert f"{name}: accepted: {LOWERING[name]}" in str(caught.value)


# Blocks of a day's quota ----------------------------------------------------------------------------------------------


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_block_of_a_day_is_small_and_never_more_than_is_left(quota: int, left: int) -> None:
    assert 1 <= block_of_day(quota, left) <= max(1, min(left, quota // 100))
