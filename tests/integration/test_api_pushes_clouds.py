"""Pushing outputs to Google and Azure as a client sees it, at their emulators; the test is the worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.destinations.model import Place, Settings
from tests.fixtures.door import Door

ELEMENTS = {"gcs": "gcs", "azure": "azure-blob"}


@pytest.fixture(params=list(ELEMENTS))
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


def create(door: Door, settings: Settings) -> Any:
    configuration = {**settings.config, **settings.secrets}
    body = {"element": {"key": ELEMENTS[settings.kind]}, "configuration": configuration}
    return door.call("POST", "/instances", as_=door.acme.platform, json=body)


def test_the_output_is_in_the_cloud_when_the_job_has_ended(door: Door, place: Place) -> None:
    made = create(door, place.settings)
    assert made.status_code == 200, made.text
    assert not any(secret in made.text for secret in place.settings.secrets.values())
    details = {"instanceId": made.get_json()["id"], "path": "{objectName}/{jobId}.jsonl.gz"}
    job_id = door.submit(docsHubDetails=details)
    while door.call("GET", f"/bulk/{job_id}/status").get_json()["docsHub"]["state"] != "PENDING":
        door.run_leg(job_id)
    door.push(job_id)
    status = door.call("GET", f"/bulk/{job_id}/status").get_json()
    assert (status["status"], status["docsHub"]["state"]) == ("COMPLETED", "PUSHED")
    assert place.names() == [f"{place.prefix}records/{job_id}.jsonl.gz"]
    assert place.unfinished() == []
    assert (place.read(place.names()[0]) or b"").startswith(b"\x1f\x8b")


def test_a_place_that_is_not_there_is_no_instance(door: Door, place: Place) -> None:
    refused = create(door, place.missing())
    assert refused.status_code == 400
    assert "missing" in refused.get_json()["message"]
    assert not any(secret in refused.text for secret in place.settings.secrets.values())
