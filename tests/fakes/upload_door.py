"""The HTTP door over the engine of uploads: what a client is told, while the test runs the legs."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.api.runtime import EXTENSION, PREFIX
from app.domain.tokens import hash_of
from app.services.identity import create_user
from tests.fakes.engine import Tenant
from tests.fakes.shared_app import app_with
from tests.fakes.steps import Killed
from tests.fakes.upload_engine import UploadEngine

if TYPE_CHECKING:
    from werkzeug.test import TestResponse


MIXED = b"email,age\na@x.test,1\nb@x.test,old\nno address,3\nc@x.test,4,5\nd@x.test,6\n"
"""Five rows: created, unreadable, refused, unreadable, created."""


class UploadDoor(UploadEngine):
    """Calls are made as the newest tenant unless told otherwise."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        super().__init__(database_url, folder, **settings)
        self.app = app_with(self.engine.ctx)
        self._headers: dict[int, str] = {}

    def call(self, method: str, path: str, *, as_: Tenant | None = None, **options: Any) -> TestResponse:
        self.app.extensions[EXTENSION] = replace(self.engine.ctx, db=self.engine.plain_db)  # only legs are stepped
        headers = {"Authorization": self._header(as_ or self.tenant), **options.pop("headers", {})}
        return self.app.test_client().open(PREFIX + path, method=method, headers=headers, **options)

    def ended(self, content: bytes, **options: Any) -> int:
        """An upload that was run to its end; its job's id."""
        job_id = self.submit(content, **options)
        self.run(job_id)
        return job_id

    def status(self, job_id: int) -> dict[str, Any]:
        document: dict[str, Any] = self.call("GET", f"/bulk/{job_id}/status").get_json()
        return document

    def errors(self, job_id: int) -> list[dict[str, Any]]:
        """All of them."""
        found: list[dict[str, Any]] = self.call("GET", f"/bulk/{job_id}/errors?pageSize=5000").get_json()
        return found

    def results(self, job_id: int) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/bulk/{job_id}/results")
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.data.splitlines()]

    def retry(self, job_id: int, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", f"/bulk/{job_id}/retry-failed", json=body, **options)

    def retried(self, job_id: int, body: Any = None, **options: Any) -> int:
        """The new job."""
        answer = self.retry(job_id, body, **options)
        assert answer.status_code == 200, answer.text
        return int(answer.get_json()["id"])

    def kill_leg(self, job_id: int, step: int) -> None:
        """One leg, whose worker dies at that step."""
        self.engine.steps.arm(step)
        with suppress(Killed):
            self.engine.leg(job_id)
        self.engine.steps.arm(-1)

    def inputs(self) -> set[str]:
        """Objects that uploads have stored."""
        return set(self.engine.ctx.store.list("uploads/"))

    def _header(self, tenant: Tenant) -> str:
        if tenant.instance_id not in self._headers:
            token = f"token-of-{tenant.instance_id}"
            statement = "update instances set token_hash = %s where id = %s"
            self.engine.execute(statement, hash_of(token), tenant.instance_id)
            name = self.engine.one("select name from organisations where id = %s", tenant.organisation_id)["name"]
            _, secret = create_user(self.engine.ctx, name, "engineer")
            self._headers[tenant.instance_id] = f"User {secret.secret}, Element {token}"
        return self._headers[tenant.instance_id]
