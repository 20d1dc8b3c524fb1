"""Who may call, and that no tenant ever learns of another's things."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.api import bulk, callbacks, documentation, elements, instances, operations, schedules, workflows
from app.api.authorization import require_element_caller, require_platform_caller
from app.services import identity
from tests.fixtures.door import PREFIX, Door

PUBLIC = {"operations", "documentation"}
PLATFORM = {"instances", "elements"}
OF_INSTANCES = {"bulk", "callbacks", "schedules", "workflows"}
ELEMENT = OF_INSTANCES | {f"hub_{name}" for name in OF_INSTANCES}


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """(blueprint, method, rule) of every call."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield rule.endpoint.partition(".")[0], method, rule.rule


def path_of(rule: str, **ids: object) -> str:
    """A concrete path of a rule."""
    values = {
        "job_id": 5,
        "schedule_id": 5,
        "instance_id": 5,
        "event_id": "msg_5_1",
        "element": "sandbox",
        "hub": "crm",
        "object_name": "records",
        **ids,
    }
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", lambda found: str(values[found[1]]), rule).removeprefix(PREFIX)


def test_every_call_has_an_authentication_decision(door: Door) -> None:
    assert {blueprint for blueprint, _, _ in routes(door.app)} == PUBLIC | PLATFORM | ELEMENT
    hooks = door.app.before_request_funcs
    for name in ELEMENT:
        assert require_element_caller in hooks[name]
    for name in PLATFORM:
        assert require_platform_caller in hooks[name]
    named = (bulk, callbacks, schedules, workflows, instances, elements)
    assert {each.blueprint.name for each in named} <= PLATFORM | ELEMENT
    assert {each.blueprint.name for each in (operations, documentation)} == PUBLIC


def test_no_call_but_the_public_ones_answers_without_credentials(door: Door) -> None:
    for blueprint, method, rule in routes(door.app):
        if blueprint not in PUBLIC:
            answer = door.call(method, path_of(rule), as_="", json={})
            assert answer.status_code == 401, (method, rule)
            assert set(answer.get_json()) == {"requestId", "message"}
            assert answer.headers["WWW-Authenticate"]


def test_bulk_calls_need_an_element_and_platform_calls_an_organisation(door: Door) -> None:
    assert door.call("GET", "/bulk/jobs", as_=door.acme.platform).status_code == 401
    only_user = f"User {door.acme.user_secret}"
    assert door.call("GET", "/instances", as_=only_user).status_code == 401
    assert door.call("GET", "/elements", as_=f"{only_user}, Element {door.acme.element_token}").status_code == 401


def test_parts_of_different_tenants_do_not_combine(door: Door) -> None:
    acme, globex = door.acme, door.globex
    for as_ in (
        f"User {acme.user_secret}, Organization {globex.organisation_secret}, Element {acme.element_token}",
        f"User {acme.user_secret}, Organization {acme.organisation_secret}, Element {globex.element_token}",
        f"User {globex.user_secret}, Element {acme.element_token}",
        f"User {acme.organisation_secret}, Organization {acme.organisation_secret}, Element {acme.element_token}",
        f"User {acme.user_secret}, Organization {acme.user_secret}, Element {acme.element_token}",
        f"User {acme.element_token}, Element {acme.element_token}",
    ):
        assert door.call("GET", "/bulk/jobs", as_=as_).status_code == 401, as_


def test_a_wrong_part_is_refused_with_the_same_words_whatever_is_wrong(door: Door) -> None:
    acme = door.acme
    messages = {
        door.call("GET", "/bulk/jobs", as_=as_).get_json()["message"]
        for as_ in (
            f"User wrong, Element {acme.element_token}",
            f"User {acme.user_secret}, Element wrong",
            f"User {acme.user_secret}, Organization wrong, Element {acme.element_token}",
            f"User {acme.user_secret}, Element {door.globex.element_token}",
        )
    }
    assert len(messages) == 1


@pytest.mark.parametrize(
    "lock",
    [
        "update tokens set revoked_at = now() where user_id is not null",
        "update tokens set expires_at = now() where user_id is not null",
        "update tokens set revoked_at = now() where user_id is null",
        "update users set disabled_at = now()",
        "update organisations set disabled_at = now()",
        "update instances set disabled_at = now()",
        "update instances set deleted_at = now()",
    ],
)
def test_whatever_is_locked_is_refused_at_once(door: Door, lock: str) -> None:
    assert door.call("GET", "/bulk/jobs").status_code == 200

    door.execute(lock)

    assert door.call("GET", "/bulk/jobs").status_code == 401


def test_use_of_a_token_is_noted_about_once_a_minute(door: Door) -> None:
    def used() -> list[Any]:
        return [(each.id, each.last_used_at) for each in identity.list_tokens(door.ctx, "acme")]

    door.call("GET", "/bulk/jobs")
    first = used()
    assert all(at is not None for _, at in first)
    door.call("GET", "/bulk/jobs")
    assert used() == first

    door.execute("update tokens set last_used_at = last_used_at - interval '61 s'")
    door.call("GET", "/bulk/jobs")
    assert all(new[1] == old[1] or new[1] > old[1] for new, old in zip(used(), first, strict=True))
    assert used() != first


# What a tenant might try on another's things, with the id that belongs to the other one.
def attempts(door: Door, job: int, instance: int, element: str, element_id: int) -> Iterator[tuple[str, str, str, Any]]:
    """(method, path with the foreign id, the same with an unknown id, body)."""
    criteria = {"objectName": "records"}
    bodies = {"POST": criteria, "PATCH": {"name": "x"}, "PUT": {"name": "x"}}
    for blueprint, method, rule in routes(door.app):
        if blueprint in PUBLIC:
            continue
        if "job_id" in rule:
            yield method, path_of(rule, job_id=job), path_of(rule, job_id=6), bodies.get(method)
        if "instance_id" in rule:
            yield method, path_of(rule, instance_id=instance), path_of(rule, instance_id=6), bodies.get(method)
        if "<string:element>" in rule:
            document = {**MINIMAL, "key": "x"} if blueprint == "elements" else {"name": "x"}
            body = document if method in {"PUT", "POST", "PATCH"} else None
            yield method, path_of(rule, element=element), path_of(rule, element="unknown"), body
            yield method, path_of(rule, element=element_id), path_of(rule, element=7), body


MINIMAL = {
    "format": 1,
    "key": "private-vendor",
    "base_url": "https://vendor.example",
    "auth": {"kind": "none"},
    "objects": {"pets": {"list": {"path": "/pets", "records": "", "page": {"kind": "none"}}}},
}


def test_a_foreign_id_answers_everywhere_as_an_unknown_one(door: Door) -> None:
    job = door.fetched()
    made = door.call("POST", "/elements", as_=door.acme.platform, json=MINIMAL).get_json()
    tried = 0
    for method, foreign, unknown, body in attempts(door, job, door.acme.instance_id, made["key"], made["id"]):
        as_ = door.globex.element
        theirs = door.call(method, foreign, as_=as_, **({"json": body} if body is not None else {}))
        nobodys = door.call(method, unknown, as_=as_, **({"json": body} if body is not None else {}))
        assert theirs.status_code == nobodys.status_code == 404, (method, foreign, theirs.text, nobodys.text)
        assert told(theirs, foreign) == told(nobodys, unknown)
        tried += 1
    assert tried > 30
    assert door.call("GET", "/bulk/jobs", as_=door.globex.element).get_json() == []
    owned = door.call("GET", "/instances", as_=door.globex.platform).get_json()
    assert [each["id"] for each in owned] == [door.globex.instance_id]
    seen = {each["key"] for each in door.call("GET", "/elements", as_=door.globex.platform).get_json()}
    assert "private-vendor" not in seen
    assert "sandbox" in seen


def told(answer: Any, path: str) -> tuple[str, list[tuple[str, str]]]:
    """Body and headers without the request's id and without the id that the caller sent."""
    body = answer.text.replace(answer.headers["Elements-Request-Id"], "")
    for word in re.findall(r"[\w-]+", path):
        body = body.replace(word, "…")
    headers = [(name, value) for name, value in answer.headers if name not in {"Elements-Request-Id", "Content-Length"}]
    return body, headers


def test_another_instance_of_the_same_tenant_has_jobs_of_its_own(door: Door) -> None:
    job = door.fetched()
    made = door.call(
        "POST",
        "/instances",
        as_=door.acme.platform,
        json={"element": {"key": "sandbox"}, "configuration": {"base_url": door.vendor.url, "username": "second"}},
    ).get_json()
    as_ = f"{door.acme.platform}, Element {made['token']}"

    assert door.call("GET", f"/bulk/{job}/status", as_=as_).status_code == 404
    assert door.call("GET", "/bulk/jobs", as_=as_).get_json() == []
    stale = door.call("GET", f"/bulk/jobs?nextPage={token_for(job)}", as_=as_)
    unknown = door.call("GET", f"/bulk/jobs?nextPage={token_for(6)}", as_=as_)
    assert stale.status_code == unknown.status_code == 400
    assert stale.get_json()["message"] == unknown.get_json()["message"]


def token_for(job: int) -> str:
    from app.api.paging import encode_token

    return encode_token({"pageSize": 1, "after": job})
