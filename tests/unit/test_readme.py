"""What README.md says is so: its settings, its tree, its links, its commands."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.local.procfile import CHECKOUT

README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def settings_table() -> str:
    """Made from app.config; paste it into README.md when this differs."""
    rows = [
        f"| `{spec.metadata['env']}` | {_shown(spec.default)} | {_text(spec.metadata)} |" for spec in fields(Settings)
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _shown(value: Any) -> str:
    if value is MISSING or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        value = ",".join(f"{item:g}" for item in value)
    return f"`{int(value) if value == int(value) else value}`" if isinstance(value, float) else f"`{value}`"


def _text(metadata: Any) -> str:
    choices = f" ({', '.join(metadata['choices'])})" if "choices" in metadata else ""
    return str(metadata["doc"]).replace("|", "\\|") + choices


def test_the_settings_table_is_that_of_the_code() -> None:
    assert settings_table() in README, f"put this into README.md:\n{settings_table()}"


def test_the_tree_names_what_is_there_and_only_that() -> None:
    block = re.search(r"## The tree\n+```\n(.*?)```", README, re.DOTALL)
    assert block is not None
    named = {line.split()[0].strip("/") for line in block[1].splitlines() if line.strip()}
    assert {name for name in named if not (CHECKOUT / name).exists()} == set()
    packages = {path.parent for path in (CHECKOUT / "app").glob("*/__init__.py")}
    assert {f"app/{path.name}" for path in packages} <= named
    top = {path.name for path in CHECKOUT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert {name for name in top if not any(one.split("/")[0] == name for one in named) and _is_kept(name)} == set()


def _is_kept(folder: str) -> bool:
    """Whether it belongs to the product, and is not something that a tool left."""
    return folder not in {"build", "dist"} and not folder.endswith(".egg-info")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_make_target_is_known_to_make() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert targets
    assert {target for target in targets if not re.search(rf"^{target}:.*## ", makefile, re.MULTILINE)} == set()
