"""What the embedded servers have in common: a folder, a port, an owner, and the ways to end."""

import shutil
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from signal import Signals

from app.local import account, kept, ports


class EmbeddedServer:
    """One server program below a keeper. `kill` and `start` keep folder, port and password.

    `port` None picks a free one. `durable` False trades safety at a power cut for speed. `throwaway` deletes `folder`
    at `stop` and also if the owner is killed.
    """

    stop_signal: Signals

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = True, throwaway: bool = False) -> None:
        self.folder = folder
        self.port = port if port is not None else ports.free_port()
        self.durable = durable
        self.throwaway = throwaway
        self._account = account.server_account()
        self._process: kept.KeptProcess | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def stop(self) -> None:
        """Orderly: sessions are cut, what is durable is on disk. A throwaway server's folder is gone after it."""
        self._end(keep_files=not self.throwaway)
        if self.throwaway:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._end(keep_files=True)

    def _launch(self, command: Sequence[str | PathLike[str]]) -> kept.KeptProcess:
        self._process = kept.start(
            kept.Launch(
                command=command,
                log=self.log,
                cwd=Path("/"),
                account=self._account,
                stop_signal=self.stop_signal,
                grace_s=30,
                remove=[self.folder] if self.throwaway else [],
            ),
        )
        return self._process

    def _end(self, *, keep_files: bool) -> None:
        if self._process is not None:
            self._process.stop(keep_files=keep_files)
            self._process = None

    def _make_folder(self) -> None:
        """Others may pass through it (the servers' account must), not look into it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
