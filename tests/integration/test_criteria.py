"""Criteria that change or leave out records: the result, the counts, and any moment of crash or limit."""

import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec import structs

from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import evidence_line
from app.errors import InvalidInputError
from app.http_client import Beat, Request, Response
from app.services import control
from tests.fakes.engine import Engine
from tests.fakes.steps import Killed

DAYS = [f"2024-01-{1 + number % 28:02d}T00:00:00Z" for number in range(95)]


def record(number: int) -> dict[str, Any]:
    """Each seventh has no date."""
    return {
        "id": number,
        "name": {"first": f"a{number}", "last": None},
        "changed": None if number % 7 == 0 else DAYS[number - 1],
        "price": number / 4,
    }


@pytest.fixture(params=[0.0, 0.0001], ids=["step by step", "overlapped"])
def engine(make_engine: Callable[..., Engine], request: pytest.FixtureRequest) -> Engine:
    engine = make_engine(checkpoint_s=request.param)
    engine.vendor.serve(95, total=95)
    serve = engine.vendor.listing.request

    def rich(asked: Request, beat: Beat | None = None) -> Response:
        answer = serve(asked, beat)
        body = json.loads(answer.body)
        body["records"] = [record(each["id"]) for each in body["records"]]
        return structs.replace(answer, body=json.dumps(body).encode())

    engine.vendor.listing.request = rich  # type: ignore[method-assign,assignment]
    return engine


def wanted(first: str, last: str) -> list[int]:
    return [number for number in range(1, 96) if number % 7 and first <= DAYS[number - 1] <= last]


def ids(engine: Engine, job_id: int) -> list[int]:
    return [json.loads(line)["id"] for line in engine.output(job_id).splitlines()]


RANGE: dict[str, Any] = {"date_from": "2024-01-05", "date_to": "2024-01-20T00:00:00Z", "filter_date_field": "changed"}
INSIDE = wanted("2024-01-05T00:00:00Z", "2024-01-20T00:00:00Z")


def test_fields_and_nulls(engine: Engine) -> None:
    job = engine.run(engine.submit(select_fields=("name", "changed", "id"), filter_nulls=True))
    lines = [json.loads(line) for line in engine.output(job.id).splitlines()]
    assert lines[0] == {"id": 1, "name": {"first": "a1"}, "changed": DAYS[0]}
    assert list(lines[0]) == ["name", "changed", "id"]
    assert lines[6] == {"id": 7, "name": {"first": "a7"}}
    assert (job.record_count, job.filtered_count, job.undated_count) == (95, 0, 0)


def test_a_range_leaves_out_and_counts(engine: Engine) -> None:
    job = engine.run(engine.submit(engine.add_tenant("page", total="/total"), **RANGE))
    assert ids(engine, job.id) == INSIDE
    undated = 95 // 7
    assert (job.record_count, job.filtered_count, job.undated_count) == (
        len(INSIDE),
        95 - len(INSIDE) - undated,
        undated,
    )
    assert job.status_message == f"Successfully downloaded {len(INSIDE)} records ({undated} had no date in changed)"
    assert "differs" not in evidence_line(job)


@pytest.mark.parametrize("limit", [1, 5, 10, 33])
def test_a_limit_counts_what_is_delivered_and_restarts_go_on_behind_it(engine: Engine, limit: int) -> None:
    job_id = engine.submit(limit=limit, **RANGE)
    delivered = 0
    for _ in range(100):
        job = engine.run(job_id)
        assert job.status is JobStatus.COMPLETED
        delivered = min(delivered + limit, len(INSIDE))
        assert ids(engine, job_id) == INSIDE[:delivered]
        if job.stop_reason is StopReason.EXHAUSTED:
            break
        control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert (job.record_count, job.filtered_count + job.undated_count) == (len(INSIDE), 95 - len(INSIDE))


def test_kills_anywhere_change_nothing(engine: Engine) -> None:
    job_id = engine.submit(**RANGE)
    for number in range(4, 90, 9):
        engine.steps.arm(number)
        with contextlib.suppress(Killed):
            engine.leg(job_id)
        engine.steps.arm(-1)
        engine.lose_holder(job_id)
        if engine.job(job_id).status.is_terminal:
            break
    job = engine.run(job_id)
    assert ids(engine, job_id) == INSIDE
    assert job.record_count + job.filtered_count + job.undated_count == 95


@pytest.mark.parametrize(
    ("criteria", "field"),
    [
        ({"date_from": "2024-01-05"}, "/filterDateField"),
        ({"date_to": "soon", "filter_date_field": "changed"}, "/to"),
        ({"date_from": "2024-02-01", "date_to": "2024-01-01", "filter_date_field": "changed"}, "/from"),
        ({"select_fields": ("id", ".".join("a" * 101))}, "/selectFields"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(engine: Engine, criteria: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        engine.submit(**criteria)
    assert caught.value.field == field
    assert engine.one("select count(*)::int as n from jobs")["n"] == 0


@pytest.mark.parametrize(
    ("nested", "asked"), [("top", "name,changed,price,id"), ("dotted", "name.first,changed,price,id")]
)
def test_a_vendor_that_can_choose_fields_is_asked_to(engine: Engine, nested: str, asked: str) -> None:
    """And what it sends all the same is cut by us."""
    tenant = engine.add_tenant("page", select={"param": "fields", "nested": nested})
    job = engine.run(engine.submit(tenant, select_fields=("name.first",), where="price > 0", **RANGE))
    urls = [urlsplit(url) for url in engine.vendor.listing.calls]
    assert {dict(parse_qsl(url.query))["fields"] for url in urls} == {asked}
    assert json.loads(engine.output(job.id).splitlines()[0]) == {"name": {"first": f"a{INSIDE[0]}"}}


def test_a_query_of_the_job_wins_over_the_choice_of_fields(engine: Engine) -> None:
    tenant = engine.add_tenant("page", select={"param": "fields"})
    engine.run(engine.submit(tenant, select_fields=("id",), query={"fields": "mine"}))
    assert all("fields=mine" in url for url in engine.vendor.listing.calls)
