"""Processes below a keeper: they end as asked, and cannot outlive their owner; the supervisor brings them back."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local import kept
from app.local.errors import LocalError
from app.local.procfile import CHECKOUT
from app.local.supervisor import Supervisor
from tests.fixtures.waiting import wait_until

_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
_FORKING = "import os, time; pid = os.fork(); print(os.getpid(), flush=True); time.sleep(600)"


def python(code: str, log: Path, *, grace_s: float = 10.0) -> kept.Launch:
    return kept.Launch(command=[sys.executable, "-c", code], log=log, grace_s=grace_s)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_stopping_sends_the_signal_and_tells_the_code(log: Path) -> None:
    process = kept.start(python("import time; time.sleep(600)", log))
    assert process.alive
    assert process.stop() == -signal.SIGTERM
    assert process.stop() == -signal.SIGTERM


def test_the_exit_code_arrives_without_asking(log: Path) -> None:
    with kept.start(python("print('words'); raise SystemExit(3)", log)) as process:
        assert process.wait(30) == 3
    assert log.read_text() == "words\n"


def test_an_owner_with_a_thousand_open_files_hears_of_the_end(log: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with kept.start(python("raise SystemExit(7)", log)) as process:
            assert process.wait(30) == 7
    finally:
        for other in others:
            os.close(other)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_ignores_the_signal_is_killed_after_its_grace(log: Path) -> None:
    process = kept.start(python(_STUBBORN, log, grace_s=0.1))
    wait_until(lambda: "deaf" in log.read_text(), "the process to ignore the signal")
    assert process.stop() == -signal.SIGKILL


def test_a_frozen_process_stops_too(log: Path) -> None:
    process = kept.start(python("import time; time.sleep(600)", log))
    process.send_group(signal.SIGSTOP)
    assert process.stop() == -signal.SIGTERM


def test_killing_takes_the_children_along(log: Path) -> None:
    process = kept.start(python(_FORKING, log))
    pids = wait_until(
        lambda: [int(word) for word in log.read_text().split()] * (log.read_text().count("\n") == 2), "fork"
    )
    process.kill()
    process.stop()
    wait_until(lambda: not any(is_running(pid) for pid in pids), "parent and child to end")


def test_a_command_that_does_not_exist_is_an_error_at_once(log: Path) -> None:
    with pytest.raises(LocalError, match=r"cannot run /no/such/program"):
        kept.start(kept.Launch(command=["/no/such/program"], log=log))


def test_a_killed_owner_takes_its_process_along(log: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.local import kept\n"
        "launch = kept.Launch(command=['sleep', '600'], log=Path(sys.argv[1]))\n"
        "print(kept.start(launch).pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(log)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_running(pid)
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(pid), "the process to end")


def test_a_killed_keeper_takes_its_process_along(log: Path) -> None:
    process = kept.start(python("import time; time.sleep(600)", log))
    process._keeper.kill()
    wait_until(lambda: not is_running(process.pid), "the process to end")
    assert process.wait(0) == -signal.SIGKILL
    process.stop()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(said.append)
    yield made
    made.stop()


def test_the_supervisor_brings_back_what_was_killed(supervisor: Supervisor, said: list[str], log: Path) -> None:
    service = supervisor.start("worker", python("import time; time.sleep(600)", log))
    first = service.process.pid
    service.process.kill()
    wait_until(lambda: service.restart_count == 1, "a restart")
    assert service.process.pid != first
    assert service.process.alive
    assert said == [f"worker ended with signal 9 and is started again; its log: {log}"]


def test_the_supervisor_waits_longer_each_time_a_process_ends_at_once(supervisor: Supervisor, log: Path) -> None:
    service = supervisor.start("worker", python("raise SystemExit(1)", log))
    wait_until(lambda: service.restart_count == 2, "two restarts")
    assert service.pause_s >= 1


def test_stopping_the_supervisor_ends_all(said: list[str], log: Path) -> None:
    supervisor = Supervisor(said.append)
    services = [supervisor.start(f"one-{number}", python("import time; time.sleep(600)", log)) for number in range(3)]
    supervisor.stop()
    assert not any(is_running(service.process.pid) for service in services)
    assert said == []
