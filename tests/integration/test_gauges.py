"""What `/metrics` tells of schedules that are late and of pushes. The test is sweeper and worker."""

from pathlib import Path

from app.api.metrics import exposition
from app.services.health import HealthCheck
from app.services.schedule_runs import take_due
from tests.fixtures.door import Door
from tests.integration.test_api_pushes import place_of


def gauge(door: Door, name: str) -> float:
    """Read afresh: the figures of a process are kept for two seconds."""
    lines = exposition(HealthCheck(door.ctx).figures()).decode().splitlines()
    [found] = [line for line in lines if line.startswith(f"{name} ")]
    return float(found.split()[1])


def schedule(door: Door) -> int:
    made = door.call("POST", "/bulk/schedules", json={"objectName": "records", "cron": "0 0 1 1 *"})
    assert made.status_code == 200, made.text
    return int(made.get_json()["id"])


def schedules(door: Door) -> list[float]:
    return [gauge(door, f"haulage_schedules_{what}") for what in ("due", "waiting")]


def test_a_schedule_that_nobody_takes_is_late(door: Door) -> None:
    schedule(door)
    assert (schedules(door), gauge(door, "haulage_oldest_schedule_age_seconds")) == ([0, 0], 0)
    door.execute("update schedules set next_due_at = now() - interval '1 hour'")
    assert schedules(door) == [1, 0]
    assert 3600 <= gauge(door, "haulage_oldest_schedule_age_seconds") < 3700

    take_due(door.ctx)

    assert (schedules(door), gauge(door, "haulage_oldest_schedule_age_seconds")) == ([0, 0], 0)
    door.execute("update schedules set next_due_at = now() - interval '1 hour'")
    assert schedules(door) == [0, 1], "the job of the run before is under way"
    assert gauge(door, "haulage_oldest_schedule_age_seconds") == 0


def test_schedules_that_rest_are_not_late(door: Door) -> None:
    schedule_id = schedule(door)
    for as_, path in (
        (door.acme.element, f"/bulk/schedules/{schedule_id}"),
        (door.acme.platform, f"/instances/{door.acme.instance_id}"),
    ):
        door.execute("update schedules set next_due_at = now() - interval '1 hour'")
        assert schedules(door) == [1, 0]
        door.call("DELETE", path, as_=as_)
        assert schedules(door) == [0, 0]
        door.execute("update schedules set deleted_at = null")


def test_pushes_are_told_by_state(door: Door, tmp_path: Path) -> None:
    (tmp_path / "exports" / str(door.acme.organisation_id)).mkdir()
    place = place_of(door, door.acme, folder="acme")

    def pushes() -> list[float]:
        return [gauge(door, f'haulage_pushes{{state="{state}"}}') for state in ("PENDING", "PUSHED", "FAILED")]

    jobs = [door.submit(docsHubDetails={"instanceId": place, "path": f"{name}.jsonl"}) for name in "abc"]
    assert (pushes(), gauge(door, "haulage_pushes_due")) == ([0, 0, 0], 0)
    for job_id in jobs:
        while door.call("GET", f"/bulk/{job_id}/status").get_json()["docsHub"]["state"] != "PENDING":
            door.run_leg(job_id)
    assert (pushes(), gauge(door, "haulage_pushes_due")) == ([3, 0, 0], 3)
    door.execute("update pushes set next_attempt_at = now() + interval '1 hour' where job_id = %s", jobs[0])
    assert (pushes(), gauge(door, "haulage_pushes_due")) == ([3, 0, 0], 2)
    door.push(jobs[1])
    assert (pushes(), gauge(door, "haulage_pushes_due")) == ([2, 1, 0], 1)
    door.execute("update pushes set state = 'FAILED', finished_at = now() where job_id = %s", jobs[2])
    assert (pushes(), gauge(door, "haulage_pushes_due")) == ([1, 1, 1], 0), "what only tidies up is not due"
    assert str(door.acme.organisation_id) not in exposition(HealthCheck(door.ctx).figures()).decode()
