"""Pushing outputs as a client sees it, into a real folder; the test is the worker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hostile_server import HostileServer, Wire
from tests.fixtures.door import Door, Tenant
from tests.fixtures.waiting import wait_until
from tests.unit.test_time_limits import drip_head


@pytest.fixture
def exports(door: Door, tmp_path: Path) -> Path:
    """What acme has of the folder that the operator allows."""
    folder = tmp_path / "exports" / str(door.acme.organisation_id)
    folder.mkdir()
    return folder


def create(door: Door, tenant: Tenant, element: str = "file", **configuration: str) -> Any:
    body = {"element": {"key": element}, "configuration": configuration}
    return door.call("POST", "/instances", as_=tenant.platform, json=body)


def place_of(door: Door, tenant: Tenant, **configuration: str) -> int:
    made = create(door, tenant, **configuration)
    assert made.status_code == 200, made.text
    return int(made.get_json()["id"])


def test_the_output_is_in_the_folder_when_the_job_has_ended(door: Door, exports: Path) -> None:
    place = place_of(door, door.acme, folder="acme", prefix="daily/")
    assert list(exports.rglob("*.*")) == [], "what tries the place out is gone"
    details = {"instanceId": place, "path": "{objectName}/{jobId}.csv"}
    job_id = door.submit(format="text/csv", docsHubDetails=details)
    waiting = door.call("GET", f"/bulk/{job_id}/status").get_json()
    assert waiting["docsHub"] == {"instanceId": str(place), "path": details["path"], "state": "WAITING"}
    assert waiting["jobCriteria"]["docsHubDetails"] == {"instanceId": str(place), "path": details["path"]}

    while door.call("GET", f"/bulk/{job_id}/status").get_json()["docsHub"]["state"] != "PENDING":
        door.run_leg(job_id)
    file = door.call("GET", f"/bulk/{job_id}/records", headers={"Accept": "text/csv"})
    assert (file.status_code, "Elements-Error" in file.headers) == (200, False)
    assert door.call("PUT", f"/bulk/v3/{job_id}/restart").status_code == 409
    assert door.call("DELETE", f"/bulk/{job_id}").status_code == 409

    door.push(job_id)
    status = door.call("GET", f"/bulk/{job_id}/status").get_json()
    assert (status["status"], status["docsHub"]["state"]) == ("COMPLETED", "PUSHED")
    assert status["docsHub"]["path"] == f"records/{job_id}.csv"
    assert (exports / f"acme/daily/records/{job_id}.csv").read_bytes() == file.data


def test_a_push_that_was_given_up_is_told_in_a_header(door: Door, exports: Path) -> None:
    place = place_of(door, door.acme, folder="acme")
    job_id = door.submit(docsHubDetails={"instanceId": place, "path": "a/b.jsonl"})
    while door.call("GET", f"/bulk/{job_id}/status").get_json()["docsHub"]["state"] != "PENDING":
        door.run_leg(job_id)
    (exports / "acme").mkdir(exist_ok=True)
    (exports / "acme" / "a").write_text("a file where a folder is to be")
    door.execute("update pushes set give_up_at = now()")
    door.push(job_id)
    status = door.call("GET", f"/bulk/{job_id}/status")
    assert (status.get_json()["status"], status.get_json()["docsHub"]["state"]) == ("COMPLETED", "FAILED")
    for answer in (status, door.call("GET", f"/bulk/{job_id}")):
        assert answer.status_code == 200
        assert "was not pushed to a/b.jsonl" in answer.headers["Elements-Error"]


def test_a_place_that_cannot_be_written_to_is_no_instance(door: Door, exports: Path) -> None:
    (exports / "taken").write_text("a file")
    refused = create(door, door.acme, folder="taken")
    assert refused.status_code == 400
    assert "taken" in refused.get_json()["message"]
    outside = create(door, door.acme, folder="../outside")
    assert outside.status_code == 400
    assert "folder" in outside.get_json()["message"]
    shown = door.call("GET", "/instances", as_=door.acme.platform).get_json()
    assert {each["element"]["key"] for each in shown} == {"sandbox"}


def test_a_place_is_tried_out_before_its_settings_change(door: Door, exports: Path) -> None:
    place = place_of(door, door.acme, folder="acme")
    (exports / "taken").write_text("a file")
    change = {"configuration": {"folder": "taken"}}
    assert door.call("PATCH", f"/instances/{place}", as_=door.acme.platform, json=change).status_code == 400
    shown = door.call("GET", f"/instances/{place}", as_=door.acme.platform).get_json()
    assert shown["configuration"]["folder"] == "acme"
    named = door.call("PATCH", f"/instances/{place}", as_=door.acme.platform, json={"name": "Exports"})
    assert named.get_json()["name"] == "Exports"


def test_trials_of_one_tenant_do_not_take_all_threads(door: Door, exports: Path) -> None:
    hanging = {"bucket": "exports", "access_key_id": "AKIAKEY", "secret_access_key": "the-secret"}
    with ThreadPoolExecutor(2) as pool:
        with HostileServer(Wire.hang) as server:
            tried = [pool.submit(create, door, door.acme, "s3", endpoint_url=server.url, **hanging) for _ in range(2)]
            wait_until(lambda: server.connection_count == 2, "both to be tried out")
            refused = create(door, door.acme, folder="acme")
            assert refused.status_code == 503
            assert "being tried out now" in refused.get_json()["message"]
            assert create(door, door.globex, folder="globex").status_code == 200
        assert [each.result().status_code for each in tried] == [400, 400]
    assert create(door, door.acme, folder="acme").status_code == 200


def test_a_place_that_drips_does_not_hold_the_answer(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.destinations.TRY_S", 1.0)
    with HostileServer(drip_head) as server:
        refused = create(
            door,
            door.acme,
            "s3",
            bucket="exports",
            endpoint_url=server.url,
            access_key_id="AKIAKEY",
            secret_access_key="the-secret",
        )
    assert refused.status_code == 400
    assert "not done with a small object after 1 s" in refused.get_json()["message"]
    assert "the-secret" not in refused.text


@pytest.mark.parametrize(
    ("named", "told"), [({}, "is missing; a whole number"), ({"instanceId": None}, "a whole number")]
)
def test_a_missing_place_is_told_with_what_is_accepted(door: Door, named: dict[str, None], told: str) -> None:
    body = {"objectName": "records", "docsHubDetails": {**named, "path": "a"}}
    answer = door.call("POST", "/bulk/download", json=body)
    assert answer.status_code == 400
    assert f"docsHubDetails.instanceId: {told}" in answer.get_json()["message"].replace(" null", "")


def test_another_tenants_place_is_one_that_does_not_exist(door: Door) -> None:
    foreign = place_of(door, door.globex, folder="globex")
    answers = [
        door.call(
            "POST",
            "/bulk/download",
            json={"objectName": "records", "docsHubDetails": {"instanceId": named, "path": "a"}},
        )
        for named in (foreign, 123_456)
    ]
    told = [answer.get_json()["message"].replace(str(foreign), "123456") for answer in answers]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert told[0] == told[1]


def test_tenants_do_not_share_folders(door: Door, exports: Path) -> None:
    for tenant in (door.acme, door.globex):
        place_of(door, tenant, folder="same")
    found = {each.parent.name for each in exports.parent.rglob("same")}
    assert found == {str(door.acme.organisation_id), str(door.globex.organisation_id)}


def test_a_place_has_nothing_to_download(door: Door) -> None:
    made = create(door, door.acme, folder="acme").get_json()
    token = f"{door.acme.platform}, Element {made['token']}"
    answer = door.call("POST", "/bulk/download", as_=token, json={"objectName": "files"})
    assert answer.status_code == 400
    assert "files" in answer.get_json()["message"]


def test_places_come_with_the_product(door: Door) -> None:
    document = {"format": 1, "key": "mine", "hub": "documents", "destination": "file"}
    answer = door.call("POST", "/elements", as_=door.acme.platform, json=document)
    assert answer.status_code == 400
    assert "destination is not accepted" in answer.get_json()["message"]
