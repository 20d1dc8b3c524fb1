"""A stand-alone program: runs one command and ends it, with all its group, when the owner goes away.

The owner holds the write end of this program's standard input. Closing it, or dying in any way (SIGKILL too), is the
order to stop. So a server started for a test run or for `make up` cannot outlive it. A byte written before the end
says: leave the files.

    keeper.py SETTINGS STATUS_FD

SETTINGS is a JSON object: command (list), uid and gid (or null), cwd (or null), stop_signal, grace_s, remove (paths
deleted at the end). The command inherits environment, stdout and stderr. Lines written to STATUS_FD: `pid N` once it
runs, `failed REASON` if it cannot be run, `exit CODE` when it ended (negative: by that signal).

Only the standard library, so that it starts in some 20 ms under `python -I -S`.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
OWNER_FD = 0


def die_with_keeper() -> None:
    """In the child: have Linux kill it if even the keeper is killed (elsewhere that case stays uncovered)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def launch(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    as_user = {}
    if settings["uid"] is not None:
        as_user = {"user": settings["uid"], "group": settings["gid"], "extra_groups": []}
    return subprocess.Popen(
        settings["command"],
        stdin=subprocess.DEVNULL,
        cwd=settings["cwd"],
        process_group=0,
        preexec_fn=die_with_keeper,  # noqa: PLW1509 - there is one thread
        **as_user,
    )


def exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """The code of an ended process, which stays a zombie: its number must not be reused while owners may signal it."""
    if not hasattr(os, "waitid"):
        return process.poll()
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def kill_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class Owner:
    """The other end of standard input."""

    def __init__(self) -> None:
        self.gone = False
        self.wants_files = False

    def listen(self) -> None:
        """Blocks until the owner says something."""
        said = os.read(OWNER_FD, 512)
        self.gone = not said
        self.wants_files = self.wants_files or bool(said)


def wait_for_owner_or_exit(owner: Owner, process: subprocess.Popen[bytes], child_ended_fd: int) -> int | None:
    """Returns the exit code, or None when the owner asked for the end first."""
    while not owner.gone:
        ready, _, _ = select.select([OWNER_FD, child_ended_fd], [], [])
        if child_ended_fd in ready:
            os.read(child_ended_fd, 512)
        code = exit_code(process)
        if code is not None:
            return code
        if OWNER_FD in ready:
            owner.listen()
    return None


def stop(process: subprocess.Popen[bytes], stop_signal: int, grace_s: float) -> int:
    """Politely, then not."""
    kill_group(process, signal.SIGCONT)  # a frozen process cannot obey
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, stop_signal)
    deadline = time.monotonic() + grace_s
    while (code := exit_code(process)) is None:
        if time.monotonic() >= deadline:
            kill_group(process, signal.SIGKILL)
        time.sleep(0.01)
    return code


def keep(settings: dict[str, Any], status_fd: int, owner: Owner) -> None:
    def report(line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(status_fd, f"{line}\n".encode())

    child_ended_fd, wakeup_fd = os.pipe()
    os.set_blocking(wakeup_fd, False)
    signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        process = launch(settings)
    except OSError as error:
        report(f"failed {error}")
        return
    report(f"pid {process.pid}")
    code = wait_for_owner_or_exit(owner, process, child_ended_fd)
    if code is None:
        report(f"exit {stop(process, settings['stop_signal'], settings['grace_s'])}")
    else:
        report(f"exit {code}")
        while not owner.gone:
            owner.listen()
    kill_group(process, signal.SIGKILL)  # whatever of its group is left
    process.wait()


def main() -> None:
    settings = json.loads(sys.argv[1])
    os.set_inheritable(int(sys.argv[2]), False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, lambda *_: None)  # only the owner ends a keeper; the child would inherit SIG_IGN
    owner = Owner()
    keep(settings, int(sys.argv[2]), owner)
    if not owner.wants_files:
        for path in settings["remove"]:
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
