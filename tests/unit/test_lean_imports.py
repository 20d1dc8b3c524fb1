"""What our processes load, and what they must not: each of these is memory in every worker."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from app.lean_imports import without

_SETTINGS = {"BROKER_URL": "redis://127.0.0.1:1/0"}

_WORKER = (
    "workers.main",
    "workers.tasks",
    "celery.apps.worker",
    "celery.worker.consumer",
    "celery.concurrency.thread",
    "kombu.transport.redis",
    "app.storage.files",
)
_WEB = ("app.api.server", "app.api.wsgi", "kombu.transport.redis", "app.storage.files")
_NOT_IN_A_WORKER = {
    "rich",
    "pygments",
    "psutil",
    "yaml",
    "cffi",
    "billiard.pool",
    "celery.bin",
    "celery.concurrency.prefork",
    "celery.backends.redis",
    "flask",
    "prometheus_client",
    "boto3",
    "smart_open",
    "requests",
    "google",
    "azure",
}
_NOT_IN_WEB = {"rich", "pygments", "boto3", "smart_open", "requests", "google", "azure", "workers", "celery"}


def _loaded_by(modules: tuple[str, ...]) -> set[str]:
    """The modules that a fresh interpreter has after importing these."""
    code = f"import {', '.join(modules)}, sys; print(*sys.modules)"
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=_SETTINGS, cwd=checkout, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that takes an extra along where it is installed; the extra's name is `<name>_extra`."""
    name = "haulage_lean_sample"
    (tmp_path / f"{name}_extra.py").write_text("")
    (tmp_path / f"{name}.py").write_text(
        f"try:\n    import {name}_extra as extra\nexcept ImportError:\n    extra = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for module in (name, f"{name}_extra"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return name


def test_a_library_comes_without_the_extra_that_is_installed(package: str) -> None:
    with without(f"{package}_extra"):
        assert importlib.import_module(package).extra is None


def test_the_extra_can_be_imported_afterwards(package: str) -> None:
    with without(f"{package}_extra"), pytest.raises(ImportError):
        importlib.import_module(f"{package}_extra")
    assert importlib.import_module(package).extra is not None


def test_an_extra_that_is_loaded_already_stays(package: str) -> None:
    extra = importlib.import_module(f"{package}_extra")
    with without(f"{package}_extra"):
        assert importlib.import_module(package).extra is extra
    assert sys.modules[f"{package}_extra"] is extra


@pytest.mark.parametrize("extra", ["rich", "psutil", "yaml", "cffi"])
def test_what_is_left_out_is_installed_here(extra: str) -> None:
    assert importlib.util.find_spec(extra), "otherwise the tests below would show nothing"


def test_a_worker_loads_none_of_what_it_never_uses() -> None:
    assert _loaded_by(_WORKER) & _NOT_IN_A_WORKER == set()


def test_a_store_in_a_bucket_loads_no_second_way_to_call_s3() -> None:
    loaded = _loaded_by((*_WORKER, "app.storage.s3"))
    assert "botocore.client" in loaded
    assert loaded & {"boto3", "s3transfer", "smart_open", "requests"} == set()


@pytest.mark.parametrize(
    ("store", "theirs"), [("s3", "botocore"), ("gcs", "google.cloud.storage"), ("azure", "azure.storage.blob")]
)
def test_a_store_loads_the_library_of_its_own_cloud_alone(store: str, theirs: str) -> None:
    loaded = _loaded_by((*_WORKER, f"app.storage.{store}"))
    assert {name for name in ("botocore", "google.cloud.storage", "azure.storage.blob") if name in loaded} == {theirs}
    assert loaded & {"azure.identity", "msal", "grpc", "aiohttp"} == set()


def test_web_loads_none_of_what_it_never_uses() -> None:
    assert _loaded_by(_WEB) & _NOT_IN_WEB == set()
