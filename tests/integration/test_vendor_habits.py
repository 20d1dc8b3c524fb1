"""What vendors do to downloads, by whole jobs over the wire: each habit with the declaration that is made for it."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from app.addresses import AddressPolicy
from app.api.bulk_schemas import CriteriaSchema
from app.connectors.registry import catalogue
from app.db.jobs import Job
from app.domain.criteria import Child
from app.domain.jobs import JobStatus, StopReason
from app.domain.status_document import evidence_line
from app.http_client import HttpClient, Request, Sent
from app.sandbox import Account, SandboxServer, Shape, expected_record
from app.sandbox.children import expected_notes
from app.services import control
from app.services.submit import submit_download
from tests.fakes.engine import Engine, Tenant
from tests.fixtures.vendor import KINDS, expected_jsonl

ANONYMOUS = {"when": {"status": 200, "header": "X-User", "equals": "anonymous"}, "do": "refresh_auth", "class": "auth"}
FORBIDDEN = {"when": {"status": 403}, "do": "refresh_auth", "class": "auth"}
TOO_LARGE = {"when": {"status": 400, "pointer": "/error/code", "equals": "page_size_too_large"}, "do": "shrink_page"}
PAGED = [kind for kind in KINDS if kind != "records_none"]
TOLD = ["records_page", "records_offset", "records_odata", "records_odata2"]
"""Objects whose vendor states a total."""

PACES = [0.0, 0.0001]
"""Seconds between checkpoints: a step after the other, and with calls ahead."""


class Watched(HttpClient):
    """Sends, and does something before the call of a number."""

    at_call: tuple[int, Callable[[], None]] | None = None
    count = 0

    def start(self, request: Request) -> Sent:
        self.count += 1
        if self.at_call is not None and self.count == self.at_call[0]:
            self.at_call[1]()
        return super().start(request)


@pytest.fixture
def http() -> Watched:
    return Watched(AddressPolicy.parse("http://127.0.0.0/8"), user_agent="haulage/test")


@pytest.fixture
def online(make_engine: Callable[..., Engine], http: Watched) -> Engine:
    """With a client that really sends, and no long waits."""
    engine = make_engine(retry_base_s=0.0)
    engine.ctx = replace(engine.ctx, http=http, addresses=AddressPolicy.parse("http://127.0.0.0/8"))
    return engine


@pytest.fixture
def account(vendor: SandboxServer) -> Account:
    return vendor.account("habits")


@pytest.fixture
def tenant_of(online: Engine, vendor: SandboxServer, account: Account) -> Callable[..., Tenant]:
    """A tenant of the sandbox's connector, with other sections, and with these keys in an object's list."""

    def make(name: str = "records", *, page: dict[str, Any] | None = None, **changes: Any) -> Tenant:
        document = deepcopy(catalogue()["sandbox"])
        sections: dict[str, Any] = {key: changes.pop(key) for key in ("errors", "defaults") if key in changes}
        listed = document["objects"][name]["list"]
        document["objects"][name]["list"] = {**listed, **changes, "page": {**listed["page"], **(page or {})}}
        return online.add_tenant_of({**document, **sections}, base_url=vendor.url, username=account.name)

    return make


TenantOf = Callable[..., Tenant]


def download(engine: Engine, tenant: Tenant, kind: str = "records", **criteria: Any) -> Job:
    return engine.run(engine.submit(tenant, object_name=kind, **{"page_size": 10, **criteria}))


def lines(engine: Engine, job: Job) -> list[bytes]:
    return engine.output(job.id).splitlines()


def ids(engine: Engine, job: Job) -> list[int]:
    return [json.loads(line)["id"] for line in lines(engine, job)]


def renew(engine: Engine, tenant: Tenant) -> None:
    """The customer gives the instance a new password."""
    sealed = engine.ctx.vault.seal(tenant.organisation_id, tenant.instance_id, {"password": "another"})
    engine.execute("update instances set secrets = %s where id = %s", sealed, tenant.instance_id)


# Credentials that end -------------------------------------------------------------------------------------------------

EXPIRED = [
    ("401", []),
    ("401_html", []),
    ("401_empty", []),
    ("403", [FORBIDDEN]),
    ("200_empty", []),
    ("200_public", [ANONYMOUS]),
]


@pytest.mark.parametrize("checkpoint_s", PACES)
@pytest.mark.parametrize(("form", "errors"), EXPIRED)
@pytest.mark.parametrize("kind", TOLD)
def test_a_session_that_ends_is_renewed_inside_the_leg(
    online: Engine,
    account: Account,
    tenant_of: TenantOf,
    http: Watched,
    kind: str,
    form: str,
    errors: Any,
    checkpoint_s: float,
) -> None:
    online.configure(checkpoint_s=checkpoint_s)
    account.configure(records=57, latency_ms=10, habits={"token_calls": 4, "token_expired": form})
    tenant = tenant_of(kind, errors=errors)
    job_id = online.submit(tenant, object_name=kind, page_size=10)
    http.at_call = (5, lambda: renew(online, tenant))
    online.leg(job_id)
    job = online.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.COMPLETED, StopReason.EXHAUSTED)
    assert online.output(job_id) == expected_jsonl(account)


@pytest.mark.parametrize(("form", "errors"), EXPIRED)
def test_a_session_that_ended_never_ends_the_list(
    online: Engine, account: Account, tenant_of: TenantOf, form: str, errors: Any
) -> None:
    account.configure(records=57, habits={"token_calls": 3, "token_expired": form})
    tenant = tenant_of("records_page", errors=errors)
    job = download(online, tenant, "records_page")
    assert (job.status, job.stop_reason, job.has_more) == (JobStatus.ABORTED, StopReason.VENDOR_ERROR, True)
    assert lines(online, job) == expected_jsonl(account).splitlines()[:30]

    account.change(habits={})
    control.restart(online.ctx, tenant.caller, job.id)
    assert online.run(job.id).stop_reason is StopReason.EXHAUSTED
    assert online.output(job.id) == expected_jsonl(account)


@pytest.mark.parametrize("checkpoint_s", PACES)
@pytest.mark.parametrize("kind", TOLD)
def test_an_empty_answer_in_the_middle_is_read_again_at_once(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str, checkpoint_s: float
) -> None:
    online.configure(checkpoint_s=checkpoint_s)
    account.configure(records=57, faults=[{"calls": "3", "do": "empty_ok"}])
    job_id = online.submit(tenant_of(kind), object_name=kind, page_size=10)
    online.leg(job_id)
    job = online.job(job_id)
    assert job.stop_reason is StopReason.EXHAUSTED
    assert online.output(job_id) == expected_jsonl(account)
    assert job.call_count == account.calls


# Where lists end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["records", "records_cursor_header", "records_next_url", "records_link"])
def test_a_token_on_the_last_full_page_costs_a_call_that_counts(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str
) -> None:
    account.configure(records=20, habits={"trailing_token": True})
    tenant = tenant_of(kind)
    job = download(online, tenant, kind, api_limit=2)
    assert (job.stop_reason, job.has_more, job.record_count) == (StopReason.API_LIMIT, True, 20)
    control.restart(online.ctx, tenant.caller, job.id)
    job = online.run(job.id)
    assert (job.stop_reason, job.has_more, job.record_count) == (StopReason.EXHAUSTED, False, 20)
    assert account.calls == job.call_count == 3


# Page sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAGED)
def test_pages_that_are_cut_without_a_word_are_told_in_the_evidence(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str
) -> None:
    told = []
    for page_max in (4, 1000):
        account.configure(records=35, page_max=page_max)
        job = download(online, tenant_of(kind), kind)
        assert online.output(job.id) == expected_jsonl(account)
        told.append("on average instead of 10" in evidence_line(job))
    assert told == [True, False]


@pytest.mark.parametrize("kind", PAGED)
def test_a_size_that_is_refused_is_made_smaller_where_the_refusal_is_declared(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str
) -> None:
    account.configure(records=35, page_max=4, habits={"over_max": "400"})
    job = download(online, tenant_of(kind, errors=[TOO_LARGE]), kind)
    assert job.status is JobStatus.COMPLETED
    assert online.output(job.id) == expected_jsonl(account)


def test_a_declared_maximum_is_never_passed(online: Engine, account: Account, tenant_of: TenantOf) -> None:
    account.configure(records=35, page_max=4, habits={"over_max": "400"})
    job = download(online, tenant_of("records_page", page={"size": 4, "size_max": 4}), "records_page")
    assert online.output(job.id) == expected_jsonl(account)
    assert "pages of 4 instead of 10, the vendor's maximum" in evidence_line(job)
    assert account.calls == job.call_count


# Which records, in what order -----------------------------------------------------------------------------------------


def test_a_list_with_the_newest_first_is_asked_for_in_a_stable_order(
    online: Engine, account: Account, tenant_of: TenantOf
) -> None:
    growing = {"order": "newest_first", "grows": 1}
    account.configure(records=35, habits=growing)
    short = {"stop": "short"}  # an empty page never comes where each call adds a record
    unsorted = download(online, tenant_of("records_offset", page=short), "records_offset")
    account.configure(records=35, habits=growing)
    in_order = download(online, tenant_of("records_offset", page=short, params={"sort": "id"}), "records_offset")

    assert len(set(ids(online, unsorted))) < unsorted.record_count, "what a connector without the order gets"
    assert "PAGES ARE ASKED FOR BY OFFSET" in evidence_line(unsorted)
    assert ids(online, in_order) == [*range(1, in_order.record_count + 1)]
    assert in_order.record_count >= 35


def test_what_the_default_list_hides_is_asked_for(online: Engine, account: Account, tenant_of: TenantOf) -> None:
    account.configure(records=35, habits={"hide_archived": True})
    naive = tenant_of(defaults={"read_timeout": "60s"})
    assert download(online, naive).record_count == 24, "a third is hidden"
    assert lines(online, download(online, tenant_of())) == [*account.expected()]


# Deleted records ------------------------------------------------------------------------------------------------------

TOMBSTONES = {"tombstones_every": 4}
DELETED = {"at": "/deleted"}


@pytest.mark.parametrize("checkpoint_s", PACES)
@pytest.mark.parametrize("kind", KINDS)
def test_deleted_records_are_kept_dropped_or_marked_as_declared(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str, checkpoint_s: float
) -> None:
    online.configure(checkpoint_s=checkpoint_s)
    account.configure(records=35, habits=TOMBSTONES)
    expected = [*account.expected()]
    living = [line for line in expected if b"deleted" not in line]
    marked = [line.replace(b'"deleted":true', b'"deleted":true,"_deleted":true') for line in expected]

    kept = download(online, tenant_of(kind, deleted={**DELETED, "do": "keep"}), kind)
    dropped = download(online, tenant_of(kind, deleted={**DELETED, "do": "drop"}), kind)
    flagged = download(online, tenant_of(kind, deleted={**DELETED, "do": "mark"}), kind)

    assert [lines(online, job) for job in (kept, dropped, flagged)] == [expected, living, marked]
    assert [job.deleted_count for job in (kept, dropped, flagged)] == [0, 8, 0]
    assert "8 more left out since the vendor has deleted them" in evidence_line(dropped)
    assert dropped.status_message == "Successfully downloaded 27 records", "they count for the vendor's total"


@pytest.mark.parametrize("limit", [3, 4, 7, 8, 26, 27])
def test_a_limit_does_not_count_what_is_dropped(
    online: Engine, account: Account, tenant_of: TenantOf, limit: int
) -> None:
    account.configure(records=35, habits=TOMBSTONES)
    tenant = tenant_of("records_page", deleted={**DELETED, "do": "drop"})
    job = download(online, tenant, "records_page", limit=limit)
    assert job.record_count == limit
    while job.has_more:
        control.restart(online.ctx, tenant.caller, job.id)
        job = online.run(job.id)
    assert lines(online, job) == [line for line in account.expected() if b"deleted" not in line]


def test_a_dropped_record_is_not_looked_at_for_a_date(online: Engine, account: Account, tenant_of: TenantOf) -> None:
    account.configure(records=35, habits=TOMBSTONES)
    since = {"filter_date_field": "updatedAt", "date_from": "2024-01-02T00:10:00Z"}
    plain: dict[str, Any] = {"dates": {}}
    kept = download(online, tenant_of(**plain), **since)
    dropped = download(online, tenant_of(**plain, deleted={**DELETED, "do": "drop"}), **since)
    assert (kept.undated_count, kept.deleted_count) == (8, 0)
    assert (dropped.undated_count, dropped.deleted_count) == (0, 8)
    assert ids(online, dropped) == ids(online, kept) == [n for n in range(10, 36) if n % 4]


def test_deleted_children_are_dropped_too(online: Engine, account: Account, tenant_of: TenantOf) -> None:
    account.configure(records=7)
    tenant = tenant_of("notes", deleted={"at": "/weight", "equals": "1.1", "do": "drop"})
    job = download(online, tenant, child=Child("notes", "id"))
    expected = [[note for note in expected_notes(number) if b"1.10" not in note] for number in range(1, 8)]
    assert [line.partition(b'"notes":')[2] for line in lines(online, job)] == [
        b"[" + b",".join(notes) + b"]}" for notes in expected
    ]


def test_what_changed_since_an_earlier_job_is_told_apart_from_what_is_dropped(
    online: Engine, account: Account, tenant_of: TenantOf
) -> None:
    account.configure(records=35, habits=TOMBSTONES)
    tenant = tenant_of("records_page", dates={}, deleted={**DELETED, "do": "drop"})
    first = download(online, tenant, "records_page", filter_date_field="updatedAt")
    account.change(records=39)
    going_on = CriteriaSchema().load({"continueFromJobId": first.id})
    second = online.run(submit_download(online.ctx, tenant.caller, going_on).job_id)
    assert (first.record_count, first.deleted_count) == (27, 8)
    assert ids(online, second) == [37, 38, 39]
    assert (second.deleted_count, second.undated_count) == (9, 0)
    assert second.status_message == "Successfully downloaded 3 records", "the vendor's total fits"


# How records are written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_inside_a_name_of_its_kind_is_taken_out(
    online: Engine, account: Account, tenant_of: TenantOf, kind: str
) -> None:
    account.configure(records=35, habits={"wrap_records": "contact", "text": "strange", "json": "pretty"})
    job = download(online, tenant_of(kind, record="/contact"), kind)
    assert [json.loads(line) for line in lines(online, job)] == [
        json.loads(expected_record(number, Shape(text="strange"))) for number in range(1, 36)
    ]
    account.change(habits={"wrap_records": "contact"})
    job = download(online, tenant_of(kind, record="/contact"), kind)
    assert lines(online, job) == [expected_record(number) for number in range(1, 36)]


@pytest.mark.parametrize("form", ["iso", "space", "naive", "epoch", "epoch_ms", "odata2"])
def test_a_range_is_asked_for_as_the_vendor_writes_dates_and_judged_as_it_wrote_them(
    online: Engine, account: Account, tenant_of: TenantOf, form: str
) -> None:
    account.configure(records=35, habits={"dates": form, "numbers": "strings"})
    named = {"naive": "datetime"}.get(form, form)
    filters = {"from": "created_from", "to": "created_to", "as": named}
    dates = {} if form == "odata2" else {"createdAt": filters}  # no way to ask for it: judged here alone
    job = download(
        online,
        tenant_of(dates=dates),
        filter_date_field="createdAt",
        date_from="2024-01-01T01:05:00+01:00",
        date_to="2024-01-01T00:20:00Z",
    )
    assert lines(online, job) == [*account.expected()][4:20]
    assert account.log()[-1].query.count("created_from") == len(dates)
    assert (job.filtered_count, job.undated_count) == (0 if dates else 19, 0)
