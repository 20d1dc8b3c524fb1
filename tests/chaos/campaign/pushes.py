"""Customers whose outputs are pushed to a folder: most to a path of their own, some to paths that several share."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.campaign.workload import Workload
from tests.fakes.audit import Audit
from tests.fixtures.customer import SubmittedJob

_OWN = "{objectName}/{jobId}.jsonl"
_SHARED = "shared/{}.jsonl.gz"
_SHARED_COUNT = 3


class PushedDownloads(Workload):
    """As Workload; every third job writes to one of a few shared paths, where the newest must win."""

    _place = 0

    def start(self) -> None:
        body = {"element": {"key": "file"}, "name": "exports", "configuration": {"folder": "chaos"}}
        answer = self._stack.customer.insist("POST", "/instances", json=body)
        assert answer.status_code == 200, answer.text
        self._place = answer.json()["id"]
        super().start()

    def draw(self) -> dict[str, Any]:
        number = len(self.jobs)
        path = _SHARED.format(number % _SHARED_COUNT) if number % 3 == 0 else _OWN
        return {**super().draw(), "docsHubDetails": {"instanceId": self._place, "path": path}}

    def take_stock(self) -> Audit:
        """What became of every job, and of every object: each is there, whole, and nothing beside them."""
        found = super().take_stock()
        (folder,) = self._stack.exports.glob("*/chaos")
        newest: dict[str, SubmittedJob] = {}
        for job in self.jobs.values():  # in the order of their submission
            told = self._stack.customer.status(job)["docsHub"]
            if told["state"] != "PUSHED" and not (told["state"] == "SUPERSEDED" and told["path"].startswith("shared")):
                found.problems.append(f"job {job.id}: its push ended as {told}")
            newest[told["path"]] = job
        found.problems += self._compare(folder, newest)
        return found

    def _compare(self, folder: Path, newest: dict[str, SubmittedJob]) -> Iterator[str]:
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        if files.keys() != newest.keys():
            yield f"objects that nobody knows of or that are missing: {sorted(files.keys() ^ newest.keys())}"
        for name in files.keys() & newest.keys():
            content = files[name].read_bytes()
            plain = gzip.decompress(content) if name.endswith(".gz") else content
            if plain != self._stack.customer.result(newest[name]):
                yield f"object {name} is not the result of job {newest[name].id}"
