"""Customers who upload: every way to write in turn, files with a bad row here and there, all with callbacks."""

from collections.abc import Sequence
from typing import Any

from tests.chaos.campaign.workload import Workload
from tests.fakes import upload_audit
from tests.fakes.audit import Audit
from tests.fixtures import uploader
from tests.fixtures.customer import SubmittedJob
from tests.fixtures.uploader import SubmittedUpload, UploadKind


class Uploads(Workload):
    """As Workload; a file has `pages` times so many rows as a call takes.

    `read_timeout_s`: the vendor must have answered by then, or the outcome is unknown. `settled_s`: so long after a
    call it surely has what it ever will of it.
    """

    read_timeout_s = 20.0
    settled_s = 2.5
    _upload_kinds: Sequence[UploadKind] = ()

    def start(self) -> None:
        with self._stack.rows() as connection:
            upload_audit.install(connection)
        uploader.declare(self._stack.customer, read_timeout_s=self.read_timeout_s, settled_s=self.settled_s)
        super().start()

    def submit(self) -> SubmittedJob:
        return self.add(uploader.upload(self._stack.customer, **self.draw()))

    def draw(self) -> dict[str, Any]:
        """What the next upload is to be, for `uploader.upload`."""
        with self._lock:
            dice = self._dice
            if not self._upload_kinds:
                self._upload_kinds = dice.sample(uploader.KINDS, len(uploader.KINDS))
            *self._upload_kinds, kind = self._upload_kinds
            calls = dice.choice(self._shape.pages) // (uploader.CALLS if kind.is_serial else 1)
            account = {"latency_ms": self._shape.latency_ms, "faults": self._shape.make_faults(dice)}
            return {
                "kind": kind,
                "row_count": calls * kind.rows_a_call,
                "account": account,
                "callback_url": self._stack.receiver.url,
            }

    def take_stock(self) -> Audit:
        return self._stack.take_stock_of_uploads(
            [job for job in self.jobs.values() if isinstance(job, SubmittedUpload)]
        )


class HastyUploads(Uploads):
    """They do not wait for a vendor that is late."""

    read_timeout_s = 3.0
    settled_s = 6.0
