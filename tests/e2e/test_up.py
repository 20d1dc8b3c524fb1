"""`make up` and `make demo` as a newcomer uses them. (That `make` itself sets up the environment is tried by hand.)"""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.local.kept import tail
from app.local.procfile import CHECKOUT
from app.local.rest import Api
from tests.fixtures.postgres import throwaway_folder
from tests.fixtures.waiting import wait_until

_READY = "Ctrl-C stops everything"


@dataclass
class Running:
    """`make up`, ready."""

    process: subprocess.Popen[bytes]
    log: Path
    home: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def api_url(self) -> str:
        found = re.search(r"API +(http://\S+)/elements", self.output)
        assert found is not None
        return found[1]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = throwaway_folder("home")
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@contextmanager
def running(home: Path, log: Path) -> Iterator[Running]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.local.up"],
            cwd=CHECKOUT,
            env=os.environ | {"HAULAGE_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        )
    up = Running(process, log, home)
    try:
        wait_until(lambda: _READY in up.output or process.poll() is not None, "make up to be ready", 90)
        assert process.poll() is None, up.output
        yield up
    finally:
        process.kill()
        process.wait()


def tour_of(output: str) -> str:
    """The commands that are printed to be copied, all at once."""
    return textwrap.dedent(output[output.index("    API=") : output.index(_READY)])


def test_the_printed_tour_works_and_the_data_outlives_a_restart(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "first.log") as up:
        done = subprocess.run(["sh", "-e", "-c", tour_of(up.output)], capture_output=True, text=True, check=True)
        assert '"recordCount":1000' in done.stdout
        assert done.stdout.rstrip().splitlines()[-1].startswith('{"id":3,')
        assert (home / "exports").is_dir(), "instances of element `file` write there"
        authorization = re.search(r"AUTH='Authorization: (.*)'", up.output)
        assert authorization is not None
        assert up.stop() == 0, up.output
        assert up.output.endswith("Stopped.\n")

    with running(home, tmp_path / "second.log") as up:
        assert "Credentials" not in up.output
        assert "haulage token create --org local --user you" in up.output
        api = Api(up.api_url + "/elements/api-v2", {"Authorization": authorization[1]})
        assert [instance["name"] for instance in api.get("/instances")] == ["try it"]
        assert up.stop() == 0
    assert not processes_of(home)


def test_a_killed_worker_comes_back_and_a_killed_make_up_leaves_nothing(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "log") as up:
        second = subprocess.run(
            [sys.executable, "-m", "app.local.up"],
            cwd=CHECKOUT,
            env=os.environ | {"HAULAGE_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert f"Haulage already runs on {home}" in second.stderr
        assert "Traceback" not in second.stderr

        worker_log = home / "logs" / "worker.log"
        wait_until(lambda: "ready." in worker_log.read_text(), "the worker")
        os.kill(
            next(pid for pid, command in processes_of(home).items() if "--queues downloads" in command), signal.SIGKILL
        )
        wait_until(lambda: worker_log.read_text().count("ready.") == 2, "a second worker")
        assert "worker ended with signal 9 and is started again" in up.output

        up.process.kill()
        wait_until(lambda: not processes_of(home), "all processes to end", 60)


def test_the_demo_ends_exact_with_the_worker_killed_meanwhile(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        code = subprocess.run(
            [sys.executable, "-m", "app.local.demo", "--kill"],
            cwd=CHECKOUT,
            env=os.environ | {"HAULAGE_HOME": str(home)},
            stdout=output,
            stderr=output,
            check=False,
        ).returncode
    assert code == 0, tail(log, 40)
    assert "Exact: all 336,776 records, every field, once, in order." in log.read_text()
    assert not processes_of(home)


def processes_of(home: Path) -> dict[int, str]:
    """Number and command of each process that knows this folder."""
    pids = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()} - {os.getpid()}
    ours = [pid for pid in pids if str(home) in _told(pid, "environ") + _told(pid, "cmdline")]
    return {pid: _told(pid, "cmdline").replace("\0", " ") for pid in ours}


def _told(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text(errors="replace")
    except OSError:
        return ""
