import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api import documentation, operations
from app.api.wsgi import create_app
from app.db.pool import Database
from app.enqueue import Enqueuer
from app.storage.objects import ObjectStore
from tests.fixtures.door import PREFIX, Door

NOBODY = "127.0.0.1:1"


def test_health_asks_nobody(door: Door) -> None:
    database = Database(f"postgresql://nobody@{NOBODY}/none", wait_s=0.1)
    app = create_app(replace(door.ctx, db=database))

    assert app.test_client().get("/health").get_json() == {"status": "UP"}


def test_ready_tells_database_store_and_work(door: Door) -> None:
    answer = door.app.test_client().get("/ready")

    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "READY",
        "faults": {},
        "warnings": {},
        "oldestDueAgeSeconds": pytest.approx(0, abs=60),
    }


def test_a_broker_that_is_down_is_only_a_warning(door: Door) -> None:
    app = create_app(replace(door.ctx, enqueuer=Enqueuer(f"redis://{NOBODY}/0")))

    answer = app.test_client().get("/ready")

    assert answer.status_code == 200
    assert "broker" in answer.get_json()["warnings"]


def test_without_database_or_store_it_is_not_ready(door: Door, tmp_path: Path) -> None:
    database = Database(f"postgresql://nobody@{NOBODY}/none", wait_s=0.1)
    database.open()
    gone = tmp_path / "file"
    gone.write_text("no folder")
    store = ObjectStore.from_url((gone / "below").as_uri())
    app = create_app(replace(door.ctx, db=database, store=store))

    answer = app.test_client().get("/ready")
    scraped = app.test_client().get("/metrics").text
    call = app.test_client().get(f"{PREFIX}/bulk/jobs", headers={"Authorization": door.acme.element})
    database.close()

    assert answer.status_code == 503
    assert set(answer.get_json()["faults"]) == {"database", "storage"}
    assert "haulage_up 0.0" in scraped
    assert call.status_code == 503
    assert call.headers["Retry-After"]


def test_a_database_without_its_migrations_is_not_ready(door: Door) -> None:
    door.execute("update migrations set name = '~' || name where name = (select max(name) from migrations)")
    try:
        faults = door.app.test_client().get("/ready").get_json()["faults"]
    finally:  # the database is that of the tests that follow
        door.execute("update migrations set name = ltrim(name, '~')")

    assert "haulage release" in faults["database"]


def test_methods_that_nobody_knows_do_not_fill_the_metrics(door: Door) -> None:
    client = door.app.test_client()
    for method in ("INVENTED", "MADEUP"):
        client.open("/health", method=method)

    scraped = client.get("/metrics").text

    assert 'method="other"' in scraped
    assert "INVENTED" not in scraped


def test_metrics_tell_the_work_and_no_tenant(door: Door) -> None:
    door.fetched()
    door.submit()

    scraped = door.app.test_client().get("/metrics").text

    assert 'haulage_jobs{status="COMPLETED"} 1.0' in scraped
    assert 'haulage_jobs{status="CREATED"} 1.0' in scraped
    assert "haulage_slices_due 1.0" in scraped
    assert re.search(r"^haulage_oldest_due_age_seconds \d", scraped, re.MULTILINE)
    assert "haulage_deliveries_pending 0.0" in scraped
    assert "haulage_worker_slots 0.0" in scraped
    assert 'route="/elements/api-v2/bulk/download",status="200"' in scraped
    assert "acme" not in scraped
    assert str(door.acme.organisation_id) not in scraped


def test_the_document_describes_every_call(door: Door) -> None:
    document = door.app.test_client().get("/openapi.json").get_json()

    assert document["openapi"].startswith("3.")
    assert document["servers"] == [{"url": PREFIX}]
    described = {
        (method.upper(), path)
        for path, calls in document["paths"].items()
        for method in calls
        if method != "parameters"
    }
    of_hubs = {"hub_bulk", "hub_callbacks", "hub_schedules", "hub_workflows"}
    hidden = {operations.blueprint.name, documentation.blueprint.name, *of_hubs}
    offered = {
        (method, re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule).removeprefix(PREFIX))
        for rule in door.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in hidden
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    }
    assert described == offered
    assert len(json.dumps(document)) > 10_000
    assert "(reference" not in json.dumps(document)
    assert all({"400", "default"} <= call["responses"].keys() for call in _calls_with_body(document))
    assert all(
        call.get("summary")
        for calls in document["paths"].values()
        for name, call in calls.items()
        if name != "parameters"
    )


def test_log_lines_of_a_job_name_it(door: Door) -> None:
    with capture_logs() as logs:
        job_id = door.submit()
        door.call("GET", f"/bulk/{job_id}/status")
        door.call("GET", "/bulk/jobs")
    assert [line["job"] for line in logs if line["event"] == "http.request"] == [job_id, job_id, None]


def _calls_with_body(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        call
        for calls in document["paths"].values()
        for name, call in calls.items()
        if name != "parameters" and "requestBody" in call
    ]


def test_the_page_runs_on_files_of_our_own(door: Door) -> None:
    client = door.app.test_client()
    page = client.get("/docs", buffered=True)
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for found in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert found.startswith("/docs/")
        asset = client.get(found, buffered=True)
        assert asset.status_code == 200
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        assert len(asset.data) > 100
    assert "<script>" not in page.text
    assert client.get("/docs/swagger-ui/LICENSE", buffered=True).status_code == 200
    assert client.get("/docs/swagger-ui/../wsgi.py", buffered=True).status_code == 404
    assert client.get("/").location == "/docs"
    assert "/openapi.json lists all" in client.get("/bulk/jobs").get_json()["message"]
