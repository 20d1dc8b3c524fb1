"""Which way the range of a job is asked of the vendor: by `list.dates`, else for a query by `list.where`, and once."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.domain.criteria import DownloadCriteria
from app.domain.criteria import Engine as BulkEngine
from app.domain.jobs import FileFormat, StopReason
from app.domain.status_document import evidence_line
from app.services.querying import Asked, criteria_of
from app.services.submit import submit_download
from tests.fakes.dated_vendor import DatedVendor
from tests.fakes.engine import Engine
from tests.fakes.list_vendor import document

RECORDS = [{"id": n, "at": f"2024-01-{1 + n % 28:02d}T12:00:00Z"} for n in range(80)]
RANGE: dict[str, Any] = {"date_from": "2024-01-05T00:00:00.250Z", "date_to": "2024-01-20", "filter_date_field": "at"}
INSIDE = [each["id"] for each in RECORDS if 5 <= int(str(each["at"])[8:10]) <= 20]
FIELDS = {"at": {"type": "date", "operators": {">=": "since", "<=": "until"}}}
WHERE = {"where": {"kind": "params", "fields": FIELDS}}
ODATA = {"where": {"kind": "odata", "fields": {"at": {"type": "date", "operators": [">=", "<="]}}}}
DATES = {"dates": {"at": {"from": "since", "to": "until"}}}
HALF = {"dates": {"at": {"from": "after"}}, **WHERE}
Ask = Callable[..., int]


@pytest.fixture
def vendor(engine: Engine) -> DatedVendor:
    engine.vendor.serve(0)
    engine.vendor.listing = made = DatedVendor(records=RECORDS)
    return made


def use(engine: Engine, listed: Mapping[str, Any]) -> None:
    engine.tenant = engine.add_tenant_of(document("page", **listed))


def ask(engine: Engine, criteria: DownloadCriteria, kind: BulkEngine) -> int:
    return submit_download(engine.ctx, engine.tenant.caller, criteria, engine=kind).job_id


def query(limit: int | None = None) -> DownloadCriteria:
    q = "select * from records" + ("" if limit is None else f" limit {limit}")
    return criteria_of(Asked(q=q, page_size=10, **RANGE), FileFormat.JSONL)


def download(limit: int | None = None) -> DownloadCriteria:
    return DownloadCriteria("records", page_size=10, limit=limit, **RANGE)


def ids(engine: Engine, job_id: int) -> list[int]:
    return [json.loads(line)["id"] for line in engine.output(job_id).splitlines()]


def told(vendor: DatedVendor) -> list[dict[str, str]]:
    """What the calls asked for beside the page, each kind once."""
    asked = [parse_qs(urlsplit(url).query) for url in vendor.calls]
    kinds = [{name: values[0] for name, values in each.items() if name not in {"page", "size"}} for each in asked]
    return [each for number, each in enumerate(kinds) if each not in kinds[:number]]


FILTER = "at ge 2024-01-05T00:00:00Z and at le 2024-01-21T00:00:00Z"
WHOLE = {"since": "2024-01-05T00:00:00Z", "until": "2024-01-21T00:00:00Z"}


@pytest.mark.parametrize(
    ("listed", "kind", "expected"),
    [
        pytest.param(DATES, "V2", WHOLE, id="dates, query"),
        pytest.param(DATES, "V3", WHOLE, id="dates, download"),
        pytest.param(WHERE, "V2", WHOLE, id="where, query"),
        pytest.param(WHERE, "V3", {}, id="where, download"),
        pytest.param(ODATA, "V2", {"$filter": FILTER}, id="odata, query"),
        pytest.param(HALF, "V2", {"after": WHOLE["since"], "until": WHOLE["until"]}, id="an end each, query"),
        pytest.param(HALF, "V3", {"after": WHOLE["since"]}, id="an end each, download"),
        pytest.param({}, "V2", {}, id="nothing declared"),
    ],
)
def test_each_end_is_asked_for_once_and_the_answer_is_the_same(
    engine: Engine, vendor: DatedVendor, listed: dict[str, Any], kind: BulkEngine, expected: dict[str, str]
) -> None:
    use(engine, listed)
    job = engine.run(ask(engine, query() if kind == "V2" else download(), kind))
    assert told(vendor) == [expected]
    assert ids(engine, job.id) == INSIDE
    evidence = evidence_line(job)
    assert evidence.count("the vendor was asked for") == (kind == "V2" and "where" in listed)
    assert ("asked of the vendor as well" in evidence) == ("dates" in listed)


@pytest.mark.parametrize("listed", [DATES, WHERE, HALF, {}], ids=["dates", "where", "an end each", "nothing"])
@pytest.mark.parametrize(("first", "second"), [("V2", "V3"), ("V3", "V2"), ("V2", "V2")])
def test_a_position_is_gone_on_from_in_the_list_that_it_is_of(
    engine: Engine, vendor: DatedVendor, first: BulkEngine, second: BulkEngine, listed: dict[str, Any]
) -> None:
    """Whichever call the source and the new job came by: page 3 of what lies in the range is no other list's."""
    use(engine, listed)
    job = engine.run(ask(engine, query(17) if first == "V2" else download(17), first))
    seen = ids(engine, job.id)
    kinds = told(vendor)
    while job.has_more:
        following = criteria_of(Asked(continue_from_job_id=job.id), FileFormat.JSONL)
        job = engine.run(ask(engine, following, second))
        seen += ids(engine, job.id)
    assert job.stop_reason is StopReason.EXHAUSTED
    assert seen == INSIDE
    assert told(vendor) == kinds
