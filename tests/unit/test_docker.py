"""The container files agree with the product. (No engine is needed, and none is used: images are not built here.)"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from app.local.procfile import CHECKOUT, commands

FOLDER = CHECKOUT / "docker"
COMPOSE_TEXT = (FOLDER / "compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)["services"]
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_every_process_of_the_procfile_is_a_service() -> None:
    assert {name: SERVICES[name]["command"] for name in commands()} == {name: [name] for name in commands()}


def test_nothing_starts_before_the_release_is_done() -> None:
    for name in commands().keys() - {"release"}:
        assert SERVICES[name]["depends_on"]["release"] == {"condition": "service_completed_successfully"}


def test_every_image_is_pinned() -> None:
    images = {service["image"] for name, service in SERVICES.items() if "build" not in service}
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert images | bases
    assert all(re.search(r":v?\d", image) for image in images | bases)


def test_ports_are_published_on_loopback_unless_asked_otherwise() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(re.match(r"\$\{\w+:-127\.0\.0\.1\}:", port) for port in published)


def test_our_containers_are_confined() -> None:
    ours = [service for service in SERVICES.values() if "build" in service]
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert "\nSTOPSIGNAL SIGTERM\n" in DOCKERFILE
    assert "\nHEALTHCHECK " in DOCKERFILE


def test_the_image_installs_by_hash_only() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install [^&]+", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)


def test_whatever_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [word for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert copied
    for path in copied:
        assert (CHECKOUT / path).exists()
        assert f"!{path}" in ignored


def make_env(folder: Path) -> Path:
    shutil.copy(FOLDER / "make-env", folder)
    subprocess.run(["sh", folder / "make-env"], check=True, capture_output=True)
    return folder / ".env"


def test_make_env_makes_every_secret_that_compose_asks_for(tmp_path: Path) -> None:
    path = make_env(tmp_path)
    made = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT)) <= made.keys()
    assert all(re.fullmatch(r"[\w=:-]{20,}", value) for value in made.values()), "safe in URLs, YAML and shells"
    Fernet(made["HAULAGE_ENCRYPTION_KEYS"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_make_env_never_overwrites_keys(tmp_path: Path) -> None:
    path = make_env(tmp_path)
    before = path.read_text()
    assert make_env(tmp_path).read_text() == before


@pytest.fixture
def entry_point(tmp_path: Path) -> Path:
    shutil.copy(FOLDER / "run", tmp_path)
    (tmp_path / "Procfile").write_text('web: exec echo "web on ${PORT:-8080}"\n')
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("words", "output"),
    [(["web"], "web on 8080\n"), (["echo", "any other", "command"], "any other command\n")],
    ids=["a process of the Procfile", "another command"],
)
def test_the_entry_point_runs(entry_point: Path, words: list[str], output: str) -> None:
    done = subprocess.run(
        ["sh", entry_point, *words], env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )
    assert done.stdout == output


def test_the_entry_point_without_a_name_says_what_there_is(entry_point: Path) -> None:
    done = subprocess.run(["sh", entry_point], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert all(name in done.stderr for name in commands())
