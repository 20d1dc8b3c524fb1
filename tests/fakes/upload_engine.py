"""The engine for uploads: services on a real database and real files, with a vendor in memory that takes records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from app.db.pool import Row
from app.domain.jobs import JobStatus
from app.domain.uploads import UploadOptions
from app.errors import StorageUnavailableError
from app.http_client import HttpClient
from app.services.intake import Intake, receive
from app.services.upload_plan import rows_of
from tests.fakes.engine import Engine, Tenant
from tests.fakes.write_vendor import WriteVendor, document


def emails(count: int) -> list[str]:
    return [f"p{number}@example.test" for number in range(1, count + 1)]


def csv_of(addresses: list[str]) -> bytes:
    """A file of people, with an age each."""
    lines = [f"{address},{20 + number}" for number, address in enumerate(addresses)]
    return "\n".join(["email,age", *lines, ""]).encode()


def rows_behind_which_the_store_fails(row_count: int) -> Callable[..., Iterator[Any]]:
    """To stand in the place of app.services.upload.rows_of."""

    def broken(*args: Any, **named: Any) -> Iterator[Any]:
        yield from islice(rows_of(*args, **named), row_count)
        raise StorageUnavailableError("The store does not answer.")

    return broken


class UploadEngine:
    """`engine` is the engine of downloads, whose vendor is another one; legs and looks are its own."""

    def __init__(
        self, database_url: str, folder: Path, connector: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.engine = Engine.make(database_url, folder, **settings)
        self.target = WriteVendor(self.engine.steps)
        self.engine.ctx = replace(self.engine.ctx, http=cast("HttpClient", self.target))
        self.tenant: Tenant = self.engine.add_tenant_of(connector or document())

    def declare(self, **overrides: Any) -> None:
        """Another connector for what is submitted from now on, and an empty vendor."""
        self.tenant = self.engine.add_tenant_of(document(**overrides))
        self.clear()

    def clear(self, **habits: Any) -> None:
        """A vendor without records."""
        self.target = WriteVendor(self.engine.steps, **habits)
        self.engine.ctx = replace(self.engine.ctx, http=cast("HttpClient", self.target))

    def submit(self, content: bytes, **options: Any) -> int:
        """An upload of that file; its job's id."""

        def read(intake: Intake) -> UploadOptions:
            intake.keep([content])
            return UploadOptions("people", **options)

        return receive(self.engine.ctx, self.tenant.caller, "people", read).job_id

    def run(self, job_id: int, legs: int = 100) -> JobStatus:
        """Legs until the job has ended, whatever they wait for."""
        return self.engine.run(job_id, legs=legs).status

    def rows(self, job_id: int) -> list[Row]:
        return self.engine.rows("select * from upload_rows where job_id = %s order by number", job_id)

    def verdicts(self, job_id: int) -> Counter[str]:
        return Counter(str(row["verdict"]) for row in self.rows(job_id))

    def in_doubt(self, job_id: int) -> int:
        """Rows that were sent, and of which nobody has heard."""
        return sum(row["is_sent"] and row["verdict"] is None for row in self.rows(job_id))

    def close(self) -> None:
        self.engine.close()
