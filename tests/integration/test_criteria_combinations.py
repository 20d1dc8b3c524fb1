"""Any combination of criteria gives what filtering the full download gives, through pages, limits and restarts.

The expected side decodes every record and shares with the product only the condition's tree.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from app.domain.criteria import DownloadCriteria
from app.domain.criteria import Engine as BulkEngine
from app.domain.jobs import FileFormat, StopReason
from app.domain.ocnql import Boolean, Comparison, Condition, In, IsNull, Like, Number, Operator, Text, text_of
from app.http_client import Beat, Request, Response
from app.services import control
from app.services.submit import submit_download
from tests.fakes.engine import Engine
from tests.fakes.ocnql import conditions, is_true

COUNT = 73
GROUPS = ("a", "b", "it's", "")
START = datetime(2024, 1, 1, tzinfo=UTC)
PLUS_TWO = timedelta(hours=2)


def moment(number: int) -> datetime:
    return START + timedelta(hours=7 * number)


def date_of(number: int) -> Any:
    """One moment in the forms that vendors use; every seventh is none."""
    at = moment(number)
    forms = [
        at.isoformat(),
        at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        (at.replace(tzinfo=None) + PLUS_TWO).isoformat() + "+02:00",
        int(at.timestamp() * 1000),
        at.replace(tzinfo=None).isoformat() + ".000",
        at.isoformat(),
        None if number % 2 else "never",
    ]
    return forms[number % 7]


def record(number: int) -> dict[str, Any]:
    made = {
        "id": number,
        "group": GROUPS[number % 4],
        "size": [number, str(number), None, number / 4][number % 4],
        "changed": date_of(number),
        "who": {"name": f"n{number % 5}", "mail": None, "home": {"city": "X", "zip": None}},
        "tags": [None, "x", f"t{number % 3}"] if number % 2 else [],
        "active": number % 3 == 0,
    }
    if number % 5 == 0:
        del made["size"]
    return made


RECORDS = [record(number) for number in range(1, COUNT + 1)]
FIELDS = ("id", "group", "size", "changed", "who", "who.name", "who.home.zip", "tags", "active", "missing")


@pytest.fixture(params=[0.0, 0.0001], ids=["step by step", "overlapped"])
def engine(make_engine: Callable[..., Engine], request: pytest.FixtureRequest) -> Engine:
    engine = make_engine(checkpoint_s=request.param)
    engine.vendor.serve(COUNT, total=COUNT)
    serve = engine.vendor.listing.request

    def rich(asked: Request, beat: Beat | None = None) -> Response:
        answer = serve(asked, beat)
        body = json.loads(answer.body)
        body["records"] = [RECORDS[each["id"] - 1] for each in body["records"]]
        return structs.replace(answer, body=json.dumps(body).encode())

    engine.vendor.listing.request = rich  # type: ignore[method-assign,assignment]
    return engine


NUMBERS = st.integers(0, COUNT).map(lambda number: Number(Decimal(number)))
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Comparison, st.sampled_from(("id", "size")), st.sampled_from(list(Operator)), NUMBERS),
    st.builds(Comparison, st.just("group"), st.sampled_from(list(Operator)), st.sampled_from(GROUPS).map(Text)),
    st.builds(
        Comparison,
        st.just("changed"),
        st.sampled_from([Operator.LESS, Operator.GREATER_OR_EQUAL, Operator.EQUAL]),
        st.integers(1, COUNT).map(lambda number: Text(moment(number).isoformat())),
    ),
    st.builds(In, st.just("id"), st.lists(NUMBERS, min_size=1, max_size=5).map(tuple)),
    st.builds(Like, st.sampled_from(("who.name", "tags")), st.sampled_from(("%1", "t%", "n2", "%"))),
    st.builds(IsNull, st.sampled_from(FIELDS)),
    st.builds(Comparison, st.just("active"), st.just(Operator.EQUAL), st.booleans().map(Boolean)),
)
MOMENTS = st.none() | st.integers(-5, COUNT + 5).map(moment)


def shown(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


@st.composite
def asked_for(draw: st.DrawFn) -> dict[str, Any]:
    """Criteria and, under `condition`, the tree of their `where`."""
    condition = draw(st.none() | conditions(LEAVES))
    ends = sorted(each for each in (draw(MOMENTS), draw(MOMENTS)) if each is not None)
    begin, end = draw(st.sampled_from([(None, None), (0, None), (None, -1), (0, -1)])) if ends else (None, None)
    return {
        "condition": condition,
        "where": None if condition is None else text_of(condition),
        "select_fields": tuple(draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))),
        "filter_nulls": draw(st.booleans()),
        "date_from": None if begin is None else shown(ends[begin]),
        "date_to": None if end is None else shown(ends[end]),
        "filter_date_field": "changed",
        "file_format": draw(st.sampled_from(list(FileFormat))),
        "page_size": draw(st.sampled_from([None, 1, 7, 100])),
        "limit": draw(st.none() | st.integers(1, COUNT)),
        "api_limit": draw(st.none() | st.integers(1, 12)),
    }


def instant(value: Any) -> datetime | None:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    if value is None or value == "never":
        return None
    read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def is_inside(one: dict[str, Any], asked: dict[str, Any]) -> bool:
    first, last = asked["date_from"], asked["date_to"]
    if first is None and last is None:
        return True
    at = instant(one["changed"])
    return (
        at is not None
        and (first is None or datetime.fromisoformat(first) <= at)
        and (last is None or at <= datetime.fromisoformat(last))
    )


def cut(value: Any, names: tuple[str, ...]) -> Any:
    """Only the named fields of an object, at every depth, in the order of the names."""
    if not names or not isinstance(value, dict):
        return value
    kept = {}
    for name in dict.fromkeys(each.partition(".")[0] for each in names):
        inner = value.get(name)
        deeper = tuple(each.partition(".")[2] for each in names if each.startswith(f"{name}."))
        if name in names and name in value:
            kept[name] = inner
        elif deeper and isinstance(inner, dict):
            kept[name] = cut(inner, deeper)
    return kept


def without_nulls(value: Any) -> Any:
    """Null elements of arrays stay."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def expected(asked: dict[str, Any]) -> list[str]:
    """As JSON texts, since the order of the fields counts."""
    condition = asked["condition"]
    fitting = [one for one in RECORDS if is_inside(one, asked) and (condition is None or is_true(condition, one))]
    chosen = [cut(one, asked["select_fields"]) for one in fitting]
    return [json.dumps(without_nulls(one) if asked["filter_nulls"] else one) for one in chosen]


def decoded(engine: Engine, job_id: int) -> list[str]:
    return [json.dumps(json.loads(line)) for line in engine.output(job_id).splitlines()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=asked_for(), bulk_engine=st.sampled_from(["V2", "V3"]))
def test_any_combination_equals_filtering_everything(
    engine: Engine, asked: dict[str, Any], bulk_engine: BulkEngine
) -> None:
    wanted = expected(asked)
    criteria = DownloadCriteria("records", **{name: value for name, value in asked.items() if name != "condition"})
    job_id = submit_download(engine.ctx, engine.tenant.caller, criteria, engine=bulk_engine).job_id
    if bulk_engine == "V2":  # these are not restarted
        job = engine.run(job_id)
        found = decoded(engine, job_id)
        assert found == wanted[: len(found)]
        assert job.stop_reason is not StopReason.EXHAUSTED or found == wanted
        assert job.stop_reason is not StopReason.LIMIT or len(found) == criteria.limit
        return
    delivered = 0
    for _ in range(2 * COUNT):
        job = engine.run(job_id)
        found = decoded(engine, job_id)
        assert found == wanted[: len(found)]
        if job.stop_reason is StopReason.LIMIT:
            assert len(found) == delivered + (criteria.limit or 0)
        if job.stop_reason is StopReason.EXHAUSTED:
            break
        delivered = len(found)
        control.restart(engine.ctx, engine.tenant.caller, job_id)
    assert found == wanted
    assert job.record_count == len(wanted)
    assert job.record_count + job.filtered_count + job.undated_count == COUNT
