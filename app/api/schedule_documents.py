"""Schedules and their runs as they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.api.schedule_schemas import FORGOTTEN
from app.db.schedule_runs import ScheduleRun
from app.db.schedules import Schedule
from app.domain.schedules import RunState
from app.services.schedules import Shown


def schedule_document(shown: Shown) -> dict[str, Any]:
    """One schedule."""
    found = shown.schedule
    is_paused = found.paused_at is not None
    return {
        "id": found.id,
        "instanceId": found.instance_id,
        "jobCriteria": found.criteria,
        "target": found.target and {"instanceId": found.target["instanceId"], **found.target["options"]},
        **terms_document(found),
        "paused": is_paused,
        "nextDueAt": None if is_paused or found.next_due_at is None else _text(found.next_due_at),
        "waitsForJobId": found.current_job_id if found.is_waiting else None,
        "nextDueTimes": [each.isoformat() for each in shown.due_times],
        "lastSuccessfulJobId": shown.success_job_id,
        "lastRuns": [run_document(run) for run in shown.runs],
        "createdDate": _text(found.created_at),
        "updatedDate": _text(found.updated_at),
    }


def terms_document(found: Schedule) -> dict[str, Any]:
    """When and how it runs, by the names on the wire."""
    return {
        "name": found.name,
        "cron": found.cron,
        "timeZone": found.time_zone,
        "catchUp": found.catch_up.value,
        "catchUpLimit": found.catch_up_limit,
        "incremental": found.is_incremental,
        "allowOverlap": found.may_overlap,
    }


def run_document(run: ScheduleRun) -> dict[str, Any]:
    """One run."""
    return {
        "number": run.number,
        "kind": run.kind.value,
        "dueAt": _text(run.due_at),
        "firstDueAt": _text(run.first_due_at),
        "dueCount": run.due_count,
        "state": _state(run),
        "jobId": run.job_id,
        "uploadJobId": run.upload_job_id,
        "note": " ".join(each for each in (run.note, run.feed_note) if each) or None,
        "createdDate": _text(run.created_at),
    }


def _state(run: ScheduleRun) -> str:
    if run.state is not RunState.SUBMITTED:
        return run.state.value
    return FORGOTTEN if run.job_status is None else run.job_status.value


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
