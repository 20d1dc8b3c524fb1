"""Legs with the real client against the sandbox: what the vendor's own log says is what the job says."""

import json
from dataclasses import replace

import pytest

from app.addresses import AddressPolicy
from app.connectors.registry import catalogue
from app.domain.criteria import Child
from app.domain.jobs import JobStatus, StopReason
from app.http_client import HttpClient
from app.sandbox import Account, SandboxServer
from app.sandbox.children import expected_group, expected_notes
from app.services import control
from tests.fakes.engine import Engine, Tenant
from tests.fixtures.vendor import KINDS, expected_jsonl


@pytest.fixture
def online(paced_engine: Engine) -> Engine:
    """With a client that really sends, and no long waits."""
    engine = paced_engine
    policy = AddressPolicy.parse("http://127.0.0.0/8")
    engine.ctx = replace(engine.ctx, http=HttpClient(policy, user_agent="haulage/test"), addresses=policy)
    engine.configure(retry_base_s=0.01)
    return engine


def tenant_of(engine: Engine, vendor: SandboxServer, account: str) -> Tenant:
    return engine.add_tenant_of(catalogue()["sandbox"], base_url=vendor.url, username=account)


def calls_of(account: Account) -> int:
    return len(account.log())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact_over_the_wire_whoever_goes_on(online: Engine, vendor: SandboxServer, kind: str) -> None:
    account = vendor.account(kind.replace("_", "-"))
    account.configure(records=57)
    job_id = online.submit(tenant_of(online, vendor, account.name), object_name=kind, page_size=10)
    for _ in range(20):
        if online.job(job_id).status.is_terminal:
            break
        before = calls_of(account)
        online.leg(job_id, is_stopping=lambda before=before: calls_of(account) > before)  # type: ignore[misc]
    job = online.job(job_id)
    assert (job.status, job.stop_reason) == (JobStatus.COMPLETED, StopReason.EXHAUSTED)
    assert online.output(job_id) == expected_jsonl(account)
    assert job.call_count == calls_of(account)


def test_a_vendor_that_fails_in_many_ways_is_read_to_its_end(online: Engine, vendor: SandboxServer) -> None:
    account = vendor.account("moody")
    account.configure(
        records=95,
        faults=[
            {"calls": "2", "do": "status", "status": 503},
            {"calls": "4", "do": "cut"},
            {"calls": "6..7", "do": "status", "status": 500},
        ],
    )
    job_id = online.submit(tenant_of(online, vendor, account.name), object_name="records_cursor", page_size=10)
    job = online.run(job_id)
    assert job.status is JobStatus.COMPLETED
    assert online.output(job_id) == expected_jsonl(account)
    assert job.call_count == calls_of(account) == 10 + 4


def test_the_vendors_own_log_never_shows_more_calls_than_the_limit(online: Engine, vendor: SandboxServer) -> None:
    account = vendor.account("counted")
    account.configure(records=95, faults=[{"calls": "2..3", "do": "status", "status": 503}])
    tenant = tenant_of(online, vendor, account.name)
    job_id = online.submit(tenant, object_name="records_cursor", page_size=10, api_limit=5)
    for calls in (5, 10, 12):
        job = online.run(job_id)
        assert job.status is JobStatus.COMPLETED
        assert calls_of(account) == job.call_count == calls
        if job.has_more:
            control.restart(online.ctx, tenant.caller, job_id)
    assert online.output(job_id) == expected_jsonl(account)


@pytest.mark.parametrize("api_limit", [None, 9])
@pytest.mark.parametrize(("name", "field"), [("groups", "group"), ("notes", "id")])
def test_children_are_nested_over_the_wire_and_every_call_is_counted(
    online: Engine, vendor: SandboxServer, name: str, field: str, api_limit: int | None
) -> None:
    account = vendor.account(f"{name}-{api_limit}")
    account.configure(records=13, faults=[{"calls": "3", "do": "status", "status": 500}])
    tenant = tenant_of(online, vendor, account.name)
    criteria = {"page_size": 10, "child": Child(name, field), "api_limit": api_limit}
    job_id = online.submit(tenant, **criteria)
    while (job := online.run(job_id)).stop_reason is StopReason.API_LIMIT:
        assert calls_of(account) == job.call_count == 9 * job.run_number
        control.restart(online.ctx, tenant.caller, job_id)
    assert job.stop_reason is StopReason.EXHAUSTED
    assert job.call_count == calls_of(account)
    records = expected_jsonl(account).splitlines()
    lines = online.output(job_id).splitlines()
    assert lines == [whole(number, record, name) for number, record in enumerate(records, 1)]


def whole(number: int, record: bytes, name: str) -> bytes:
    """The record with what belongs to it."""
    if name == "notes":
        return record[:-1] + b',"notes":[' + b",".join(expected_notes(number)) + b"]}"
    group = json.loads(record)["group"]
    return record.replace(b'"group":"%s"' % group.encode(), b'"group":' + expected_group(group))
