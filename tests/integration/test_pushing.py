"""What vendors are told of conditions: by the sandbox's own log, and that the answer is the same either way."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.ocnql import Boolean, Comparison, Condition, Date, In, IsNull, Like, Number, Operator, Text, text_of
from tests.fakes.ocnql import conditions, is_true
from tests.fixtures.door import Door

COUNT = 40
PUSHING = ("records_odata", "records_odata2", "records_page")


def records(door: Door) -> list[dict[str, Any]]:
    door.vendor.account("acme").configure(records=COUNT)
    return [json.loads(line) for line in door.vendor.account("acme").expected()]


def filters(door: Door, name: str = "$filter") -> set[str]:
    """What the vendor's log says of this parameter."""
    return {parse_qs(entry.query).get(name, [""])[0] for entry in door.vendor.account("acme").log()}


def finished(door: Door, job_id: int) -> tuple[list[Any], dict[str, Any]]:
    """Its records and its status."""
    door.finish(job_id)
    found: list[Any] = door.call("GET", f"/bulk/{job_id}/data?pageSize=5000").get_json()
    status: dict[str, Any] = door.call("GET", f"/bulk/{job_id}/status").get_json()
    return found, status


def queried(door: Door, **parameters: str) -> int:
    answer = door.call("POST", "/bulk/query", query_string=parameters)
    assert answer.status_code == 200, answer.text
    return int(answer.get_json()["id"])


def test_what_the_vendor_takes_is_pushed_and_the_rest_is_ours(door: Door) -> None:
    every = records(door)
    where = "id < 30 and `group` = 'a' and amount > 100"
    found, status = finished(door, door.submit(objectName="records_odata", where=where, pageSize=3))
    assert filters(door) == {"id lt 30 and group eq 'a'"}
    assert found == [each for each in every if each["id"] < 30 and each["group"] == "a" and each["amount"] > 100]
    evidence = status["metadata"]["evidence"]
    assert "the vendor was asked for id < 30 AND group = 'a'; applied here alone: amount > 100;" in evidence
    assert "differs" not in evidence


def test_a_connector_that_declares_nothing_is_told_nothing(door: Door) -> None:
    every = records(door)
    found, status = finished(door, door.submit(objectName="records_offset", where="id > 35"))
    assert found == every[35:]
    assert "applied here alone: id > 35;" in status["metadata"]["evidence"]
    assert "$filter" not in "".join(entry.query for entry in door.vendor.account("acme").log())


def test_dates_of_a_query_are_filtered_at_the_vendor(door: Door) -> None:
    every = records(door)
    first, last = every[12]["updatedAt"], every[31]["updatedAt"]
    job_id = queried(door, q="select * from records_odata where id > 15", lastRunDate=first, to=last)
    found, status = finished(door, job_id)
    assert filters(door) == {"id gt 15"}
    assert filters(door, "updated_from") == {f"{first[:19]}Z"}
    assert all(last < told for told in filters(door, "updated_to"))
    assert found == [each for each in every if each["id"] > 15 and first <= each["updatedAt"] <= last]
    assert status["recordsCount"] == len(found) > 0


@pytest.mark.parametrize("since", ["2021-01-02T00:00:00.250Z", "2021-01-02T01:00:00.250+01:00"])
def test_an_end_between_two_seconds_is_pushed_as_the_wider_one(door: Door, since: str) -> None:
    records(door)
    finished(door, queried(door, q="select * from records_odata", **{"from": since, "to": since}))
    assert filters(door) == {""}
    assert filters(door, "updated_from") == {"2021-01-02T00:00:00Z"}
    assert filters(door, "updated_to") == {"2021-01-02T00:00:01Z"}


def test_the_newer_engine_judges_dates_itself(door: Door) -> None:
    every = records(door)
    since = every[20]["updatedAt"]
    criteria = {"objectName": "records_odata", "filterDateField": "updatedAt", "from": since}
    found, _ = finished(door, door.submit(**criteria))
    answer = door.call(
        "POST",
        "/bulk/query",
        query_string={"q": "select * from records_odata", "from": since},
        headers={"Elements-Version": "Helium"},
    )
    again, _ = finished(door, int(answer.get_json()["id"]))
    assert found == again == [each for each in every if each["updatedAt"] >= since]
    assert filters(door) == {""}


def test_the_callers_own_parameter_wins_and_the_condition_still_holds(door: Door) -> None:
    every = records(door)
    found, status = finished(
        door, door.submit(objectName="records_odata", where="id > 20", query={"$filter": "id lt 25"})
    )
    assert found == every[20:24]
    assert filters(door) == {"id lt 25"}
    assert "applied here alone: id > 20;" in status["metadata"]["evidence"]


def test_pages_of_one_list_are_asked_for_alike_after_a_restart(door: Door) -> None:
    every = records(door)
    job_id = door.submit(objectName="records_page", where="`group` = 'a' and id > 3", pageSize=3, apiLimit=1)
    while finished(door, job_id)[1]["metadata"]["hasMore"]:
        door.call("PUT", f"/bulk/v3/{job_id}/restart")
    assert finished(door, job_id)[0] == [each for each in every if each["group"] == "a" and each["id"] > 3]
    assert filters(door, "group") == {"a"}


NUMBERS = st.integers(0, COUNT + 1).map(lambda number: Number(Decimal(number)))
GROUPS = st.sampled_from(("a", "b", "c", "it's", "")).map(Text)
MOMENTS = st.integers(0, COUNT).map(lambda number: Date(f"2021-01-0{1 + number % 3}T00:{number:02d}:00Z"))
COMPARISONS = st.sampled_from(list(Operator))
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Comparison, st.just("id"), COMPARISONS, NUMBERS),
    st.builds(Comparison, st.just("group"), COMPARISONS, GROUPS),
    st.builds(Comparison, st.just("active"), st.just(Operator.EQUAL), st.booleans().map(Boolean)),
    st.builds(Comparison, st.sampled_from(("createdAt", "updatedAt")), st.sampled_from(list(Operator)[2:]), MOMENTS),
    st.builds(In, st.just("id"), st.lists(NUMBERS, min_size=1, max_size=4).map(tuple)),
    st.builds(Like, st.just("email"), st.sampled_from(("%1%", "a%", "%@%", "_%"))),
    st.builds(IsNull, st.sampled_from(("id", "missing"))),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions(LEAVES), kind=st.sampled_from(PUSHING))
def test_the_answer_is_the_same_whatever_is_pushed(door: Door, condition: Condition, kind: str) -> None:
    every = records(door)
    found, _ = finished(door, door.submit(objectName=kind, where=text_of(condition)))
    assert found == [each for each in every if is_true(condition, each)]
