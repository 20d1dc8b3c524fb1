"""Makes `.venv` from the lock file, and again when the lock, the Python or the place of the checkout changed.

Run by any Python >= 3.11 that has pip, before anything is installed: only the standard library. A second argument
names another folder than `.venv`.

    python3 app/local/environment.py requirements-dev.lock
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_WHEN_IT_FAILED = """\
What pip found wrong stands above; the same command tries again. It needs a package index: pip reads HTTPS_PROXY for a
proxy, and PIP_INDEX_URL for a mirror, which must have the very files of the lock."""


def made_from(lock: Path) -> str:
    """What the environment depends on. An environment cannot be moved, so its place is part of it."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    installed = json.dumps([project["build-system"], project["project"]])  # the settings of tools do not matter
    parts = (sys.version, sys.executable, str(CHECKOUT), installed, lock.read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pip(environment: Path, *words: str) -> None:
    """The host's pip works on the new environment, so `ensurepip` (not in every distribution) is not needed."""
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, cwd=CHECKOUT, stdout=sys.stderr)


def make(environment: Path, lock: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=False, symlinks=True)
    # First what builds: with it in place nothing is fetched beside the lock, also where a package has no wheel.
    builder = environment / "builder.lock"
    builder.write_text(pinned("setuptools", lock))
    pip(environment, "install", "-qq", "--no-deps", "--require-hashes", "-r", str(builder))
    # Exactly the lock: `--no-deps` leaves out what `make lock` left out on purpose (pandas, 100 MB for reading a CSV).
    pip(environment, "install", "-qq", "--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(lock))
    pip(environment, "install", "-qq", "--no-deps", "--no-build-isolation", "--editable", ".")


def pinned(package: str, lock: Path) -> str:
    """The lines of one package: `name==version` and the hashes below it."""
    lines = lock.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith(" ")), len(lines))
    return "\n".join(lines[start:end]) + "\n"


def main() -> int:
    lock, name = CHECKOUT / sys.argv[1], (sys.argv[2:] or [".venv"])[0]
    stamp = CHECKOUT / name / "made-from"
    with (CHECKOUT / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two makes at once: one builds, the other waits
        wanted = made_from(lock)
        if stamp.exists() and stamp.read_text() == wanted:
            return 0
        print(f"Setting up {name} from {lock.name}; the first time takes a minute or two.", file=sys.stderr)
        started = time.monotonic()
        try:
            make(stamp.parent, lock)
        except subprocess.CalledProcessError as error:
            print(f"Setting up {name} failed: `{' '.join(error.cmd)}` ended with {error.returncode}.", file=sys.stderr)
            print(_WHEN_IT_FAILED, file=sys.stderr)
            return 1
        stamp.write_text(wanted)
        print(f"Environment ready after {time.monotonic() - started:.0f} s.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
