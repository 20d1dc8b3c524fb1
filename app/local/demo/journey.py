"""What a user does: make an instance, submit a download, watch it, be called back, fetch the file. Over HTTP only."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.local.demo.dataset import FLIGHT_COUNT
from app.local.demo.progress import JobProgress
from app.local.demo.receiver import Receiver
from app.local.errors import LocalError
from app.local.rest import Api
from app.local.tenant import Tenant

BASE = "/elements/api-v2"
PAGE_SIZE = 1000
_JOB_S = 600.0
_POLL_S = 0.25
_CALLBACK_S = 120.0
_FINAL = {"COMPLETED", "ABORTED", "CANCELED"}


@dataclass(frozen=True)
class Download:
    """The ended job: its status document, the callback's, the file, and how long each part took."""

    status: dict[str, Any]
    callback_id: str
    callback: dict[str, Any]
    file: Path
    job_s: float
    file_s: float


def create_instance(api_url: str, tenant: Tenant, configuration: Mapping[str, str]) -> Api:
    """An instance of Datasette; the API with the header that speaks for it."""
    platform = Api(api_url + BASE, {"Authorization": tenant.authorization})
    instance = platform.post(
        "/instances",
        {
            "name": "New York flights",
            "element": {"key": "datasette"},
            "configuration": dict(configuration),
        },
    )
    return Api(api_url + BASE, {"Authorization": f"{tenant.authorization}, Element {instance['token']}"})


def download(api: Api, receiver: Receiver, file: Path, each: Callable[[int], None]) -> Download:
    """The whole way. `each` is told the record count at each poll. Raises LocalError unless the job completes."""
    started_at_s = time.monotonic()
    job = api.post(
        "/bulk/download",
        {
            "objectName": "flights",
            "format": "application/jsonl",
            "pageSize": PAGE_SIZE,
            "notificationUrl": receiver.url,
        },
    )
    print(f"  job {job['id']} {job['status']}")
    status = _watch(api, job["id"], each)
    job_s = time.monotonic() - started_at_s
    if status["jobStatus"] != "COMPLETED":
        raise LocalError(f"the job ended {status['jobStatus']}: {status.get('error') or status.get('statusMessage')}")
    callback = receiver.wait(_CALLBACK_S)
    started_at_s = time.monotonic()
    with api.stream("GET", f"/bulk/{job['id']}/flights") as answer, file.open("wb") as target:
        shutil.copyfileobj(answer, target, 1024 * 1024)
    file_s = time.monotonic() - started_at_s
    return Download(status, callback.event_id, callback.document, file, job_s, file_s)


def _watch(api: Api, job_id: str, each: Callable[[int], None]) -> dict[str, Any]:
    """The final status document."""
    deadline = time.monotonic() + _JOB_S
    with JobProgress(FLIGHT_COUNT) as progress:
        while True:
            status: dict[str, Any] = api.get(f"/bulk/{job_id}/status")
            record_count = int(status["recordCount"])
            calls = status["metadata"]["totalApiCallCount"]
            progress.update(record_count, f"{status['jobStatus']}, {calls} vendor calls")
            if status["jobStatus"] in _FINAL:
                return status
            if time.monotonic() >= deadline:
                raise LocalError(f"the job is still {status['jobStatus']} after {_JOB_S:g} s")
            each(record_count)
            time.sleep(_POLL_S)
