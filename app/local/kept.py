"""The owner's side of `keeper.py`: start a process that cannot outlive us."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from app.local.account import Account
from app.local.errors import LocalError

_KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True)
class Launch:
    """What to run and how it ends.

    `log` is appended to. `env` None inherits ours. `stop_signal` is followed by SIGKILL after `grace_s`. The paths in
    `remove` are deleted once everything has ended, also if the owner was killed.
    """

    command: Sequence[str | os.PathLike[str]]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    remove: Sequence[Path] = ()

    def settings(self) -> str:
        return json.dumps(
            {
                "command": [os.fspath(word) for word in self.command],
                "uid": self.account.uid if self.account else None,
                "gid": self.account.gid if self.account else None,
                "cwd": os.fspath(self.cwd) if self.cwd else None,
                "stop_signal": int(self.stop_signal),
                "grace_s": self.grace_s,
                "remove": [os.fspath(path) for path in self.remove],
            },
        )


class KeptProcess:
    """A running (or ended) command. Its process number is not reused before `stop`."""

    def __init__(self, keeper: subprocess.Popen[bytes], status: IO[bytes], *, pid: int) -> None:
        self.pid = pid
        self._keeper = keeper
        self._status = status
        self._lock = threading.Lock()
        self._poller = select.poll()  # `select` takes no descriptor above 1,023
        self._poller.register(status, select.POLLIN)
        self._exit_code: int | None = None

    @property
    def alive(self) -> bool:
        return self.wait(timeout_s=0) is None

    def wait(self, timeout_s: float) -> int | None:
        """The exit code (negative: killed by that signal), or None while it still runs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while self._exit_code is None:
                if not self._poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    return None
                word, _, value = self._status.readline().decode().partition(" ")
                # No word: the keeper itself was killed, and took the command with it.
                self._exit_code = int(value) if word == "exit" else -signal.SIGKILL
            return self._exit_code

    def send(self, number: signal.Signals) -> None:
        """To the command alone; does nothing if it has ended."""
        if self.alive:
            os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """To the command and everything of its process group."""
        if self.alive:
            os.killpg(self.pid, number)

    def kill(self, timeout_s: float = 10.0) -> None:
        """SIGKILL to the group, and wait for the end."""
        self.send_group(signal.SIGKILL)
        self.wait(timeout_s)

    def stop(self, *, keep_files: bool = False) -> int:
        """Stop signal, grace, SIGKILL; returns the exit code. Stopping twice is fine.

        `keep_files` spares what `Launch.remove` names.
        """
        if self._keeper.stdin and not self._keeper.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                if keep_files:
                    self._keeper.stdin.write(b"keep")
                self._keeper.stdin.close()
        code = self.wait(timeout_s=3600)
        self._keeper.wait()
        self._status.close()
        return code if code is not None else -signal.SIGKILL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(launch: Launch) -> KeptProcess:
    """Raises LocalError if the command cannot be executed."""
    status_fd, keeper_fd = os.pipe()
    with launch.log.open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", _KEEPER, launch.settings(), str(keeper_fd)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=launch.env,
            pass_fds=(keeper_fd,),
            start_new_session=True,  # Ctrl-C in the terminal is for the owner, which stops things in order
        )
    os.close(keeper_fd)
    status = os.fdopen(status_fd, "rb", buffering=0)
    word, _, value = status.readline().decode().partition(" ")
    if word == "pid":
        return KeptProcess(keeper, status, pid=int(value))
    status.close()
    if keeper.stdin:
        keeper.stdin.close()
    keeper.wait()
    raise LocalError(f"cannot run {os.fspath(launch.command[0])}: {value.strip() or 'see ' + str(launch.log)}")


def tail(log: Path, lines: int = 10, *, since: int = 0) -> str:
    """The end of a log, for a message; empty if there is none. `since`: its size when what matters began."""
    try:
        return "\n".join(log.read_bytes()[since:].decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def size_of(log: Path) -> int:
    """Bytes in a log, 0 if there is none."""
    return log.stat().st_size if log.exists() else 0
