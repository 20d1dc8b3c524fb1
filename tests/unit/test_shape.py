"""The shape that the design asks for, held by the tree itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.connectors.registry import catalogue
from app.connectors.spec import load_connector
from app.db.migrate import migrations
from app.enqueue import QUEUE_OF, QueueName, TaskName

CHECKOUT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 400
LONGEST_FUNCTION = 40
_DUMMY_BROKER = "redis://127.0.0.1:1/0"


def _modules() -> list[Path]:
    return sorted([*CHECKOUT.glob("app/**/*.py"), *CHECKOUT.glob("workers/**/*.py")])


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_no_module_is_longer_than_anybody_wants_to_read() -> None:
    lengths = {str(path.relative_to(CHECKOUT)): len(path.read_text().splitlines()) for path in _modules()}
    assert {name: n for name, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{path.relative_to(CHECKOUT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in _modules()
        for node in _functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    }
    assert long == {}


def _in_a_worker(code: str) -> str:
    """What a fresh process that imports the tasks prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import workers.tasks, sys; {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
        env={"BROKER_URL": _DUMMY_BROKER, "PATH": ""},
    )
    return done.stdout.strip()


def test_workers_register_exactly_the_named_tasks() -> None:
    code = "print(*sorted(n for n in workers.tasks.celery.tasks if not n.startswith('celery.')))"
    assert _in_a_worker(code).split() == sorted(TaskName)


def test_workers_do_not_load_the_http_door() -> None:
    assert _in_a_worker("print(*[m for m in sys.modules if m.split('.')[0] == 'flask'])") == ""


def test_workers_do_not_load_the_tools_of_celerys_command_line() -> None:
    code = "import workers.main; print(*[m for m in sys.modules if m in ('tornado', 'prompt_toolkit', 'flower')])"
    assert _in_a_worker(code) == ""


def test_every_task_has_a_queue_and_every_queue_a_consumer() -> None:
    named = re.findall(r"(?:-Q|--queues)[ =](\S+)", (CHECKOUT / "Procfile").read_text())
    consumed = {queue for queues in named for queue in queues.split(",")}
    assert set(QUEUE_OF) == set(TaskName)
    assert consumed == set(QueueName)


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [int(name.split("_")[0]) for name, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_catalogue_file_is_valid_and_named_for_its_key(key: str) -> None:
    assert load_connector(catalogue()[key]).key == key
