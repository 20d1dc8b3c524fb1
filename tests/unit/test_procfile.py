"""The Procfile starts everything that the product consists of."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from app.enqueue import QueueName
from app.local.errors import LocalError
from app.local.procfile import child_environment, commands, shell_command


def test_it_names_every_process_of_the_design() -> None:
    assert set(commands()) == {"web", "worker", "callbacks", "sweeper", "flower", "release"}


def test_every_queue_is_consumed_by_some_process() -> None:
    named = [queues for command in commands().values() for queues in re.findall(r"--queues (\S+)", command)]
    consumed = {queue for queues in named for queue in queues.split(",")}
    assert consumed == {queue.value for queue in QueueName}


def test_every_line_replaces_its_shell_so_that_signals_arrive() -> None:
    assert all(re.search(r"(^|; )exec ", command) for command in commands().values())


def test_flower_refuses_to_start_without_a_login() -> None:
    done = subprocess.run(
        shell_command("flower"), env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "FLOWER_BASIC_AUTH" in done.stderr
    assert "user:password" in done.stderr


def test_flower_only_shows() -> None:
    assert "--read_only" in commands()["flower"]


def test_a_line_that_is_no_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("web: exec true\nnonsense\n")
    with pytest.raises(LocalError, match="line 2"):
        commands(path)


def test_processes_do_not_inherit_the_settings_of_our_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAULAGE_LEASE_S", "1")
    environment = child_environment({"PORT": "1"})
    assert "HAULAGE_LEASE_S" not in environment
    assert environment["PORT"] == "1"


@pytest.mark.parametrize("name", ["worker", "callbacks"])
def test_threads_that_work_in_turn_share_one_arena(name: str) -> None:
    """Each leg has threads of its own: in arenas of their own each would keep what the one before let go."""
    line = commands()[name].replace("exec python -m workers.main", "exec env #")
    for given, expected in (({}, "1"), ({"MALLOC_ARENA_MAX": "4"}, "4")):
        environment = {"PATH": os.defpath, **given}
        done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=True)
        assert f"MALLOC_ARENA_MAX={expected}" in done.stdout.splitlines()
