"""The whole product under test: durable PostgreSQL and Valkey, and the Procfile's processes, started for real."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
from psycopg.rows import dict_row

from app.local import procfile, tenant
from app.local.postgres import PostgresServer
from app.local.valkey import ValkeyServer
from tests.benchmarks import processes
from tests.benchmarks.checked import WrongOutputError
from tests.fixtures.processes import Product, ProductProcess, product_settings

PREFIX = "/elements/api-v2"
_DEFAULT = "default"
_SERVICES = ("web", "sweeper", "callbacks")
_POLL_S, _MAX_POLL_S = 0.01, 0.05
_POLL_SHARE = 0.01
"""A hundred questions a second take a tenth of a core from what is measured; so an answer may be a percent late."""


@dataclass(frozen=True)
class Variant:
    """How workers differ from the Procfile's: settings, another Celery application (`-A`), another pool."""

    settings: Mapping[str, str] = field(default_factory=dict)
    application: str = "workers.celery_app"
    pool: str = "threads"

    def command(self) -> list[str]:
        shell, option, line = procfile.shell_command("worker")
        line = line.replace("-A workers.celery_app", f"-A {self.application}")
        return [shell, option, line.replace("--pool threads", f"--pool {self.pool}")]


class ProductUnderTest:
    """Everything is in a folder of its own, deleted at the end. Settings are production's unless `settings` say else.

    Workers are started by name of a variant (`use_worker`), one at a time.
    """

    def __init__(
        self, parent: Path, variants: Mapping[str, Variant] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="product-", dir=parent))
        self.folder.chmod(0o711)
        self.storage = self.folder / "storage"
        self.pg = PostgresServer(self.folder / "postgres", throwaway=True)
        self.valkey = ValkeyServer(self.folder / "valkey", throwaway=True)
        self.product = Product(self.folder, {})
        self._variants = {_DEFAULT: Variant(), **(variants or {})}
        self._settings = {"HAULAGE_WORKER_SLOTS": "16", "WEB_CONCURRENCY": "2", **(settings or {})}
        self._instances: dict[str, str] = {}
        self._warm: dict[str, set[int]] = {}
        self._variant: str | None = None
        self._parts = contextlib.ExitStack()
        self.workers: list[ProductProcess] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def _start(self) -> None:
        self._parts.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.pg.start()
        self._parts.callback(self.pg.stop)
        self.valkey.start()
        self._parts.callback(self.valkey.stop)
        self.product.settings = product_settings(self.pg.url, self.valkey.url, self.storage) | self._settings
        self._parts.callback(self.product.stop)
        self.product.release()
        self.web, self.sweeper, self.callbacks = (self.product.start(name) for name in _SERVICES)
        environment = self.web.environment
        self.authorization = tenant.create_tenant(environment, organisation="bench", user="runner").authorization
        self._client = httpx.Client(base_url=self.web.url + PREFIX, timeout=60)
        self._parts.callback(self._client.close)
        self._watch = psycopg.connect(self.pg.url, autocommit=True, row_factory=dict_row)
        self._parts.callback(self._watch.close)

    # Processes --------------------------------------------------------------------------------------------------------

    def use_worker(self, name: str = _DEFAULT, *, count: int = 1) -> None:
        """Only workers of that variant run from now on; ready when this returns."""
        if self._variant == name and len(self.workers) == count and all(worker.alive for worker in self.workers):
            return
        self.stop_workers()
        self.workers = [self.start_worker(name) for _ in range(count)]
        self._variant = name

    def start_worker(self, name: str = _DEFAULT) -> ProductProcess:
        """One more worker process, not among `workers`."""
        variant = self._variants[name]
        own: dict[str, Any] = dict(variant.settings)
        return self.product.start("worker", command=variant.command(), **own)

    def replace_killed(self, number: int) -> ProductProcess:
        """SIGKILL worker `number` of `workers`; another one takes its place. Returns the dead one."""
        dead, name = self.workers[number], self._variant or _DEFAULT
        dead.kill()
        self.product.processes.remove(dead)
        dead.process.stop()
        self.workers[number] = self.start_worker(name)
        return dead

    def stop_workers(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.terminate()
            worker.process.stop()
            self.product.processes.remove(worker)
        self.workers = []
        self._variant = None

    @property
    def groups(self) -> dict[str, list[int]]:
        """Process numbers at the roots of every part of the product."""
        found = {
            "postgres": self.pg._process,
            "valkey": self.valkey._process,
        }
        servers = {name: [process.pid] for name, process in found.items() if process is not None}
        ours = {"web": [self.web.pid], "sweeper": [self.sweeper.pid], "callbacks": [self.callbacks.pid]}
        return {**servers, **ours, "worker": [worker.pid for worker in self.workers]}

    @property
    def our_roots(self) -> list[int]:
        """Without the servers that we did not write."""
        return [pid for name, pids in self.groups.items() if name not in {"postgres", "valkey"} for pid in pids]

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by part; what our own watching costs PostgreSQL is taken off."""
        spent = {name: processes.cpu_s(pids) for name, pids in self.groups.items()}
        return {**spent, "postgres": spent["postgres"] - processes.cpu_s([self._watch.info.backend_pid])}

    # Jobs -------------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, authorization: str, **options: Any) -> httpx.Response:
        answer = self._client.request(method, path, headers={"Authorization": authorization}, **options)
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer

    def declare(self, element: Mapping[str, Any]) -> None:
        """A connector of the bench's own."""
        self.call("POST", "/elements", self.authorization, json=element)

    def connect(self, base_url: str, element: str = "sandbox") -> str:
        """The Authorization header of an instance for that vendor URL, made at first use."""
        if base_url not in self._instances:
            body = {
                "element": {"key": element},
                "name": base_url,
                "configuration": {"base_url": base_url, "username": "bench", "password": "any"},
            }
            token = self.call("POST", "/instances", self.authorization, json=body).json()["token"]
            self._instances[base_url] = f"{self.authorization}, Element {token}"
        return self._instances[base_url]

    def warm_up(self, base_url: str, page_size: int, **criteria: Any) -> None:
        """A few pages, where this worker process has seen none of that vendor: connections and imports are start-up."""
        workers = {worker.pid for worker in self.workers}
        if not workers <= self._warm.get(base_url, set()):
            few = {**criteria, "pageSize": page_size, "limit": 20 * page_size}
            self.wait_for([self.submit(base_url, **few) for _ in self.workers])
            self._warm[base_url] = workers

    def submit(self, base_url: str, **criteria: Any) -> int:
        body = {"objectName": "records", "format": "application/jsonl", **criteria}
        return int(self.call("POST", "/bulk/download", self.connect(base_url), json=body).json()["id"])

    def wait_for(self, job_ids: Sequence[int], timeout_s: float = 600) -> list[dict[str, Any]]:
        """Until all have ended; their rows. Raises WrongOutputError if one did not complete."""
        began_at = time.monotonic()
        while self._number("select count(*) as n from jobs where id = any(%s) and finished_at is null", list(job_ids)):
            lasted_s = time.monotonic() - began_at
            if lasted_s > timeout_s:
                raise WrongOutputError(f"jobs {job_ids[:5]} … did not end within {timeout_s:g} s")
            time.sleep(min(max(_POLL_S, _POLL_SHARE * lasted_s), _MAX_POLL_S))
        rows = self.rows("select * from jobs where id = any(%s)", list(job_ids))
        for row in rows:
            if row["status"] != "COMPLETED":
                raise WrongOutputError(f"job {row['id']} ended {row['status']}: {row['error']}")
        return rows

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self._watch.execute(query.encode(), values).fetchall()

    def _number(self, query: str, *values: object) -> int:
        return int(self.rows(query, *values)[0]["n"])

    def served(self, base_url: str, job_id: int, *, packed: bool = False) -> Iterator[bytes]:
        """The bytes of the result as the API sends them (packed ones are not inflated)."""
        headers = {
            "Authorization": self.connect(base_url),
            "Accept": "*/*",
            "Accept-Encoding": "gzip" if packed else "identity",
        }
        with self._client.stream("GET", f"/bulk/{job_id}/records", headers=headers) as answer:
            if answer.status_code != 200:
                raise WrongOutputError(f"the result of job {job_id} was answered with {answer.status_code}")
            if (answer.headers.get("Content-Encoding") == "gzip") != packed:
                raise WrongOutputError(f"asked for packed={packed}, got {answer.headers.get('Content-Encoding')}")
            yield from answer.iter_raw()
