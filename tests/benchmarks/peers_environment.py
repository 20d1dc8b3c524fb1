"""The peers' own environment: dlt and the Airbyte CDK never come near ours."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from app.local.errors import LocalError
from app.local.procfile import CHECKOUT

ENVIRONMENT = CHECKOUT / ".haulage" / "bench-venv"
LOCK = Path(__file__).with_name("peers.lock")


def python() -> Path:
    """The Python of that environment, made from `peers.lock` at first use. Raises LocalError."""
    stamp = ENVIRONMENT / "made-from"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        _make()
        stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "python"


def _make() -> None:
    venv.create(ENVIRONMENT, with_pip=False, symlinks=True, clear=True)
    # The host's pip works on it, as it does on ours (app/local/environment.py).
    host = str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
    words = ["install", "-qq", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    command = [host, "-m", "pip", "--python", str(ENVIRONMENT / "bin" / "python"), *words]
    sys.stderr.write("Setting up the peers' environment; the first time takes a minute or two.\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalError(f"the peers' environment could not be made: {done.stderr.strip()[-500:]}")
