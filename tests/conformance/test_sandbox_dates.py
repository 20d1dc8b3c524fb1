"""Ranges of dates at the sandbox, and jobs that are cut into windows by them, under every page kind."""

import json
from urllib.parse import urlencode

import pytest

from app.domain.jobs import JobStatus, StopReason
from app.sandbox import Account
from tests.fakes.naive_client import NaiveClient
from tests.fixtures.factories import Workbench
from tests.fixtures.vendor import KINDS

# Record n was created n minutes after 2024-01-01, changed n // 5 * 5 minutes after the day behind it.
RANGES = [
    ("created_from=2024-01-01T00:03:00Z&created_to=2024-01-01T00:05:00Z", [3, 4, 5]),
    ("created_from=2024-01-01T00:24:00Z", [24, 25]),
    ("created_to=2023-12-31T00:00:00Z", []),
    ("updated_from=2024-01-02T00:05:00Z&updated_to=2024-01-02T00:10:00Z", [5, 6, 7, 8, 9]),
    ("updated_to=2024-01-02T00:05:00Z", [1, 2, 3, 4]),
    ("updated_from=2024-01-02T00:05:00Z&created_to=2024-01-01T00:06:00Z", [5, 6]),
]


@pytest.mark.parametrize(("query", "expected"), RANGES)
def test_a_range_gives_what_lies_in_it(client: NaiveClient, query: str, expected: list[int]) -> None:
    document = client.get(f"/page/records?per_page=100&{query}").json
    assert [each["id"] for each in document["data"]] == expected
    assert document["total"] == len(expected)


def test_newest_first_and_other_filters_go_together_with_a_range(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"order": "newest_first"})
    document = client.get(f"/cursor/records?archived=true&limit=100&{RANGES[3][0]}").json
    assert [each["id"] for each in document["results"]] == [9, 6]


FORMS = {
    "iso": ("2024-01-01T00:03:00Z", "2024-01-01T00:05:00Z"),
    "space": ("2024-01-01 00:03:00", "2024-01-01 00:05:00"),
    "naive": ("2024-01-01T00:03:00", "2024-01-01T00:05:00"),
    "epoch": ("1704067380", "1704067500"),
    "epoch_ms": ("1704067380000", "1704067500000"),
    "odata2": ("/Date(1704067380000)/", "/Date(1704067500000)/"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_range_is_written_as_dates_are_and_in_no_other_way(client: NaiveClient, account: Account, form: str) -> None:
    account.configure(habits={"dates": form})
    found = {}
    for name, (first, last) in FORMS.items():
        reply = client.get(f"/page/records?{urlencode({'created_from': first, 'created_to': last})}")
        found[name] = (reply.status, [each["id"] for each in reply.json.get("data", ())])
    expected: dict[str, tuple[int, list[int]]] = dict.fromkeys(FORMS, (400, [])) | {form: (200, [3, 4, 5])}
    if form == "epoch":
        expected["epoch_ms"] = (200, [])  # milliseconds are seconds of the far future
    assert found == expected


@pytest.mark.parametrize("value", ["yesterday", "2024-01-01", ""])
def test_what_is_no_date_is_refused(client: NaiveClient, value: str) -> None:
    reply = client.get(f"/page/records?updated_from={value}")
    assert (reply.status, reply.json["error"]["code"]) == (400, "bad_parameter")


@pytest.mark.parametrize("field", ["createdAt", "updatedAt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_in_slices_has_every_record_of_its_range_once(workbench: Workbench, kind: str, field: str) -> None:
    workbench.account.configure(records=600, page_max=40)
    first, last = "2024-01-02T00:00:00Z" if field == "updatedAt" else "2024-01-01T01:00:00Z", "2024-01-02T06:00:00Z"
    job_id = workbench.submit(kind, page_size=40, date_from=first, date_to=last, filter_date_field=field)

    while not workbench.job(job_id).status.is_terminal:
        rows = workbench.rows("select id from slices where job_id = %s and next_run_at is not null", job_id)
        for row in rows:
            workbench.run_slice(row["id"])

    job = workbench.job(job_id)
    expected = [line for line in workbench.account.expected() if first <= json.loads(line)[field] <= last]
    assert (job.status, job.stop_reason, job.slice_count > 1) == (JobStatus.COMPLETED, StopReason.EXHAUSTED, True)
    assert workbench.result(job_id).splitlines() == expected
    assert len(expected) > 300
    assert job.call_count == workbench.account.calls
    assert all(f"{field[:-2]}_from" in entry.query for entry in workbench.account.log())
