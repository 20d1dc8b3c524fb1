from typing import Any

import pytest

from app.db import instances
from app.secrets import MASK, SIGNATURE_KEY, Vault, generate_encryption_key
from app.services import identity
from app.services.context import Context
from tests.fixtures.door import Door
from tests.integration.test_api_bulk import refused
from tests.integration.test_api_tenancy import MINIMAL


def create(door: Door, **changes: Any) -> Any:
    configuration = {"base_url": door.vendor.url, "username": "acme", "password": "open sesame"}
    body = {"element": {"key": "sandbox"}, "configuration": configuration, **changes}
    return door.call("POST", "/instances", as_=door.acme.platform, json=body)


def secrets_of(door: Door, instance_id: int) -> dict[str, Any]:
    with door.ctx.db.connection() as conn:
        stored = instances.get(conn, door.acme.organisation_id, instance_id)
    return door.ctx.vault.open(door.acme.organisation_id, instance_id, stored.secrets)


def test_an_instance_is_made_and_its_secrets_are_shown_once(door: Door) -> None:
    made = create(door, name="Docs", tags=["Docs", "eu"]).get_json()

    assert made["name"] == "Docs"
    assert made["tags"] == ["Docs", "eu"]
    assert made["element"]["key"] == "sandbox"
    assert made["elementId"] == made["element"]["id"]
    assert made["valid"]
    assert made["configuration"]["password"] == MASK
    assert made["configuration"]["username"] == "acme"
    assert made["configuration"][SIGNATURE_KEY].startswith("whsec_")
    assert secrets_of(door, made["id"]) == {
        "password": "open sesame",
        SIGNATURE_KEY: made["configuration"][SIGNATURE_KEY],
    }
    token = f"User {door.acme.user_secret}, Element {made['token']}"
    assert door.call("GET", "/bulk/jobs", as_=token).status_code == 200

    shown = door.call("GET", f"/instances/{made['id']}", as_=door.acme.platform).get_json()
    masked = {**made["configuration"], SIGNATURE_KEY: MASK}
    assert shown == {**made, "token": MASK, "configuration": masked}


def test_a_signing_key_may_be_brought_along_and_is_not_shown(door: Door) -> None:
    given = {"base_url": door.vendor.url, SIGNATURE_KEY: "my own key"}
    made = create(door, configuration=given).get_json()

    assert made["configuration"][SIGNATURE_KEY] == MASK
    assert secrets_of(door, made["id"])[SIGNATURE_KEY] == "my own key"


def test_the_element_may_stand_in_the_path(door: Door) -> None:
    body = {"configuration": {"base_url": door.vendor.url}}
    made = door.call("POST", "/elements/sandbox/instances", as_=door.acme.platform, json=body)
    assert made.status_code == 200, made.text
    instance_id, element_id = made.get_json()["id"], made.get_json()["elementId"]

    for element in ("sandbox", element_id):
        found = door.call("GET", f"/elements/{element}/instances", as_=door.acme.platform).get_json()
        assert instance_id in [each["id"] for each in found]
        one = door.call("GET", f"/elements/{element}/instances/{instance_id}", as_=door.acme.platform)
        assert one.get_json()["id"] == instance_id
    refused(door.call("GET", f"/elements/datasette/instances/{instance_id}", as_=door.acme.platform), 404)


def test_an_instance_of_any_element_may_lower_its_limits(door: Door) -> None:
    limits = {"limits.calls_per_second": 2.5, "limits.calls_per_day": "500", "limits.concurrency": 2}
    made = create(door, configuration={"base_url": door.vendor.url, **limits})
    assert made.status_code == 200, made.text
    assert "Elements-Error" not in made.headers
    configuration = made.get_json()["configuration"]
    assert {name: configuration[name] for name in limits} == {name: str(value) for name, value in limits.items()}

    answer = create(door, configuration={"base_url": door.vendor.url, "limits.concurrency": "many"})
    refused(answer, 400)
    assert "limits.concurrency: accepted: a whole number from 1 to 1000" in answer.text


def test_what_means_nothing_is_ignored_and_told(door: Door) -> None:
    given = {"base_url": door.vendor.url, "filter.response.nulls": True}
    answer = create(door, configuration=given, providerData={"code": "x"}, colour="red")

    assert answer.status_code == 200
    assert answer.headers["Elements-Error"] == "Ignored: colour, configuration.filter.response.nulls"
    assert "providerData" not in answer.get_json()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "element"),
        ({"element": {}}, "element.key"),
        ({"element": "sandbox"}, "element"),
        ({"element": {"key": "datasette"}, "configuration": {}}, "base_url"),
        ({"element": {"key": "sandbox"}, "configuration": []}, "configuration"),
        ({"element": {"key": "sandbox"}, "configuration": {"password": ["very secret"]}}, "configuration.password"),
        ({"element": {"key": "sandbox"}, "configuration": {SIGNATURE_KEY: 5}}, SIGNATURE_KEY),
        ({"element": {"key": "sandbox"}, "configuration": {"base_url": "https://169.254.169.254"}}, "metadata"),
        ({"element": {"key": "sandbox"}, "configuration": {"base_url": "https://10.0.0.1"}}, "HAULAGE_ALLOW_NETWORKS"),
        ({"element": {"key": "sandbox"}, "tags": "a"}, "tags"),
        ({"element": {"key": "sandbox"}, "name": ""}, "name"),
    ],
)
def test_a_bad_instance_is_refused_by_name_without_its_secrets(door: Door, body: Any, told: str) -> None:
    message = refused(door.call("POST", "/instances", as_=door.acme.platform, json=body), 400)

    assert told in message
    assert "very secret" not in message


def test_an_unknown_element_is_not_found(door: Door) -> None:
    refused(create(door, element={"key": "nope"}), 404)
    refused(create(door, element={"id": 5}), 404)


def test_a_change_touches_what_it_names(door: Door) -> None:
    made = create(door, tags=["a", "b"]).get_json()
    path = f"/instances/{made['id']}"

    changed = door.call(
        "PATCH", path, as_=door.acme.platform, json={"tags": ["c"], "configuration": {"password": "new"}}
    )

    assert changed.get_json()["tags"] == ["c"], "PATCH replaces the list"
    assert changed.get_json()["name"] == made["name"]
    assert secrets_of(door, made["id"])["password"] == "new"
    assert secrets_of(door, made["id"])[SIGNATURE_KEY] == made["configuration"][SIGNATURE_KEY]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_mask_sent_back_keeps_the_secret(door: Door, method: str) -> None:
    made = create(door).get_json()
    shown = door.call("GET", f"/instances/{made['id']}", as_=door.acme.platform).get_json()
    before = secrets_of(door, made["id"])

    body = {"configuration": {**shown["configuration"], "username": "other"}}
    answer = door.call(method, f"/instances/{made['id']}", as_=door.acme.platform, json=body)

    assert answer.get_json()["configuration"]["username"] == "other"
    assert secrets_of(door, made["id"]) == before


def test_replacing_forgets_what_is_left_out_but_the_signing_key(door: Door) -> None:
    made = create(door).get_json()
    path = f"/instances/{made['id']}"

    answer = door.call("PUT", path, as_=door.acme.platform, json={"configuration": {"base_url": door.vendor.url}})

    assert answer.get_json()["configuration"]["username"] == "public", "the connector's default"
    assert secrets_of(door, made["id"])[SIGNATURE_KEY] == made["configuration"][SIGNATURE_KEY]


def test_null_forgets_a_setting(door: Door) -> None:
    made = create(door).get_json()

    answer = door.call(
        "PATCH", f"/instances/{made['id']}", as_=door.acme.platform, json={"configuration": {"username": None}}
    )

    assert answer.get_json()["configuration"]["username"] == "public"


def test_without_an_id_the_element_token_says_which(door: Door) -> None:
    instance_id = door.acme.instance_id

    assert door.call("GET", "/instances").get_json()["id"] == instance_id
    assert door.call("PATCH", "/instances", json={"name": "Renamed"}).get_json()["name"] == "Renamed"
    refused(door.call("PATCH", "/instances", as_=door.acme.platform, json={"name": "x"}), 401)
    assert door.call("DELETE", "/instances").status_code == 200
    refused(door.call("GET", "/instances"), 401)
    refused(door.call("GET", f"/instances/{instance_id}", as_=door.acme.platform), 404)


def test_instances_are_listed_page_by_page_and_narrowed(door: Door) -> None:
    made = [
        create(door, name=name, tags=tags).get_json()["id"] for name, tags in (("Alpha", ["a", "b"]), ("beta", ["b"]))
    ]

    def found(query: str) -> set[int]:
        answer = door.call("GET", f"/instances?{query}", as_=door.acme.platform)
        return {each["id"] for each in answer.get_json()}

    assert found("tags[]=a") == {made[0]}
    assert found("tags[]=a&tags[]=b") == {made[0]}
    assert found("tags[]=b") == set(made)
    assert found("searchText=ALPH") == {made[0]}
    first = door.call("GET", "/instances?pageSize=2", as_=door.acme.platform)
    rest = door.call("GET", f"/instances?nextPage={first.headers['elements-next-page-token']}", as_=door.acme.platform)
    ids = [each["id"] for each in first.get_json() + rest.get_json()]
    assert sorted(ids) == sorted([*made, door.acme.instance_id])
    assert "elements-next-page-token" not in rest.headers


def test_a_disabled_instance_is_refused_until_it_is_enabled(door: Door) -> None:
    path = f"/instances/{door.acme.instance_id}/enabled"

    assert door.call("DELETE", path, as_=door.acme.platform).get_json()["disabled"]
    refused(door.call("GET", "/bulk/jobs"), 401)
    assert not door.call("PUT", path, as_=door.acme.platform).get_json()["disabled"]
    assert door.call("GET", "/bulk/jobs").status_code == 200


def test_an_element_is_added_changed_and_deleted(door: Door) -> None:
    as_ = door.acme.platform
    made = door.call("POST", "/elements", as_=as_, json=MINIMAL).get_json()
    assert (made["key"], made["private"], made["revision"], made["objects"]) == ("private-vendor", True, 1, ["pets"])
    assert made["declaration"] == MINIMAL

    changed = {**MINIMAL, "name": "Pets"}
    assert door.call("PUT", "/elements/private-vendor", as_=as_, json=changed).get_json()["revision"] == 2
    again = door.call("PUT", f"/elements/{made['id']}", as_=as_, json=changed).get_json()
    assert (again["revision"], again["name"]) == (2, "Pets"), "the same document is no new revision"

    instance = door.call("POST", "/elements/private-vendor/instances", as_=as_, json={})
    assert instance.status_code == 200, instance.text
    assert "instance" in refused(door.call("DELETE", "/elements/private-vendor", as_=as_), 409)
    door.call("DELETE", f"/instances/{instance.get_json()['id']}", as_=as_)
    assert door.call("DELETE", "/elements/private-vendor", as_=as_).status_code == 200
    assert "GET /elements lists" in refused(door.call("GET", "/elements/private-vendor", as_=as_), 404)
    assert door.call("POST", "/elements", as_=as_, json=MINIMAL).status_code == 200, "the key is free again"


def test_two_tenants_may_use_the_same_key(door: Door) -> None:
    ids = {
        door.call("POST", "/elements", as_=tenant.platform, json=MINIMAL).get_json()["id"]
        for tenant in (door.acme, door.globex)
    }
    assert len(ids) == 2
    refused(door.call("POST", "/elements", as_=door.acme.platform, json=MINIMAL), 409)


def test_the_catalogue_is_for_everybody_and_for_nobody_to_change(door: Door) -> None:
    as_ = door.acme.platform

    assert not door.call("GET", "/elements/sandbox", as_=as_).get_json()["private"]
    refused(door.call("DELETE", "/elements/sandbox", as_=as_), 403)
    refused(door.call("PUT", "/elements/sandbox", as_=as_, json={**MINIMAL, "key": "sandbox"}), 403)
    refused(door.call("POST", "/elements", as_=as_, json={**MINIMAL, "key": "sandbox"}), 409)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"objects": {}}, "objects"),
        ({"base_url": "https://169.254.169.254"}, "metadata"),
        ({"auth": {"kind": "magic"}}, "/auth/kind"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_element_is_refused_with_the_place(door: Door, change: dict[str, Any], told: str) -> None:
    assert told in refused(door.call("POST", "/elements", as_=door.acme.platform, json={**MINIMAL, **change}), 400)


def test_a_key_of_an_element_cannot_change(door: Door) -> None:
    door.call("POST", "/elements", as_=door.acme.platform, json=MINIMAL)

    answer = door.call("PUT", "/elements/private-vendor", as_=door.acme.platform, json={**MINIMAL, "key": "other"})

    assert "other" in refused(answer, 400)


def test_secrets_survive_a_rotation_of_keys_that_is_interrupted(door: Door) -> None:
    from dataclasses import replace

    for _ in range(4):
        create(door)
    new = generate_encryption_key()
    rotating: Context = replace(door.ctx, vault=Vault((new, *door.ctx.settings.encryption_keys)))

    after_id, changed = identity.rotate_encryption(rotating, batch_size=2)
    assert changed == 2
    total = changed
    after_id = 0  # begun again from the start
    while (found := identity.rotate_encryption(rotating, after_id=after_id, batch_size=2))[0] != after_id:
        after_id, total = found[0], total + found[1]

    assert total == 6
    only_new = Vault((new,))
    with door.ctx.db.connection() as conn:
        for instance in instances.find_page(conn, door.acme.organisation_id, 0, 10, instances.InstanceFilter()):
            assert "password" in only_new.open(door.acme.organisation_id, instance.id, instance.secrets)
    shown = door.call("GET", f"/instances/{door.acme.instance_id}", as_=door.acme.platform).get_json()
    assert not shown["valid"], "this process has not got the new key"
