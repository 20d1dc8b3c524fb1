"""Schedules over HTTP: what is taken, what is refused and how, and what is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.services.schedule_runs import take_due
from tests.fixtures.door import Door
from tests.integration.test_api_bulk import refused

BODY: dict[str, Any] = {"objectName": "records", "cron": "30 6 * * MON-FRI", "timeZone": "Europe/Berlin"}


def create(door: Door, **given: Any) -> dict[str, Any]:
    answer = door.call("POST", "/bulk/schedules", json={**BODY, **given})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def make_due(door: Door) -> None:
    """The next due time of every schedule is over, and it is taken."""
    door.execute("update schedules set next_due_at = date_trunc('minute', now())")
    take_due(door.ctx)


@pytest.mark.parametrize("path", ["/bulk/schedules", "/hubs/crm/bulk/schedules"])
def test_a_schedule_tells_its_next_five_due_times_in_its_zone(door: Door, path: str) -> None:
    made = create(door, name="weekday sync", pageSize=50)

    told = door.call("GET", f"{path}/{made['id']}").get_json()

    assert told == made
    assert told["jobCriteria"] == {"objectName": "records", "format": "application/jsonl", "pageSize": 50}
    assert (told["name"], told["catchUp"], told["paused"], told["waitsForJobId"]) == (
        "weekday sync",
        "one",
        False,
        None,
    )
    times = [datetime.fromisoformat(each) for each in told["nextDueTimes"]]
    assert len(times) == 5
    assert all(f"{each:%H:%M}" == "06:30" and each.isoweekday() <= 5 for each in times)
    assert all(each.utcoffset() in {timedelta(hours=1), timedelta(hours=2)} for each in times)
    assert datetime.fromisoformat(told["nextDueAt"]) == times[0] > datetime.now(UTC)
    assert [each["id"] for each in door.call("GET", path).get_json()] == [made["id"]]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"cron": "61 * * * *"}, "cron: minute '61' is not accepted: numbers 0-59"),
        ({"cron": "0 0 12 * * 2"}, "exactly one of them is `?`"),
        ({"cron": None}, "cron"),
        ({"cron": 5}, "cron 5: a text of 1 to 200 characters is accepted."),
        ({"cron": "0 0 30 2 *"}, "cron '0 0 30 2 *' matches no time to come"),
        ({"timeZone": "Mars/Base"}, "timeZone 'Mars/Base' is not accepted: a name of the IANA time zone database"),
        ({"timeZone": "../../etc/passwd"}, "timeZone '../../etc/passwd' is not accepted"),
        ({"timeZone": "Europe"}, "timeZone 'Europe' is not accepted"),
        ({"timeZone": "localtime"}, "timeZone 'localtime' is not accepted"),
        ({"timeZone": "right/Europe/Berlin"}, "timeZone 'right/Europe/Berlin' is not accepted"),
        ({"catchUp": "some"}, 'catchUp "some": one of skip, one, all is accepted.'),
        ({"catchUpLimit": 0}, "catchUpLimit 0: a whole number from 1 to 1000 is accepted."),
        ({"timezone": "UTC"}, "'timezone' is not a criterion; accepted: objectName,"),
        ({"incremental": True}, "incremental is not accepted: filterDateField names the date"),
        ({"continueFromJobId": 5}, "continueFromJobId is not accepted in a schedule"),
        # The same words as for a job.
        ({"objectName": "gone"}, "'gone'"),
        ({"objectName": None}, "objectName"),
        ({"pageSize": 0}, "pageSize 0: a whole number from 1 to 2147483647 is accepted."),
        ({"where": "id ="}, "where"),
        ({"from": "2024-01-01"}, "filterDateField"),
        ({"notificationUrl": "http://169.254.169.254/"}, "notificationUrl"),
        (
            {"retentionHours": 721},
            "retentionHours 721 is more than HAULAGE_RETENTION_MAX_S allows; 1 to 720 is accepted.",
        ),
        ({"query": {"page": "7"}, "objectName": "records_page"}, "query.page is set by the paging"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_scheduled(door: Door, given: dict[str, Any], named: str) -> None:
    body = {name: value for name, value in {**BODY, **given}.items() if value is not None}

    message = refused(door.call("POST", "/bulk/schedules", json=body), 400)

    assert named in message
    own = {"cron", "timeZone", "catchUp", "catchUpLimit", "incremental", "timezone", "continueFromJobId"}
    if not own & set(given):
        job = {name: value for name, value in body.items() if name not in own}
        assert refused(door.call("POST", "/bulk/download", json=job), 400) == message
    assert door.call("GET", "/bulk/schedules").get_json() == []


def test_a_disabled_instance_takes_no_schedules(door: Door) -> None:
    made = create(door)
    door.execute("update instances set disabled_at = now()")
    assert door.call("POST", "/bulk/schedules", json=BODY).status_code in {401, 403, 409}
    assert door.call("POST", f"/bulk/schedules/{made['id']}/run").status_code in {401, 403, 409}


def test_a_key_gives_the_same_schedule_again_and_no_other(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (door.call("POST", "/bulk/schedules", json=BODY, headers=headers).get_json() for _ in range(2))
    assert first["id"] == second["id"]
    refused(door.call("POST", "/bulk/schedules", json={**BODY, "name": "x"}, headers=headers), 422)
    refused(door.call("POST", "/bulk/download", json={"objectName": "records"}, headers=headers), 422)
    assert len(door.call("GET", "/bulk/schedules").get_json()) == 1


def test_a_change_changes_what_it_names_and_a_replacement_all(door: Door) -> None:
    path = f"/bulk/schedules/{create(door, pageSize=50, name='n', catchUp='all')['id']}"

    changed = door.call("PATCH", path, json={"pageSize": None, "limit": 9, "timeZone": "Asia/Tokyo"}).get_json()
    assert changed["jobCriteria"] == {"objectName": "records", "format": "application/jsonl", "limit": 9}
    assert (changed["timeZone"], changed["name"], changed["catchUp"]) == ("Asia/Tokyo", "n", "all")
    assert all(each.endswith("+09:00") for each in changed["nextDueTimes"])
    assert datetime.fromisoformat(changed["nextDueAt"]) == datetime.fromisoformat(changed["nextDueTimes"][0])

    replaced = door.call("PUT", path, json={"objectName": "records", "cron": "0 0 1 * *"}).get_json()
    assert (replaced["timeZone"], replaced["name"], replaced["catchUp"]) == ("UTC", "records", "one")
    assert "limit" not in replaced["jobCriteria"]

    for method, body in (("PATCH", {"cron": "x"}), ("PATCH", {"limit": 0}), ("PATCH", {"surprise": 1}), ("PUT", {})):
        assert door.call(method, path, json=body).status_code == 400, body
    assert door.call("GET", path).get_json()["cron"] == "0 0 1 * *"


def test_pause_resume_run_and_delete(door: Door) -> None:
    path = f"/bulk/schedules/{create(door, cron='* * * * *', filterDateField='updated')['id']}"
    paused = door.call("PUT", f"{path}/pause").get_json()
    assert (paused["paused"], paused["nextDueAt"]) == (True, None)
    make_due(door)
    assert door.call("GET", f"{path}/runs").get_json() == []

    first = door.call("POST", f"{path}/run").get_json()
    assert first == {"instanceId": door.acme.instance_id, "id": first["id"], "status": "CREATED"}
    assert f"Job {first['id']} of the run before is under way" in refused(door.call("POST", f"{path}/run"), 409)
    assert door.call("GET", path).get_json()["waitsForJobId"] == int(first["id"])
    door.finish(int(first["id"]))

    span = {"from": "2024-01-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"}
    ranged = door.call("POST", f"{path}/run", json=span).get_json()
    assert door.call("GET", f"/bulk/{ranged['id']}/status").get_json()["jobCriteria"] == {
        "objectName": "records",
        "format": "application/jsonl",
        "filterDateField": "updated",
        **span,
    }
    for body, named in (
        ({"from": "2024-01-01"}, "to: is missing"),
        ({"from": "x", "to": "2024-01-01"}, "from"),
        ({"form": "x"}, "`from` and `to` are accepted"),
    ):
        assert named in refused(door.call("POST", f"{path}/run", json=body), 400)

    assert door.call("PUT", f"{path}/resume").get_json()["paused"] is False
    make_due(door)
    runs = door.call("GET", f"{path}/runs").get_json()
    assert [(run["number"], run["kind"], run["state"]) for run in runs] == [
        (3, "DUE", "CREATED"),
        (2, "RANGE", "CREATED"),
        (1, "NOW", "COMPLETED"),
    ]
    shown = door.call("GET", path).get_json()
    assert shown["lastRuns"] == runs
    assert shown["lastSuccessfulJobId"] == int(first["id"])

    assert door.call("DELETE", path).get_json() == {}
    refused(door.call("GET", path), 404)
    assert door.call("GET", f"/bulk/{runs[0]['jobId']}/status").status_code == 200, "its jobs stay"


def test_lists_come_in_pages(door: Door) -> None:
    made = [create(door, name=f"schedule {number}", cron="* * * * *", allowOverlap=True) for number in range(5)]
    path = f"/bulk/schedules/{made[0]['id']}"
    for _ in range(5):
        assert door.call("POST", f"{path}/run").status_code == 200
    for listed, names in (
        ("/bulk/schedules", [each["name"] for each in made[::-1]]),
        (f"{path}/runs", [5, 4, 3, 2, 1]),
    ):
        found: list[object] = []
        token: str | None = ""
        while token is not None:
            answer = door.call("GET", listed, query_string={"pageSize": 2, "nextPage": token})
            found += [each.get("name") or each["number"] for each in answer.get_json()]
            token = answer.headers.get("elements-next-page-token")
        assert found == names


def test_a_foreign_schedule_answers_like_one_that_does_not_exist(door: Door) -> None:
    mine = create(door)["id"]
    for method, end, body in (
        ("GET", "", None),
        ("PUT", "", BODY),
        ("PATCH", "", {"name": "mine now"}),
        ("PATCH", "", {"nonsense": 1}),
        ("DELETE", "", None),
        ("PUT", "/pause", None),
        ("PUT", "/resume", None),
        ("POST", "/run", None),
        ("POST", "/run", {"nonsense": 1}),
        ("GET", "/runs", None),
    ):
        foreign = door.call(method, f"/bulk/schedules/{mine}{end}", as_=door.globex.element, json=body)
        unknown = door.call(method, f"/bulk/schedules/12345{end}", as_=door.globex.element, json=body)
        assert refused(foreign, 404) == refused(unknown, 404).replace("12345", str(mine))
    assert door.call("GET", "/bulk/schedules", as_=door.globex.element).get_json() == []
    assert create(door)["id"] != mine
    assert door.call("GET", f"/bulk/schedules/{mine}").get_json()["name"] == "records"


def test_a_criterion_that_means_nothing_is_told(door: Door) -> None:
    answer = door.call("POST", "/bulk/schedules", json={**BODY, "metaData": {"fileName": "a", "shoe": 1}})
    assert answer.headers["Elements-Error"] == "Ignored: metaData.shoe."


def test_the_document_describes_every_call(door: Door) -> None:
    document = door.app.test_client().get("/openapi.json").get_json()
    paths = {path: set(each) for path, each in document["paths"].items() if path.startswith("/bulk/schedules")}
    one = "/bulk/schedules/{schedule_id}"
    assert {name: methods - {"parameters"} for name, methods in paths.items()} == {
        "/bulk/schedules": {"get", "post"},
        one: {"get", "put", "patch", "delete"},
        f"{one}/pause": {"put"},
        f"{one}/resume": {"put"},
        f"{one}/run": {"post"},
        f"{one}/runs": {"get"},
    }
    assert {"cron", "timeZone", "objectName", "where"} <= set(
        document["components"]["schemas"]["NewSchedule"]["properties"]
    )
