"""The whole product on this machine: embedded servers, release, then every process of the Procfile, supervised."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from app.local import kept, ports, procfile
from app.local.errors import LocalError
from app.local.home import Home
from app.local.postgres import PostgresServer
from app.local.rest import Api
from app.local.supervisor import Supervisor
from app.local.valkey import ValkeyServer

_READY_S = 60.0
_RELEASE_S = 120.0
_GRACE_S = 40.0  # a worker checkpoints and hands back within seconds; the rest is reserve
_PRODUCT = ("web", "worker", "callbacks", "sweeper", "flower")
_PORTS_END = 65536
_PORT_SETTINGS = {"api": "PORT", "flower": "FLOWER_PORT"}
_WANTED_PORTS = {"api": 8080, "flower": 5555, "postgres": 15432, "valkey": 16379}


@dataclass
class Stack:
    """Start with `with`; leaving it stops everything in order. `settings` come on top of those kept in `home`."""

    home: Home
    settings: Mapping[str, str]
    say: Callable[[str], None]
    wanted_ports: Mapping[str, int] = field(default_factory=lambda: _WANTED_PORTS)

    def __post_init__(self) -> None:
        wanted = {**self.wanted_ports, **_kept_ports(self.home.settings())}
        self.ports = {name: self._port(name, port) for name, port in wanted.items()}
        self.postgres = PostgresServer(self.home.server_folder("postgres"), port=self.ports["postgres"])
        self.valkey = ValkeyServer(self.home.server_folder("valkey"), port=self.ports["valkey"])
        self.supervisor = Supervisor(self.say)
        self.environment: dict[str, str] = {}
        self._log_begins: dict[str, int] = {}

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['flower']}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The processes first, then what they stand on."""
        self.supervisor.stop()
        self.valkey.stop()
        self.postgres.stop()

    def run(self, name: str, command: Sequence[str], *, cwd: Path | None = None) -> None:
        """One more supervised process beside the product's, in the same environment."""
        launch = self._launch(name, command, cwd=cwd)
        self._log_begins[name] = kept.size_of(launch.log)
        self.supervisor.start(name, launch)

    def wait_for(self, name: str, url: str) -> None:
        """Until a GET of `url` answers 200. Raises LocalError with the end of the log of process `name`."""
        deadline = time.monotonic() + _READY_S
        while not Api(url).is_up(""):
            service = self.supervisor.service(name)
            if time.monotonic() >= deadline or service.restart_count >= 2:  # noqa: PLR2004 - it will not get better
                log = service.launch.log
                end = kept.tail(log, 15, since=self._log_begins[name])
                raise LocalError(f"{name} does not answer at {url}; the end of {log}:\n{end}")
            time.sleep(0.1)

    def _start(self) -> None:
        self.postgres.start()
        self.valkey.start()
        product = {
            "DATABASE_URL": self.postgres.url,
            "BROKER_URL": self.valkey.url,
            "STORAGE_URL": self.home.storage.as_uri(),
            "HAULAGE_PUSH_ROOT": str(self.home.made_exports()),
            "PROMETHEUS_MULTIPROC_DIR": str(self.home.fresh_folder("metrics")),
        }
        ports = {setting: str(self.ports[name]) for name, setting in _PORT_SETTINGS.items()}
        settings = product | self.home.settings() | ports | dict(self.settings)
        self.home.write_running(settings)
        self.environment = procfile.child_environment(settings)
        self._release()
        for name in _PRODUCT:
            self.run(name, procfile.shell_command(name))
        self.wait_for("web", f"{self.api_url}/ready")

    def _release(self) -> None:
        launch = self._launch("release", procfile.shell_command("release"))
        began = kept.size_of(launch.log)
        with kept.start(launch) as process:
            code = process.wait(_RELEASE_S)
        if code != 0:
            end = kept.tail(launch.log, 15, since=began)
            raise LocalError(f"`haulage release` failed; the end of {launch.log}:\n{end}")

    def _launch(self, name: str, command: Sequence[str], *, cwd: Path | None = None) -> kept.Launch:
        return kept.Launch(
            command=command,
            log=self.home.logs / f"{name}.log",
            env=self.environment,
            cwd=cwd or procfile.CHECKOUT,
            grace_s=_GRACE_S,
        )

    def _port(self, name: str, wanted: int) -> int:
        port = ports.free_port(wanted or None)
        if wanted and port != wanted:
            self.say(f"Port {wanted} is taken; {name} uses {port}.")
        return port


def _kept_ports(settings: Mapping[str, str]) -> dict[str, int]:
    """The ports that a person wants, by name. Raises LocalError for one that is none."""
    given = {name: settings[setting] for name, setting in _PORT_SETTINGS.items() if settings.get(setting)}
    for name, text in given.items():
        if not (text.isascii() and text.isdigit() and 0 < int(text) < _PORTS_END):
            raise LocalError(f"{_PORT_SETTINGS[name]}={text} is not accepted: a port from 1 to {_PORTS_END - 1}")
    return {name: int(text) for name, text in given.items()}
